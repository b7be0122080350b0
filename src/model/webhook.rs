//! Webhooks: the receivers that events are sent to, and the deliveries to them.
//!
//! Which addresses may be called is decided where they are called, in the room `delivery`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::name::WebhookName;
use super::row::{from_row, stored_as_text};
use super::tag;

/// The prefix of secrets, by which people and scanners recognise them.
const PREFIX: &str = "whsec_";

/// A receiver of events.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub id: Uuid,
    pub name: WebhookName,
    pub url: String,
    /// Words of types; none for all.
    pub types: Vec<String>,
    /// Patterns of images; none for all events, those without an image too.
    pub images: Vec<String>,
    /// False if nothing is sent.
    pub active: bool,
    /// The reason why the server has stopped sending.
    pub ended: Option<String>,
    pub version: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub old_secret_until: Option<DateTime<Utc>>,
}

from_row!(Webhook {
    id,
    name,
    url,
    types: json,
    images: json,
    active,
    ended,
    version,
    created_by,
    created_at,
    updated_at,
    old_secret_until,
});

impl Webhook {
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

/// A secret that signs deliveries: `whsec_` and the key in base64. It is never shown in a log.
#[derive(Debug, Clone)]
pub struct WebhookSecret(SecretString);

impl WebhookSecret {
    pub fn of_key(key: &[u8]) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(key)).into())
    }

    /// Returns the secret that was stored.
    pub fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the one answer that shows it and for its row.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the key; empty if the stored text was altered.
    pub fn key(&self) -> Vec<u8> {
        let encoded = self.reveal().strip_prefix(PREFIX).unwrap_or_default();
        STANDARD.decode(encoded).unwrap_or_default()
    }
}

/// The secrets of a webhook as they are stored.
pub struct StoredSecrets {
    pub secret: String,
    pub old_secret: Option<String>,
    pub old_secret_until: Option<DateTime<Utc>>,
}

from_row!(StoredSecrets { secret, old_secret, old_secret_until });

impl StoredSecrets {
    /// Returns the secrets that sign now, the newest first.
    pub fn in_force(self, now: DateTime<Utc>) -> Vec<WebhookSecret> {
        let overlaps = self.old_secret_until.is_some_and(|until| now < until);
        let old = self.old_secret.filter(|_| overlaps);
        [Some(self.secret), old].into_iter().flatten().map(WebhookSecret::stored).collect()
    }
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It will be tried, for the first time or again.
    Waiting,
    Delivered,
    /// It was tried for as long as the settings say, and is not tried again unless somebody asks for it.
    SetAside,
}

stored_as_text!(DeliveryState);

/// An event for one webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub webhook_id: Uuid,
    pub position: i64,
    pub event_id: String,
    pub kind: String,
    pub body: String,
    pub state: DeliveryState,
    pub attempts: i64,
    /// The time since which it is tried.
    pub due_since: DateTime<Utc>,
    pub next_at: DateTime<Utc>,
    pub last_at: Option<DateTime<Utc>>,
    pub last_status: Option<i64>,
    pub last_error: Option<String>,
}

from_row!(Delivery {
    webhook_id,
    position,
    event_id,
    kind,
    body,
    state,
    attempts,
    due_since,
    next_at,
    last_at,
    last_status,
    last_error,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_padded_base64_and_does_not_print() {
        let secret = WebhookSecret::of_key(&[7; 32]);
        assert_eq!(secret.reveal(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(secret.key(), [7; 32]);
        assert!(!format!("{secret:?}").contains("Bwc"));
    }
}
