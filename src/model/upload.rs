//! Uploads: sessions that fill one file of one draft, across broken lines and restarts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::name::ImageName;
use super::revision::RevisionState;
use super::row::{from_row, stored_as_text};

/// Where an upload is in its life. One that was cancelled or expired has no row any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Bytes may be appended; also when all have come and nobody has finished it yet.
    Receiving,
    /// Its bytes are the draft's file. Kept for a day, for clients that missed the answer.
    Complete,
}

stored_as_text!(UploadState);

/// The protocol that an upload was begun with; any other may continue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadProtocol {
    /// A whole-file PUT: nobody but this one request can continue it.
    Put,
    /// `POST /uploads` with a JSON body.
    Json,
    /// tus 1.0.
    Tus,
    /// Resumable Uploads for HTTP, the draft of the IETF.
    Resumable,
    /// `BITS_POST` on the tree.
    Bits,
}

stored_as_text!(UploadProtocol);

/// A resumable session.
#[derive(Debug, Clone)]
pub struct Upload {
    pub id: Uuid,
    pub image_id: Uuid,
    pub image: ImageName,
    pub revision_id: Uuid,
    /// The draft's number.
    pub revision: i64,
    pub revision_state: RevisionState,
    pub role: FileRole,
    pub protocol: UploadProtocol,
    pub state: UploadState,
    pub blob_id: Uuid,
    /// Where the bytes lie in the store.
    pub blob_key: String,
    /// Of the whole file, in bytes; where that is [unknown](Self::open_ended), what is reserved so far.
    pub size: u64,
    /// Whether the file's length is still unknown.
    pub open_ended: bool,
    /// The offset: so many bytes are on stable storage.
    pub received: u64,
    /// The digest that the uploader named, if any.
    pub digest: Option<Digest>,
    /// `Upload-Metadata` of tus as it was sent.
    pub metadata: Option<String>,
    /// What the uploader demands of the file that has the role now, as JSON.
    pub condition: Option<String>,
    /// SHA-256 over what was received, to be gone on with.
    pub hash_state: String,
    /// The same over the whole parts alone that a bucket has.
    pub part_hash_state: Option<String>,
    /// The multipart upload in a bucket, and the bytes of its parts.
    pub multipart: Option<String>,
    pub part_size: Option<i64>,
    /// The object with the bytes that are short of a part.
    pub tail: Option<String>,
    pub newest_claim: i64,
    pub held_claim: i64,
    pub holder: Option<Uuid>,
    pub held_until: DateTime<Utc>,
    pub holder_boot: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The last progress.
    pub updated_at: DateTime<Utc>,
}

from_row!(Upload {
    id,
    image_id,
    image,
    revision_id,
    revision,
    revision_state,
    role,
    protocol,
    state,
    blob_id,
    blob_key,
    size: size,
    open_ended,
    received: size,
    digest,
    metadata,
    condition,
    hash_state,
    part_hash_state,
    multipart,
    part_size,
    tail,
    newest_claim,
    held_claim,
    holder,
    held_until,
    holder_boot,
    created_by,
    created_at,
    updated_at,
});

impl Upload {
    /// Whether every byte has come.
    pub const fn is_full(&self) -> bool {
        !self.open_ended && self.received == self.size
    }

    /// Of the whole file, in bytes, where it is known.
    pub const fn length(&self) -> Option<u64> {
        if self.open_ended { None } else { Some(self.size) }
    }

    /// Another one with each byte that counts.
    pub fn tag(&self) -> String {
        let state = if self.state == UploadState::Complete { "complete" } else { "receiving" };
        format!("{state}-{}", self.received)
    }
}
