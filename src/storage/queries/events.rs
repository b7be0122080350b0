//! The outbox of events, in the order of the commits.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::event::{Event, EventHead, NewEvent};
use crate::storage::db::{CHANNEL, Either};
use crate::storage::{StorageError, Tx};

/// Lists the columns that an [`Event`] is read from.
macro_rules! event_columns {
    ($name:ident) => {
        columns!($name: position, kind, at, actor, subject, image, channel, revision, data)
    };
}
#[cfg(test)]
pub(super) use event_columns;

impl Tx {
    /// Returns the newest place.
    pub async fn event_head(&mut self) -> Result<EventHead, StorageError> {
        let head = optional!(self, "select position, generation from event_head where id = 1")?;
        head.ok_or_else(|| StorageError::Damaged("the record of the newest event is gone".into()))
    }

    /// Gives events the next places. The row of the newest place stays locked: the next transaction with events waits
    /// for the end of this one, and gets later places. Places therefore follow the order of the commits, and have no
    /// gaps.
    ///
    /// `generation` becomes the mark of this catalog's events, unless it has one.
    pub(in crate::storage) async fn append_events(
        &mut self,
        events: Vec<NewEvent>,
        generation: Uuid,
    ) -> Result<(), StorageError> {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let newest: i64 = value!(
            self,
            "update event_head set position = position + $1, generation = coalesce(generation, $2) where id = 1 \
             returning position",
            count,
            generation
        )?;
        for (place, event) in (newest - count + 1..).zip(events) {
            self.insert_event(place, event).await?;
        }
        if let Either::Postgres(tx) = &mut self.on {
            // Sent with the commit.
            tx.run(sqlx::query("select pg_notify($1, '')").bind(CHANNEL)).await?;
        }
        Ok(())
    }

    async fn insert_event(&mut self, position: i64, event: NewEvent) -> Result<(), StorageError> {
        insert!(self, "event", {
            position: position,
            kind: event.kind,
            at: event.at,
            actor: event.actor,
            subject: event.subject,
            image: event.place.image,
            channel: event.place.channel,
            revision: event.place.revision,
            data: Json(event.data),
        })?;
        Ok(())
    }

    /// Lists the events after a place, in order.
    pub async fn events_after(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                event_columns!(event),
                " from event where position > $1 order by position limit $2"
            ),
            after,
            limit
        )
    }

    /// Returns the place of the oldest event that is kept.
    pub async fn oldest_event(&mut self) -> Result<Option<i64>, StorageError> {
        value!(self, "select min(position) from event")
    }

    /// Removes events that happened before `before`, at most `limit` of them, and returns how many. They are removed in
    /// order, so that those that stay have no gap.
    pub async fn forget_events(
        &mut self,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "delete from event where position in (select position from event where position < \
             (select coalesce(min(position), $3) from event where at >= $1) order by position limit $2)",
            before,
            limit,
            i64::MAX
        )
    }
}
