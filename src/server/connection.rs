//! An HTTP connection, plain or over TLS, and its time limits.
//!
//! The framework limits the time for the head of the first request, and for an idle connection. Everything else is
//! checked here every few seconds: later heads that arrive byte by byte, and clients whose certificate was revoked or
//! has expired since the handshake. Answers that nobody reads are left to the system, because it alone sees whether a
//! client takes anything of what is buffered for it (`TCP_USER_TIMEOUT` of tcp(7)). Bodies are watched where they are
//! read, in `api::conventions::slow_body`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::connection_limit::Place;
use super::handshake::CertificateStanding;
use super::incoming::Incoming;
use super::refusal::{self, Refusals};
use super::stream::Stream;
use crate::api::conventions::expectation::Expectation;
use crate::model::metric;
use crate::telemetry::request::RequestsInProgress;

/// The interval between two checks. Each connection has one timer, rather than one for each request: setting a timer
/// costs more than reading the clock.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The interim answer that asks for a body (RFC 9110 section 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The time within which the head of a request has to arrive.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    stream: Stream,
    standing: Option<CertificateStanding>,
    /// The requests on this connection that are being answered.
    requests: RequestsInProgress,
    next_look: Pin<Box<Sleep>>,
    /// The time at which bytes arrived that are not a whole request yet.
    head_since: Option<Instant>,
    incoming: Incoming,
    expectation: Expectation,
    /// Set if the system could not take the last bytes yet.
    write_waits: bool,
    /// Our refusal in place of the framework's: its bytes, and how many of them are written.
    refusal: Option<(Vec<u8>, usize)>,
    refusals: Refusals,
    _place: Place,
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, place: Place, refusals: Refusals) -> Self {
        Self::new(Stream::Plain(stream), None, place, refusals)
    }

    /// Wraps a TLS connection. It has a standing if the listener requires client certificates.
    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        standing: Option<CertificateStanding>,
        place: Place,
        refusals: Refusals,
    ) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), standing, place, refusals)
    }

    fn new(
        stream: Stream,
        standing: Option<CertificateStanding>,
        place: Place,
        refusals: Refusals,
    ) -> Self {
        Self {
            stream,
            standing,
            requests: RequestsInProgress::default(),
            next_look: Box::pin(sleep(LOOK_EVERY)),
            head_since: None,
            incoming: Incoming::default(),
            expectation: Expectation::default(),
            write_waits: false,
            refusal: None,
            refusals,
            _place: place,
        }
    }

    /// Returns the client's certificate, if one is required.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.standing.as_ref().and_then(|_| self.stream.chain().first())
    }

    pub(super) fn requests(&self) -> &RequestsInProgress {
        &self.requests
    }

    pub(super) fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// Sends `100 Continue` once the body that a client holds back is wanted. Call it only before reading. It does
    /// nothing while a write waits: the answer to the previous request has to be out first, or this would get into the
    /// middle of it.
    fn ask_for_body(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.expectation.is_wanted()
            && !self.write_waits
            && let Poll::Ready(sent) = self.stream.poll_write(cx, CONTINUE)
        {
            self.expectation.sent();
            if sent? != CONTINUE.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if let Poll::Ready(flushed) = self.stream.poll_flush(cx) {
                flushed?;
            }
        }
        Ok(())
    }

    /// Writes our refusal in place of the framework's. Ready once all of it is written.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.refusal {
            let count = ready!(self.stream.poll_write(cx, &bytes[*written..]))?;
            *written += count;
            if *written == bytes.len() || count == 0 {
                self.refusal = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn bytes_came(&mut self) {
        if self.head_since.is_none() && !self.requests.any() {
            self.head_since = Some(Instant::now());
        }
    }

    fn written(
        &mut self,
        polled: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.write_waits = polled.is_pending();
        match &polled {
            Poll::Pending => self.look(cx)?,
            // An answer is written, so the bytes before it were a request.
            Poll::Ready(Ok(_)) => self.head_since = None,
            Poll::Ready(Err(error)) => count_if_cut(error),
        }
        polled
    }

    /// Fails, when a check is due, if the client's certificate is no longer valid or a head takes too long.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.next_look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.requests.any() {
                self.head_since = None;
            }
            if let Some(standing) = &mut self.standing
                && !standing.still_good(self.stream.chain())
            {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let late = self.head_since.is_some_and(|since| now.duration_since(since) >= HEAD_TIME);
            if late {
                metric::CONNECTIONS_CUT.increment(1);
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.next_look.as_mut().reset(now + LOOK_EVERY);
        }
        Ok(())
    }
}

/// Counts a connection that the system cut because its client took nothing for `server.send_timeout`. The system
/// reports this error once, to the first read or write after it.
fn count_if_cut(error: &io::Error) {
    if error.kind() == io::ErrorKind::TimedOut {
        metric::CONNECTIONS_CUT.increment(1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.ask_for_body(cx)?;
        if this.expectation.take_refusal() {
            this.incoming.answer_is_last();
        }
        if this.incoming.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let before = buffer.filled().len();
            match this.stream.poll_read(cx, buffer) {
                Poll::Pending => {
                    this.look(cx)?;
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    count_if_cut(&error);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) if buffer.filled().len() > before => this.bytes_came(),
                Poll::Ready(Ok(())) => {}
            }
            if this.incoming.take(buffer, before, &this.expectation) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The bytes of a file may look like a refusal, too, so the state of the connection decides first.
        if this.refusal.is_none()
            && !this.requests.any()
            && this.incoming.may_be_refused(this.requests.begun())
            && let Some(status) = refusal::status_of(bytes)
        {
            let other = this.refusals.told(status, this.incoming.request_line());
            this.refusal = Some((other, 0));
        }
        if this.refusal.is_some() {
            ready!(this.poll_refusal(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = this.stream.poll_write(cx, bytes);
        this.written(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream.poll_write_vectored(cx, pieces);
        this.written(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}
