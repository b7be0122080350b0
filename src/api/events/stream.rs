//! The body of a stream: events from the reader's own place on, in order and without a gap.
//!
//! It knows how far it has come, takes from the feed what follows there, and reads everything else itself. The framework
//! asks for more only when the connection has taken what was there before, so a reader that does not read costs nothing
//! here; the system cuts it (`server.send_timeout`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::Error;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout_at};

use super::open_streams::StreamPlace;
use super::reader::Reader;
use crate::api::depot::Depot;
use crate::catalog::events::feed::{Fed, Told};
use crate::model::event::EventId;

/// The interval of comments, by which proxies and readers see that the stream lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// A comment. With an empty line behind it, some readers would take it for an event.
const COMMENT: Bytes = Bytes::from_static(b":\n");

/// The pause before rows are read again after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A stream that ends at once and asks its reader to come again later. A browser would take any other status than 200
/// for the end, and never come again.
pub const TOO_MANY: &str = ": too many streams are open\nretry: 15000\n\n";

/// The place after which a reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// With what happens from now on.
    Now,
    After(EventId),
    /// After something that is no event of this catalog.
    Unknown,
}

impl Position {
    pub fn read(last: Option<&str>) -> Self {
        match last.map(str::parse) {
            None => Self::Now,
            Some(Ok(id)) => Self::After(id),
            Some(Err(_)) => Self::Unknown,
        }
    }
}

/// The next step of a stream.
enum Next {
    /// The first events after the stream's place; none if it has come to the newest one.
    Page(Vec<Arc<Told>>),
    /// The event that follows on the stream's place.
    Event(Arc<Told>),
    /// Rows have to be read, because the feed does not go on from the stream's place.
    Gap,
    /// The reader's rights may have changed, or an attempt failed.
    Check,
    Comment,
}

impl Next {
    fn is_event(&self) -> bool {
        matches!(self, Self::Event(_))
    }
}

/// Returns the body of a stream.
pub fn of(
    depot: Arc<Depot>,
    reader: Reader,
    position: Position,
    place: StreamPlace,
) -> impl Stream<Item = Result<Bytes, Error>> {
    async_stream::stream! {
        let _place = place;
        let source = depot.catalog.event_feed();
        // Before the rows are read: what is committed in between is in one of the two.
        let (mut fed, mut ended) = (source.subscribe(), pin!(source.ended()));
        let until = reader.lasts_for().map(|time| Instant::now() + time);
        yield Ok(COMMENT);
        let (mut after, reset) = tokio::select! {
            begun = begin(&depot, position) => begun,
            () = &mut ended => return,
        };
        if let Some(reset) = reset {
            yield Ok(reset);
        }
        let (mut is_behind, mut comment_at) = (true, Instant::now() + COMMENT_EVERY);
        loop {
            let next = tokio::select! {
                next = next(&depot, &mut fed, (after, is_behind), comment_at) => next,
                () = &mut ended => return,
            };
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if is_over || !next.is_event() && !reader.is_still_welcome(&depot) {
                return;
            }
            match next {
                Next::Page(page) => {
                    is_behind = !page.is_empty();
                    for told in page {
                        after = told.id.position;
                        if reader.gets(&told) {
                            yield Ok(frame(&told));
                            comment_at = Instant::now() + COMMENT_EVERY;
                        }
                    }
                }
                Next::Event(told) => {
                    after = told.id.position;
                    if reader.gets(&told) {
                        yield Ok(frame(&told));
                        comment_at = Instant::now() + COMMENT_EVERY;
                    }
                }
                Next::Gap => is_behind = true,
                Next::Check => {}
                Next::Comment => {
                    yield Ok(COMMENT);
                    comment_at = Instant::now() + COMMENT_EVERY;
                }
            }
        }
    }
}

/// Returns the place that a stream begins after, and the message that tells the reader that events are missing.
async fn begin(depot: &Depot, position: Position) -> (i64, Option<Bytes>) {
    loop {
        if let Ok(begun) = try_to_begin(depot, position).await {
            return begun;
        }
        // The database does not answer. An error would be the end for a browser.
        sleep(TRY_AGAIN).await;
    }
}

async fn try_to_begin(
    depot: &Depot,
    position: Position,
) -> Result<(i64, Option<Bytes>), crate::catalog::Error> {
    if let Position::After(id) = position
        && let Some(after) = depot.catalog.place_after(id).await?
    {
        return Ok((after, None));
    }
    let head = depot.catalog.newest_event().await?;
    let reset = (position != Position::Now).then(|| reset(head.id()));
    Ok((head.position, reset))
}

/// Reads what follows on the place `after` if the stream is behind, and else waits for it.
async fn next(
    depot: &Depot,
    fed: &mut Receiver<Fed>,
    (after, is_behind): (i64, bool),
    comment_at: Instant,
) -> Next {
    if is_behind {
        if let Ok(page) = depot.catalog.events_after(after).await {
            return Next::Page(page);
        }
        sleep(TRY_AGAIN).await;
        return Next::Check;
    }
    loop {
        let Ok(received) = timeout_at(comment_at, fed.recv()).await else { return Next::Comment };
        match received {
            Ok(Fed::Event(told)) if told.id.position <= after => {}
            Ok(Fed::Event(told)) if told.id.position == after + 1 => return Next::Event(told),
            Ok(Fed::Newest(newest)) if newest <= after => {}
            Ok(Fed::CatalogChanged) => return Next::Check,
            // The feed lives as long as the catalog, so it is only ahead.
            Ok(Fed::Event(_) | Fed::Newest(_)) | Err(RecvError::Lagged(_) | RecvError::Closed) => {
                return Next::Gap;
            }
        }
    }
}

fn frame(told: &Told) -> Bytes {
    format!("id: {}\nevent: {}\ndata: {}\n\n", told.id, told.event.kind, told.json).into()
}

/// Tells the reader that events are missing: what it knows may be out of date, and what comes follows on `newest`.
fn reset(newest: EventId) -> Bytes {
    format!("id: {newest}\nevent: reset\ndata: {{\"id\":\"{newest}\",\"type\":\"reset\"}}\n\n")
        .into()
}
