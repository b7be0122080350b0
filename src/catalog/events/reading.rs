//! The reading of the outbox: for the feed of this process, and for those whom the feed does not fit.

use std::sync::Arc;

use super::feed::{Fed, Feed, Told};
use crate::catalog::{Catalog, Result};
use crate::model::event::{EventHead, EventId, Generation};

/// The number of rows that are read at once.
const PAGE: i64 = 100;

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
            feed.wait().await;
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
