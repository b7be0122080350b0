//! The record of mirrors: what each copy of channels at another site has, as it told last.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name::{ChannelName, MirrorName};
use super::row::{from_row, stored_as_text};

/// The way in which a mirror gets its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MirrorKind {
    /// It fetches all files of a channel in advance.
    Copy,
    /// It fetches a file when a client asks for it, and keeps it.
    OnDemand,
}

stored_as_text!(MirrorKind);

/// A channel that a mirror holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirroredChannel {
    /// The channel's name. The channel may have been deleted.
    pub channel: ChannelName,
    /// The sequence of the manifest that the mirror has.
    pub sequence: i64,
    /// The time of the last report at which that was the channel's own sequence; none if it never was.
    pub current_at: Option<DateTime<Utc>>,
}

/// A mirror, as it told last.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub name: MirrorName,
    pub kind: MirrorKind,
    /// The version of the mirror's program.
    pub version: Option<String>,
    pub channels: Vec<MirroredChannel>,
    /// The bytes that it holds, of all channels together.
    pub bytes: i64,
    /// The bytes that it still has to fetch.
    pub bytes_missing: i64,
    pub error: Option<String>,
    /// The caller that told this.
    pub reported_by: String,
    pub reported_at: DateTime<Utc>,
}

from_row!(Mirror {
    name,
    kind,
    version,
    channels: json,
    bytes,
    bytes_missing,
    error,
    reported_by,
    reported_at,
});
