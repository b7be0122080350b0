//! Webhooks: the receivers that events are sent to. Created, changed, ended, deleted; [`queue`] has what is sent to them.
//!
//! Sending is not here: the room `delivery` does it, and knows which addresses may be called.

pub(super) mod outcome;
pub mod queue;

use chrono::TimeDelta;
use serde::Serialize;
use url::Url;
use uuid::Uuid;

use super::accounts::account::check_patterns;
use super::audit::{Entry, NOTHING};
use super::{Actor, Catalog, Error, Precondition, Result};
use crate::model::webhook::WebhookSecret;
use crate::model::{EventTypes, Webhook, WebhookName};
use crate::storage::Tx;

/// The most webhooks of a depot. Each has a connection of its own while something is sent to it.
const MOST: i64 = 100;

/// The time for which a secret that was replaced signs beside the new one.
const OVERLAP: TimeDelta = TimeDelta::days(1);

/// The length in bytes of the longest URL.
const LONGEST_URL: usize = 2000;

/// A new webhook.
pub struct WebhookDefinition {
    pub name: WebhookName,
    pub url: Url,
    pub types: EventTypes,
    pub images: Vec<String>,
}

/// A change of a webhook. What is none stays as it is.
#[derive(Default)]
pub struct WebhookChange {
    pub url: Option<Url>,
    pub types: Option<EventTypes>,
    pub images: Option<Vec<String>>,
    pub active: Option<bool>,
}

/// The audit's record of a webhook. The URL's path may be a secret, so only its origin is recorded.
#[derive(Serialize)]
struct Shown {
    name: WebhookName,
    receiver: String,
    types: Vec<String>,
    images: Vec<String>,
    active: bool,
}

impl Shown {
    fn of(webhook: &Webhook) -> Self {
        let url = Url::parse(&webhook.url);
        Self {
            name: webhook.name.clone(),
            receiver: url.map_or_else(|_| String::new(), |url| url.origin().ascii_serialization()),
            types: webhook.types.clone(),
            images: webhook.images.clone(),
            active: webhook.active,
        }
    }
}

impl Catalog {
    /// Creates a webhook, and returns it with its secret, which is never shown again. It gets the events from now on.
    pub async fn create_webhook(
        &self,
        actor: &Actor,
        definition: WebhookDefinition,
    ) -> Result<(Webhook, WebhookSecret)> {
        check_url(&definition.url)?;
        check_patterns(&definition.images)?;
        let now = self.clock.now();
        let webhook = Webhook {
            id: self.ids.next(),
            name: definition.name,
            url: definition.url.into(),
            types: definition.types.words().to_vec(),
            images: definition.images,
            active: true,
            ended: None,
            version: 1,
            created_by: actor.name.clone(),
            created_at: now,
            updated_at: now,
            old_secret_until: None,
        };
        let secret = WebhookSecret::of_key(&self.ids.webhook_key());
        let mut tx = self.db.write().await?;
        if tx.count_webhooks().await? >= MOST {
            return Err(Error::TooManyWebhooks(MOST));
        }
        tx.insert_webhook(&webhook, &secret)
            .await
            .map_err(|error| Error::name_taken(&webhook.name, error))?;
        let head = tx.event_head().await?;
        tx.put_webhook_place(webhook.id, head.position).await?;
        let after = Shown::of(&webhook);
        self.audit(&mut tx, entry("webhook.create", actor, webhook.id), NOTHING, Some(&after));
        tx.commit().await?;
        self.event_feed().wake_readers();
        Ok((webhook, secret))
    }

    pub async fn webhook(&self, id: Uuid) -> Result<Webhook> {
        known_webhook(&mut self.db.read().await?, id).await
    }

    /// Returns the webhooks after a name's key, in the order of the keys.
    pub async fn webhooks(&self, after: &str, limit: i64) -> Result<Vec<Webhook>> {
        Ok(self.db.read().await?.webhooks_after(after, limit).await?)
    }

    /// Changes a webhook. One that has ended is active again only if the change says so.
    pub async fn change_webhook(
        &self,
        actor: &Actor,
        id: Uuid,
        condition: &Precondition,
        change: WebhookChange,
    ) -> Result<Webhook> {
        let mut tx = self.db.write().await?;
        tx.lock_webhook(id).await?;
        let before = known_webhook(&mut tx, id).await?;
        condition.check(Some(&before.tag()))?;
        let mut webhook = before.clone();
        if let Some(url) = change.url {
            check_url(&url)?;
            webhook.url = url.into();
        }
        if let Some(images) = change.images {
            check_patterns(&images)?;
            webhook.images = images;
        }
        if let Some(types) = change.types {
            webhook.types = types.words().to_vec();
        }
        if let Some(active) = change.active {
            webhook.active = active;
            webhook.ended = None;
        }
        self.save_webhook(&mut tx, &mut webhook).await?;
        let (from, to) = (Shown::of(&before), Shown::of(&webhook));
        self.audit(&mut tx, entry("webhook.change", actor, id), Some(&from), Some(&to));
        tx.commit().await?;
        self.event_feed().wake_readers();
        Ok(webhook)
    }

    /// Deletes a webhook with everything that waits for it.
    pub async fn delete_webhook(
        &self,
        actor: &Actor,
        id: Uuid,
        condition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_webhook(id).await?;
        let webhook = known_webhook(&mut tx, id).await?;
        condition.check(Some(&webhook.tag()))?;
        tx.delete_webhook(id).await?;
        let before = Shown::of(&webhook);
        self.audit(&mut tx, entry("webhook.delete", actor, id), Some(&before), NOTHING);
        Ok(tx.commit().await?)
    }

    /// Gives a webhook another secret, and returns it. For a day, both sign.
    pub async fn rotate_webhook_secret(
        &self,
        actor: &Actor,
        id: Uuid,
    ) -> Result<(Webhook, WebhookSecret)> {
        let secret = WebhookSecret::of_key(&self.ids.webhook_key());
        let mut tx = self.db.write().await?;
        tx.lock_webhook(id).await?;
        let mut webhook = known_webhook(&mut tx, id).await?;
        let until = self.clock.now() + OVERLAP;
        tx.rotate_webhook_secret(id, &secret, until).await?;
        self.save_webhook(&mut tx, &mut webhook).await?;
        webhook.old_secret_until = Some(until);
        self.audit(&mut tx, entry("webhook.rotate", actor, id), NOTHING, NOTHING);
        tx.commit().await?;
        Ok((webhook, secret))
    }

    /// Returns the id of a test, which is no event.
    pub fn test_message_id(&self) -> String {
        format!("test-{}", self.ids.next())
    }

    /// Records that somebody has a test sent.
    pub async fn note_webhook_test(&self, actor: &Actor, id: Uuid) -> Result<Webhook> {
        let mut tx = self.db.write().await?;
        let webhook = known_webhook(&mut tx, id).await?;
        self.audit(&mut tx, entry("webhook.test", actor, id), NOTHING, NOTHING);
        tx.commit().await?;
        Ok(webhook)
    }

    /// Stops sending to a webhook whose receiver is gone for good. What waits for it stays.
    pub async fn end_webhook(&self, id: Uuid, why: &str) -> Result<()> {
        let actor = Actor::system("webhooks");
        let mut tx = self.db.write_to_free().await?;
        tx.lock_webhook(id).await?;
        let Some(mut webhook) = tx.webhook(id).await? else { return Ok(()) };
        let before = Shown::of(&webhook);
        webhook.active = false;
        webhook.ended = Some(why.to_owned());
        self.save_webhook(&mut tx, &mut webhook).await?;
        let after = Shown::of(&webhook);
        self.audit(&mut tx, entry("webhook.end", &actor, id), Some(&before), Some(&after));
        Ok(tx.commit().await?)
    }

    /// Returns the secrets that sign a webhook's deliveries now, the newest first.
    pub async fn webhook_secrets(&self, id: Uuid) -> Result<Vec<WebhookSecret>> {
        let stored = self.db.read().await?.webhook_secrets(id).await?;
        Ok(stored.ok_or(Error::WebhookNotFound)?.in_force(self.clock.now()))
    }

    async fn save_webhook(&self, tx: &mut Tx, webhook: &mut Webhook) -> Result<()> {
        webhook.version += 1;
        webhook.updated_at = self.clock.now();
        Ok(tx.update_webhook(webhook).await?)
    }
}

fn entry<'a>(action: &'static str, actor: &'a Actor, id: Uuid) -> Entry<'a> {
    Entry { action, subject: format!("webhooks/{id}"), actor }
}

async fn known_webhook(tx: &mut Tx, id: Uuid) -> Result<Webhook> {
    tx.webhook(id).await?.ok_or(Error::WebhookNotFound)
}

/// Checks what can be said of a URL without asking anybody. Where its name leads is checked at each delivery.
fn check_url(url: &Url) -> Result<()> {
    let refuse = |reason: &str| Err(Error::invalid("url", reason));
    if !["https", "http"].contains(&url.scheme()) || url.host().is_none() {
        return refuse(
            "must begin with https://, or with http:// for a receiver inside webhooks.allow",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must contain no name and no password: the signature says who sends");
    }
    if url.as_str().len() > LONGEST_URL {
        return refuse("must have at most 2000 characters");
    }
    Ok(())
}
