//! Bodies that arrive too slowly: their senders hold a request open, together with everything that it has reserved.
//!
//! Only the time in which a handler waits for bytes counts, not the time in which this server is the slow side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep};

use crate::model::metric;

/// The time of waiting in which a body must bring at least [`LEAST`] bytes, or its end.
const SPAN: Duration = Duration::from_secs(30);
const LEAST: usize = 1024;

/// Watches how fast a request's body arrives while it is read, and refuses one that is too slow.
pub async fn watch<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if !matches!(request.parts().1, Payload::None) {
        let body = Watched::new(request.take_payload(), SPAN);
        request.set_payload(Payload::Stream { payload: Box::pin(body) });
    }
    next.call(request).await
}

struct Watched<S> {
    body: S,
    span: Duration,
    /// The bytes that arrived in this span, and the part of the span that was spent waiting.
    came: usize,
    waited: Duration,
    waiting_since: Option<Instant>,
    end_of_span: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    fn new(body: S, span: Duration) -> Self {
        let end_of_span = Box::pin(sleep(span));
        Self { body, span, came: 0, waited: Duration::ZERO, waiting_since: None, end_of_span }
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Watched<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(piece) = this.body.poll_next_unpin(cx) {
            if let Some(since) = this.waiting_since.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(bytes)) = &piece {
                this.came += bytes.len();
            }
            return Poll::Ready(piece);
        }
        loop {
            if this.waiting_since.is_none() {
                let now = Instant::now();
                this.waiting_since = Some(now);
                this.end_of_span.as_mut().reset(now + this.span.saturating_sub(this.waited));
            }
            if this.end_of_span.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if this.came < LEAST {
                metric::CONNECTIONS_CUT.increment(1);
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body arrives too slowly");
                return Poll::Ready(Some(Err(PayloadError::Io(late))));
            }
            (this.came, this.waited, this.waiting_since) = (0, Duration::ZERO, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    const SPAN: Duration = Duration::from_millis(300);

    /// Returns a body of so many pieces, each after a `pause`.
    fn body(
        pieces: usize,
        bytes: usize,
        pause: Duration,
    ) -> impl Stream<Item = Result<Bytes, PayloadError>> {
        stream::iter(0..pieces).then(move |_| async move {
            sleep(pause).await;
            Ok(Bytes::from(vec![0; bytes]))
        })
    }

    async fn read(body: impl Stream<Item = Result<Bytes, PayloadError>>) -> (usize, bool) {
        let mut watched = Watched::new(Box::pin(body), SPAN);
        let mut length = 0;
        while let Some(piece) = watched.next().await {
            match piece {
                Ok(bytes) => length += bytes.len(),
                Err(_) => return (length, true),
            }
        }
        (length, false)
    }

    #[tokio::test]
    async fn a_slow_line_is_waited_for() {
        assert_eq!(read(body(30, 1024, SPAN / 10)).await, (30 * 1024, false));
    }

    #[tokio::test]
    async fn drops_and_silence_are_not() {
        let (length, late) = read(body(1000, 1, SPAN / 20)).await;
        assert!(late && (1..30).contains(&length), "{length}");
        assert_eq!(read(body(1, 1, Duration::from_hours(1))).await, (0, true));
    }

    #[tokio::test]
    async fn a_handler_that_takes_its_time_is_not_the_sender_s_fault() {
        let mut watched = Watched::new(Box::pin(body(4, 10, Duration::from_millis(1))), SPAN);
        while let Some(piece) = watched.next().await {
            piece.unwrap();
            sleep(2 * SPAN).await;
        }
    }
}
