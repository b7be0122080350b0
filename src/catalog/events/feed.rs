//! The feed: what one reader of the outbox (`reading`) passes to all streams of this process.
//!
//! It decides nothing. A reader of the feed knows its own place, and reads the rows itself where the feed does not go on
//! from there: at its beginning, after it was slower than the feed, and after the feed has begun anew. So whatever is
//! lost on the way is only late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::model::Event;
use crate::model::event::{EventId, Generation};

/// The number of events that the feed keeps for readers that are a little slower.
const KEPT: usize = 256;

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
    pub(super) fn new(event: Event, generation: Generation) -> Self {
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

    /// Waits until it is time to look.
    pub(super) async fn wait(&self) {
        let _either = timeout(LOOK_EVERY, self.due.notified()).await;
    }

    pub(super) fn has_readers(&self) -> bool {
        self.readers.receiver_count() > 0
    }

    pub(super) fn pass_on(&self, fed: Fed) {
        // It fails only without readers.
        let _nobody = self.readers.send(fed);
    }
}
