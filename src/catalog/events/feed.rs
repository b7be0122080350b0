//! The feed: one reader of the outbox for all streams of this process.
//!
//! It decides nothing. A reader of the feed knows its own place, and reads the rows itself where the feed does not go on
//! from there: at its beginning, after it was slower than the feed, and after the feed has begun anew. So whatever is
//! lost on the way is only late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::catalog::{Catalog, Result};
use crate::model::Event;
use crate::model::event::{EventHead, EventId, Generation};

/// The number of events that the feed keeps for readers that are a little slower.
const KEPT: usize = 256;

/// The number of rows that are read at once.
const PAGE: i64 = 100;

/// The interval at which the feed looks if nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An event, and the text that all its readers get.
#[derive(Debug)]
pub struct Told {
    pub id: EventId,
    pub event: Event,
    pub json: String,
}

impl Told {
    fn new(event: Event, generation: Generation) -> Self {
        let json = event.to_json(generation);
        Self { id: EventId { generation, position: event.position }, event, json }
    }
}

/// A message of the feed.
#[derive(Debug, Clone)]
pub enum Fed {
    Event(Arc<Told>),
    /// There are events up to this place, which the feed does not pass on.
    Newest(i64),
    /// The catalog has changed, perhaps the rights of the reader.
    CatalogChanged,
}

/// The feed of this process. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    readers: broadcast::Sender<Fed>,
    due: Arc<Notify>,
    ended: CancellationToken,
}

impl Default for Feed {
    fn default() -> Self {
        let readers = broadcast::Sender::new(KEPT);
        Self { readers, due: Arc::default(), ended: CancellationToken::new() }
    }
}

impl Feed {
    pub fn subscribe(&self) -> broadcast::Receiver<Fed> {
        self.readers.subscribe()
    }

    /// Wakes the feed, because something may have been committed.
    pub(in crate::catalog) fn look(&self) {
        self.due.notify_one();
    }

    /// Has all readers of this process look again.
    pub(in crate::catalog) fn wake_readers(&self) {
        self.pass_on(Fed::CatalogChanged);
    }

    /// Ends all streams, because the server stops.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Returns a future that is ready when the server stops.
    pub fn ended(&self) -> WaitForCancellationFutureOwned {
        self.ended.clone().cancelled_owned()
    }

    fn has_readers(&self) -> bool {
        self.readers.receiver_count() > 0
    }

    fn pass_on(&self, fed: Fed) {
        // It fails only without readers.
        let _nobody = self.readers.send(fed);
    }
}

impl Catalog {
    /// Returns the feed of this process.
    pub fn event_feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// Passes new events to the streams of this process, until cancelled. Without readers it asks nothing.
    pub async fn keep_feeding_events(&self) {
        let feed = self.event_feed();
        let (mut position, mut version) = (None, self.snapshot().version());
        loop {
            let _either = timeout(LOOK_EVERY, feed.due.notified()).await;
            if !feed.has_readers() {
                position = None;
                continue;
            }
            let now = self.snapshot().version();
            if std::mem::replace(&mut version, now) != now {
                feed.pass_on(Fed::CatalogChanged);
            }
            if let Err(error) = self.feed_after(&mut position).await {
                tracing::debug!(%error, "events could not be read; the next look makes up for it");
            }
        }
    }

    /// Passes on what came after `position`, and moves it.
    async fn feed_after(&self, position: &mut Option<i64>) -> Result<()> {
        let head = self.newest_event().await?;
        let Some(last) = position else {
            *position = Some(head.position);
            self.event_feed().pass_on(Fed::Newest(head.position));
            return Ok(());
        };
        while *last < head.position {
            let page = self.events_after(*last).await?;
            let Some(newest) = page.last() else {
                // They were removed, which takes days, or the catalog was replaced.
                *last = head.position;
                break;
            };
            *last = newest.event.position;
            for told in page {
                self.event_feed().pass_on(Fed::Event(told));
            }
        }
        if head.position < *last {
            *position = None;
        }
        Ok(())
    }

    /// Returns the newest place of the events.
    pub async fn newest_event(&self) -> Result<EventHead> {
        Ok(self.db.look().await?.event_head().await?)
    }

    /// Returns the first events after a place, in order.
    pub async fn events_after(&self, after: i64) -> Result<Vec<Arc<Told>>> {
        let mut tx = self.db.read().await?;
        let generation = Generation::of(tx.event_head().await?.generation);
        let page = tx.events_after(after, PAGE).await?;
        Ok(page.into_iter().map(|event| Arc::new(Told::new(event, generation))).collect())
    }

    /// Returns the place after which a reader goes on that has read up to `id`. None if there is none any more, or it
    /// is of another catalog: then events are missing.
    pub async fn place_after(&self, id: EventId) -> Result<Option<i64>> {
        let mut tx = self.db.read().await?;
        let head = tx.event_head().await?;
        let oldest = tx.oldest_event().await?.unwrap_or(head.position + 1);
        let is_known = id.generation == head.id().generation
            && (oldest - 1..=head.position).contains(&id.position);
        Ok(is_known.then_some(id.position))
    }
}
