//! The queue of a webhook: its events become deliveries, and each is tried until it succeeds or is set aside.
//!
//! A delivery that fails holds the later ones back for the first few pauses, so that an interruption of some minutes
//! changes no order. After that the later ones go past it. The first success makes all others due at once.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::outcome::{DELIVERED, FAILED, SET_ASIDE};
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::events::feed::Told;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::event::EventId;
use crate::model::webhook::{Delivery, DeliveryState};
use crate::model::{EventTypes, Webhook, metric};
use crate::storage::Tx;

/// The number of ended deliveries that are removed in one transaction.
const BATCH: u16 = 1000;

/// The length in characters of the longest error that is kept.
const LONGEST_ERROR: usize = 500;

/// The next step for a webhook.
pub enum Next {
    Send(Box<(Webhook, Delivery)>),
    /// Nothing before this time, or before the next event.
    Wait(Option<DateTime<Utc>>),
    /// The webhook is not there any more, or nothing is sent to it.
    Over,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The reason why the attempt failed; none if it has not.
    pub error: Option<String>,
}

impl Catalog {
    /// Returns the webhooks that events are sent to.
    pub async fn active_webhooks(&self) -> Result<Vec<Uuid>> {
        let ids = self.db.look().await?.active_webhooks().await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    /// Returns what is to be done for a webhook now.
    pub async fn next_for_webhook(&self, id: Uuid) -> Result<Next> {
        loop {
            let now = self.clock.now();
            let mut tx = self.db.read().await?;
            let Some(webhook) = tx.webhook(id).await?.filter(|webhook| webhook.active) else {
                return Ok(Next::Over);
            };
            if let Some(delivery) = tx.next_delivery(id, self.tries_in_order(), now).await? {
                if delivery.next_at > now {
                    return Ok(Next::Wait(Some(delivery.next_at)));
                }
                return Ok(Next::Send(Box::new((webhook, delivery))));
            }
            let next_attempt = tx.next_attempt(id).await?;
            drop(tx);
            if !self.queue_events(&webhook).await? {
                return Ok(Next::Wait(next_attempt));
            }
        }
    }

    /// Returns the number of failures after which later deliveries go past one.
    fn tries_in_order(&self) -> i64 {
        let pauses = self.rules().webhooks.retries.len();
        i64::try_from(pauses).unwrap_or(i64::MAX) - 1
    }

    /// Makes the next events deliveries, and reports whether there were any events.
    async fn queue_events(&self, webhook: &Webhook) -> Result<bool> {
        let place = self.db.look().await?.webhook_place(webhook.id).await?;
        let head = self.newest_event().await?;
        let page = match place {
            Some(place) => self.events_after(place).await?,
            None => Vec::new(),
        };
        // After a restore there is no place; the events since then are told.
        let newest = page.last().map_or(head.position, |told| told.id.position);
        if place == Some(newest) {
            return Ok(false);
        }
        let types = EventTypes::stored(webhook.types.clone());
        let wanted = |told: &&Arc<Told>| {
            types.include(&told.event.kind) && told.event.concerns(&webhook.images)
        };
        let mut tx = self.db.write_to_free().await?;
        tx.lock_webhook(webhook.id).await?;
        for told in page.iter().filter(wanted) {
            tx.insert_delivery(&delivery_of(webhook, told)).await?;
        }
        tx.put_webhook_place(webhook.id, newest).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records an attempt. Returns the delivery as it is now.
    pub async fn note_attempt(
        &self,
        mut delivery: Delivery,
        attempt: &Attempt,
    ) -> Result<Delivery> {
        let now = self.clock.now();
        delivery.last_at = Some(now);
        delivery.attempts += 1;
        delivery.last_status = attempt.status.map(i64::from);
        delivery.last_error = attempt.error.as_deref().map(shortened);
        delivery.state = match &attempt.error {
            None => DeliveryState::Delivered,
            Some(_) if now - delivery.due_since >= self.gives_up_after() => DeliveryState::SetAside,
            Some(_) => DeliveryState::Waiting,
        };
        delivery.next_at = now + self.pause_after(delivery.attempts);
        let mut tx = self.db.write_to_free().await?;
        tx.note_attempt(&delivery).await?;
        if delivery.state == DeliveryState::Delivered {
            tx.try_failed_deliveries(delivery.webhook_id, now).await?;
        }
        tx.commit().await?;
        let outcome = match delivery.state {
            DeliveryState::Delivered => DELIVERED,
            DeliveryState::Waiting => FAILED,
            DeliveryState::SetAside => SET_ASIDE,
        };
        metric::WEBHOOK_DELIVERIES.with([outcome]).increment(1);
        Ok(delivery)
    }

    fn gives_up_after(&self) -> TimeDelta {
        TimeDelta::from_std(self.rules().webhooks.give_up_after).unwrap_or(TimeDelta::MAX)
    }

    /// Returns the pause after so many failures.
    fn pause_after(&self, attempts: i64) -> TimeDelta {
        let rules = self.rules();
        let pauses = &rules.webhooks.retries;
        let index = usize::try_from(attempts - 1).unwrap_or(0).min(pauses.len().saturating_sub(1));
        let pause = pauses.get(index).copied().unwrap_or_default();
        TimeDelta::from_std(pause).unwrap_or(TimeDelta::hours(1))
    }

    /// Returns a webhook's deliveries before a place, newest first.
    pub async fn deliveries(
        &self,
        webhook: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        let mut tx = self.db.read().await?;
        tx.webhook(webhook).await?.ok_or(Error::WebhookNotFound)?;
        Ok(tx.deliveries_before(webhook, before.unwrap_or(i64::MAX), limit).await?)
    }

    /// Has a delivery tried again now, also one that was set aside or has arrived.
    pub async fn retry_delivery(
        &self,
        actor: &Actor,
        webhook: Uuid,
        event: EventId,
    ) -> Result<Delivery> {
        let mut tx = self.db.write().await?;
        tx.lock_webhook(webhook).await?;
        tx.webhook(webhook).await?.ok_or(Error::WebhookNotFound)?;
        let mut delivery = known_delivery(&mut tx, webhook, event).await?;
        let now = self.clock.now();
        delivery.state = DeliveryState::Waiting;
        delivery.attempts = 0;
        (delivery.due_since, delivery.next_at) = (now, now);
        tx.note_attempt(&delivery).await?;
        let subject = format!("webhooks/{webhook}/deliveries/{event}");
        let entry = Entry { action: "webhook.retry", subject, actor };
        self.audit(&mut tx, entry, NOTHING, NOTHING);
        tx.commit().await?;
        self.event_feed().wake_readers();
        Ok(delivery)
    }

    /// Removes deliveries that ended longer than `events.keep` ago.
    pub(crate) async fn forget_old_deliveries(&self) -> Result<()> {
        let keep = TimeDelta::from_std(self.rules().events.keep).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.clock.now().checked_sub_signed(keep) else { return Ok(()) };
        loop {
            let mut tx = self.db.write_to_free().await?;
            let gone = tx.forget_deliveries(before, BATCH.into()).await?;
            tx.commit().await?;
            if gone < BATCH.into() {
                return Ok(());
            }
        }
    }
}

fn delivery_of(webhook: &Webhook, told: &Told) -> Delivery {
    Delivery {
        webhook_id: webhook.id,
        position: told.id.position,
        event_id: told.id.to_string(),
        kind: told.event.kind.clone(),
        body: told.json.clone(),
        state: DeliveryState::Waiting,
        attempts: 0,
        due_since: told.event.at,
        next_at: told.event.at,
        last_at: None,
        last_status: None,
        last_error: None,
    }
}

async fn known_delivery(tx: &mut Tx, webhook: Uuid, event: EventId) -> Result<Delivery> {
    let found = tx.delivery(webhook, event.position).await?;
    let found = found.filter(|delivery| delivery.event_id == event.to_string());
    found.ok_or(Error::DeliveryNotFound)
}

fn shortened(error: &str) -> String {
    error.chars().take(LONGEST_ERROR).collect()
}
