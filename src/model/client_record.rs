//! The record of clients: what each client machine last asked of each image and channel, and what it was told.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::name::{ClientId, ImageName, InvalidName};
use super::report::ReportStatus;
use super::row::from_row;

/// A check that is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCheck {
    pub client: ClientId,
    pub image_id: Uuid,
    pub channel_id: Uuid,
    /// The revision that the client has; 0 for none.
    pub revision: i64,
    /// The client's group, in lower case.
    pub group: Option<Arc<str>>,
    pub action: String,
    pub reason: String,
    /// The promotion whose revision the client was offered; none if it was offered nothing.
    pub promotion_id: Option<Uuid>,
    pub address: IpAddr,
    pub agent: Arc<str>,
    /// Set if the client has sent credentials.
    pub authenticated: bool,
    /// The time of the first check that this one stands for.
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

/// The place of a row in the record, which is also its place in lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordPlace {
    /// The client's id in lower case.
    pub client_key: String,
    pub image_id: Uuid,
    pub channel_id: Uuid,
}

from_row!(RecordPlace { client_key, image_id, channel_id });

/// A row of the record.
#[derive(Debug, Clone)]
pub struct ClientRecord {
    pub place: RecordPlace,
    pub client: ClientId,
    pub image: ImageName,
    /// The name of the channel, which may have been deleted.
    pub channel: String,
    pub revision: i64,
    pub client_group: Option<String>,
    /// The words of the answer. A later version of the program may have written others than this one knows.
    pub action: Option<String>,
    pub reason: Option<String>,
    pub promotion_id: Option<Uuid>,
    pub address: String,
    pub agent: String,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
    pub status: Option<ReportStatus>,
    pub reported_revision: Option<i64>,
    pub reported_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

from_row!(ClientRecord {
    place: flatten,
    client,
    image,
    channel,
    revision,
    client_group,
    action,
    reason,
    promotion_id,
    address,
    agent,
    first_seen,
    last_seen,
    status,
    reported_revision,
    reported_at,
    error,
});

/// Returns the day of a time, in days since 1970 (UTC).
pub fn day(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(24 * 60 * 60)
}

/// The rows that a caller asks for. Every condition that is set has to hold.
#[derive(Debug, Clone, Default)]
pub struct ClientFilter {
    pub image: Option<Uuid>,
    pub channel: Option<Uuid>,
    pub revision: Option<i64>,
    /// In lower case.
    pub group: Option<String>,
    pub status: Option<ReportStatus>,
    pub seen_before: Option<DateTime<Utc>>,
    pub seen_after: Option<DateTime<Utc>>,
    /// The [`day`] after which the clients were not seen. It is set if `seen_before` is so long ago that few clients
    /// match, so that they are looked up by their day.
    pub seen_up_to_day: Option<i64>,
    pub clients: Option<IdPattern>,
    /// Patterns of the names of images that the caller may know of; empty for all.
    pub scope: Vec<String>,
}

/// A pattern of client ids or of mirrors' names, in lower case, in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPattern(String);

impl IdPattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text before the first `*`. Without a `*`, that is all of it.
    pub fn prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Reports whether the pattern is the id of one client.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }
}

impl From<&ClientId> for IdPattern {
    fn from(client: &ClientId) -> Self {
        Self(client.key())
    }
}

impl FromStr for IdPattern {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // With letters in the place of the stars, it has to be a client's id.
        let is_valid = text.replace('*', "x").parse::<ClientId>().is_ok();
        let rule = "a pattern must have 1 to 64 letters, digits, '.', '_', '-' or '*'";
        if !is_valid {
            return Err(InvalidName(rule));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl<'de> Deserialize<'de> for IdPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_clients_id_with_stars() {
        let pattern: IdPattern = "PC-08*".parse().unwrap();
        assert_eq!(
            (pattern.as_str(), pattern.prefix(), pattern.is_exact()),
            ("pc-08*", "pc-08", false)
        );
        assert!("Lab_1".parse::<IdPattern>().unwrap().is_exact());
        assert_eq!("*".parse::<IdPattern>().unwrap().prefix(), "");
        for wrong in ["", "a b", "pc\0*", "ä*", &"*".repeat(65)] {
            assert!(wrong.parse::<IdPattern>().is_err(), "{wrong:?}");
        }
    }
}
