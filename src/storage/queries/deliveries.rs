//! The deliveries of events to webhooks.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::webhook::{Delivery, DeliveryState};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Delivery`] is read from.
macro_rules! delivery_columns {
    ($name:ident) => {
        columns!(
            $name: webhook_id, position, event_id, kind, body, state, attempts, due_since, next_at, last_at,
            last_status, last_error
        )
    };
}
#[cfg(test)]
pub(super) use delivery_columns;

impl Tx {
    /// Returns the place up to which a webhook's events are deliveries.
    pub async fn webhook_place(&mut self, webhook: Uuid) -> Result<Option<i64>, StorageError> {
        let query = "select position from webhook_place where webhook_id = $1";
        let row: Option<(i64,)> = optional!(self, query, webhook)?;
        Ok(row.map(|(position,)| position))
    }

    pub async fn put_webhook_place(
        &mut self,
        webhook: Uuid,
        position: i64,
    ) -> Result<(), StorageError> {
        insert!(
            self,
            "webhook_place",
            { webhook_id: webhook, position: position, },
            " on conflict (webhook_id) do update set position = excluded.position",
        )?;
        Ok(())
    }

    /// Adds a delivery, unless it is there.
    pub async fn insert_delivery(&mut self, delivery: &Delivery) -> Result<(), StorageError> {
        insert!(self, "delivery", {
            webhook_id: delivery.webhook_id,
            position: delivery.position,
            event_id: &delivery.event_id,
            kind: &delivery.kind,
            body: &delivery.body,
            state: delivery.state,
            attempts: delivery.attempts,
            due_since: delivery.due_since,
            next_at: delivery.next_at,
        }, " on conflict (webhook_id, position) do nothing")?;
        Ok(())
    }

    /// Returns the delivery that comes next: the oldest one that waits, but for those that have failed more than
    /// `in_order` times and are not due.
    pub async fn next_delivery(
        &mut self,
        webhook: Uuid,
        in_order: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<Delivery>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                delivery_columns!(delivery),
                " from delivery where webhook_id = $1 and state = 'waiting' and (attempts <= $2 or next_at <= $3) \
                 order by position limit 1"
            ),
            webhook,
            in_order,
            now
        )
    }

    /// Returns the time of the next attempt of any delivery.
    pub async fn next_attempt(
        &mut self,
        webhook: Uuid,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        value!(
            self,
            "select min(next_at) from delivery where webhook_id = $1 and state = 'waiting'",
            webhook
        )
    }

    /// Records an attempt.
    pub async fn note_attempt(&mut self, delivery: &Delivery) -> Result<(), StorageError> {
        execute!(
            self,
            "update delivery set state = $3, attempts = $4, next_at = $5, last_at = $6, last_status = $7, \
             last_error = $8, due_since = $9 where webhook_id = $1 and position = $2",
            delivery.webhook_id,
            delivery.position,
            delivery.state,
            delivery.attempts,
            delivery.next_at,
            delivery.last_at,
            delivery.last_status,
            &delivery.last_error,
            delivery.due_since
        )?;
        Ok(())
    }

    /// Makes the deliveries that have failed before due now, because the receiver is there again.
    pub async fn try_failed_deliveries(
        &mut self,
        webhook: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update delivery set next_at = $2 where webhook_id = $1 and state = 'waiting' and next_at > $2",
            webhook,
            now
        )?;
        Ok(())
    }

    pub async fn delivery(
        &mut self,
        webhook: Uuid,
        position: i64,
    ) -> Result<Option<Delivery>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                delivery_columns!(delivery),
                " from delivery where webhook_id = $1 and position = $2"
            ),
            webhook,
            position
        )
    }

    /// Lists a webhook's deliveries before a place, newest first.
    pub async fn deliveries_before(
        &mut self,
        webhook: Uuid,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Delivery>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                delivery_columns!(delivery),
                " from delivery where webhook_id = $1 and position < $2 order by position desc limit $3"
            ),
            webhook,
            before,
            limit
        )
    }

    /// Removes deliveries that ended before `before`, at most `limit` of them, and returns how many.
    pub async fn forget_deliveries(
        &mut self,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "delete from delivery where (webhook_id, position) in (select webhook_id, position from delivery \
             where state <> 'waiting' and last_at < $1 order by last_at limit $2)",
            before,
            limit
        )
    }

    pub async fn count_deliveries(&mut self, state: DeliveryState) -> Result<i64, StorageError> {
        value!(self, "select count(*) from delivery where state = $1", state)
    }
}
