//! A connection as HTTP is spoken over it, plain or by TLS, and the time it may take.
//!
//! The framework watches the head of the first request and how long a connection waits for the next. What it
//! leaves open is looked at here every few seconds: later heads that come in drop by drop, answers that nobody reads,
//! clients whose certificate was revoked or has expired since. Bodies are watched where they are read, in
//! `api::conventions::slow_body`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::handshake::Standing;
use crate::model::metric;
use crate::telemetry::request::UnderWay;

/// One timer for each connection, not one for each request: setting one costs more than looking at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long the head of a request may take.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a client may take none of an answer that waits for it.
const STALLED_FOR: Duration = Duration::from_mins(2);

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The client's certificates, its own first.
    fn chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::Plain(_) => &[],
            Self::Tls(stream) => stream.get_ref().1.peer_certificates().unwrap_or_default(),
        }
    }
}

pub(super) struct Connection {
    stream: Stream,
    standing: Option<Standing>,
    /// Requests that are being answered on it.
    under_way: UnderWay,
    next_look: Pin<Box<Sleep>>,
    /// Since when bytes are there that are no request yet.
    head_since: Option<Instant>,
    /// Since when bytes wait for the client.
    stalled_since: Option<Instant>,
}

impl Connection {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::new(Stream::Plain(stream), None)
    }

    /// With its standing where the listener requires certificates.
    pub(super) fn tls(stream: TlsStream<TcpStream>, standing: Option<Standing>) -> Self {
        Self::new(Stream::Tls(Box::new(stream)), standing)
    }

    fn new(stream: Stream, standing: Option<Standing>) -> Self {
        Self {
            stream,
            standing,
            under_way: UnderWay::default(),
            next_look: Box::pin(sleep(LOOK_EVERY)),
            head_since: None,
            stalled_since: None,
        }
    }

    /// The client's certificate, where one is required.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.standing.as_ref().and_then(|_| self.stream.chain().first())
    }

    pub(super) fn under_way(&self) -> &UnderWay {
        &self.under_way
    }

    fn bytes_came(&mut self) {
        if self.head_since.is_none() && !self.under_way.any() {
            self.head_since = Some(Instant::now());
        }
    }

    fn written(
        &mut self,
        polled: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_pending() {
            self.stalled_since.get_or_insert_with(Instant::now);
            self.look(cx)?;
        } else {
            self.stalled_since = None;
            // An answer: what came before it was a request.
            self.head_since = None;
        }
        polled
    }

    /// Looks, when it is time to, whether the client keeps the connection for nothing.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.next_look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.under_way.any() {
                self.head_since = None;
            }
            if let Some(standing) = &mut self.standing
                && !standing.still_good(self.stream.chain())
            {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let longer = |since: Option<Instant>, than| {
                since.is_some_and(|since| now.duration_since(since) >= than)
            };
            let late =
                longer(self.head_since, HEAD_TIME) || longer(self.stalled_since, STALLED_FOR);
            if late {
                metric::CONNECTIONS_CUT.increment(1);
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.next_look.as_mut().reset(now + LOOK_EVERY);
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        match polled {
            Poll::Pending => {
                this.look(cx)?;
                Poll::Pending
            }
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                this.bytes_came();
                Poll::Ready(Ok(()))
            }
            ended @ Poll::Ready(_) => ended,
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
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        this.written(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        };
        this.written(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
