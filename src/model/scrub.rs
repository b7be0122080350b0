//! Stored bytes as the scrub sees them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::name::ImageName;
use super::row::from_row;

/// A blob that is to be read again.
#[derive(Debug, Clone)]
pub struct StoredBlob {
    pub id: Uuid,
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    pub digest: Digest,
    /// True if it was found damaged before.
    pub is_damaged: bool,
}

from_row!(StoredBlob { id, key, size: size, digest, is_damaged });

/// A file whose bytes were found damaged.
#[derive(Debug, Clone)]
pub struct DamagedFile {
    pub blob_id: Uuid,
    pub blob_key: String,
    pub image: ImageName,
    pub revision: i64,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub size: u64,
    pub digest: Digest,
    pub found_at: DateTime<Utc>,
    /// A description for people.
    pub what: String,
}

from_row!(DamagedFile {
    blob_id,
    blob_key,
    image,
    revision,
    revision_id,
    role,
    size: size,
    digest,
    found_at,
    what,
});

/// The progress of the scrub.
#[derive(Debug, Clone)]
pub struct Coverage {
    pub blobs: i64,
    pub bytes: i64,
    /// The number of those blobs that were read, or have arrived, since the requested time.
    pub verified_blobs: i64,
    pub verified_bytes: i64,
    /// The time since which every blob was read at least once or has arrived; none without blobs.
    pub oldest_verified_at: Option<DateTime<Utc>>,
    /// The number of blobs that wait to be read because someone asked for it.
    pub wanted: i64,
}

from_row!(Coverage { blobs, bytes, verified_blobs, verified_bytes, oldest_verified_at, wanted });
