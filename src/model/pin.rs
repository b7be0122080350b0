//! A client's own revision in a channel.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::name::ClientId;
use super::row::from_row;

#[derive(Debug, Clone)]
pub struct Pin {
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub client: ClientId,
    pub revision_id: Uuid,
    /// The revision's number.
    pub revision: i64,
    pub note: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

from_row!(Pin {
    image_id,
    channel_id,
    client,
    revision_id,
    revision,
    note,
    created_by,
    created_at
});

impl Pin {
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        format!("pin-{}-{}", self.revision, self.created_at.timestamp_micros())
    }
}
