//! Revisions, their files and the stored bytes behind them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::image::Labels;
use super::row::{from_row, stored_as_text};
use super::tag;

/// The state of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// Collects its files, each of which may still be replaced. Sealing or deletion ends this state.
    Draft,
    /// Sealed: its bytes never change again, and it may be assigned to channels.
    Ready,
    /// Revoked by a promoter or an administrator: it may not be assigned to a channel, and clients that have it must
    /// move to another revision.
    Revoked,
    /// Found damaged: not served to clients until it is healed.
    Quarantined,
    /// A tombstone: the number is never used again.
    Deleted,
}

stored_as_text!(RevisionState);

impl RevisionState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Ready => "ready",
            Self::Revoked => "revoked",
            Self::Quarantined => "quarantined",
            Self::Deleted => "deleted",
        }
    }
}

/// The largest number of a revision, epoch or sequence that is accepted from outside. The numbers that follow it stay
/// below 2^53, up to which every JSON parser is exact.
pub const LARGEST_NUMBER: i64 = 1 << 52;

/// Reads a number that was written elsewhere: from 0 to [`LARGEST_NUMBER`].
pub(crate) fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    if (0..=LARGEST_NUMBER).contains(&number) {
        return Ok(number);
    }
    Err(serde::de::Error::custom("numbers of revisions, epochs and sequences must be 0 to 2^52"))
}

/// An immutable version of an image, or the draft of one.
#[derive(Debug, Clone)]
pub struct Revision {
    pub id: Uuid,
    pub image_id: Uuid,
    /// The number, which begins at 1 and is never reused.
    pub number: i64,
    pub state: RevisionState,
    pub notes: String,
    pub labels: Labels,
    /// True if the revision cannot be deleted until this protection is removed.
    pub protected: bool,
    pub version: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub sealed_at: Option<DateTime<Utc>>,
}

from_row!(Revision {
    id,
    image_id,
    number,
    state,
    notes,
    labels: json,
    protected,
    version,
    created_by,
    created_at,
    updated_at,
    sealed_at,
});

impl Revision {
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

/// One of a revision's files.
#[derive(Debug, Clone)]
pub struct File {
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_id: Uuid,
    /// The key of the bytes in the store.
    pub blob_key: String,
    /// The size in bytes.
    pub size: u64,
    pub digest: Digest,
}

from_row!(File { revision_id, role, blob_id, blob_key, size: size, digest });

impl File {
    /// Returns the tag, which is the same for the same bytes, wherever they are served.
    pub fn tag(&self) -> String {
        format!("sha256-{}", self.digest.to_hex())
    }
}

/// The state of stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobState {
    /// Bytes are arriving, and the row reserves space for them. Without its writer it is garbage.
    Arriving,
    /// Complete and on stable storage; a file refers to it.
    Stored,
    /// No file refers to it. Its bytes are deleted when the safety period is over and no published copy needs them.
    Garbage,
}

stored_as_text!(BlobState);

/// The stored bytes of a file, under a random key that never derives from their content.
#[derive(Debug, Clone)]
pub struct Blob {
    pub id: Uuid,
    pub key: String,
    pub state: BlobState,
    /// The size in bytes.
    pub size: u64,
    /// The multipart upload, if it was not completed.
    pub multipart: Option<String>,
}

from_row!(Blob { id, key, state, size: size, multipart });
