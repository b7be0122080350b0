//! Uploads: sessions that fill one file of one draft, and survive broken connections and restarts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::name::ImageName;
use super::revision::RevisionState;
use super::row::{from_row, stored_as_text};

/// The state of an upload. An upload that was cancelled or has expired has no row any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Bytes may be appended. This is also the state when all bytes have arrived and the upload is not finished yet.
    Receiving,
    /// Its bytes are the draft's file. The row is kept for a day, for clients that missed the answer.
    Complete,
}

stored_as_text!(UploadState);

/// The protocol that an upload was started with. Any other may continue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadProtocol {
    /// A whole-file PUT: only this one request can continue it.
    Put,
    /// `POST /uploads` with a JSON body.
    Json,
    /// tus 1.0.
    Tus,
    /// Resumable Uploads for HTTP, the IETF draft.
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
    /// The key of the bytes in the store.
    pub blob_key: String,
    /// The size of the whole file in bytes. While that is [unknown](Self::open_ended), the size that is reserved so
    /// far.
    pub size: u64,
    /// True while the file's length is unknown.
    pub open_ended: bool,
    /// The offset: the number of bytes on stable storage.
    pub received: u64,
    /// The digest that the uploader named, if any.
    pub digest: Option<Digest>,
    /// The `Upload-Metadata` of tus, as it was sent.
    pub metadata: Option<String>,
    /// The uploader's precondition on the file that has the role now, as JSON.
    pub condition: Option<String>,
    /// The state of the SHA-256 over the received bytes, from which hashing continues.
    pub hash_state: String,
    /// The same state over only the whole parts that a bucket has, with the offset that it belongs to.
    pub part_hash_state: Option<String>,
    /// The multipart upload in a bucket. `part_size` is the number of bytes of its parts.
    pub multipart: Option<String>,
    pub part_size: Option<i64>,
    /// The object with the last bytes, which do not fill a part.
    pub tail: Option<String>,
    pub newest_claim: i64,
    pub held_claim: i64,
    pub holder: Option<Uuid>,
    pub held_until: DateTime<Utc>,
    pub holder_boot: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The time of the last progress.
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
    /// Reports whether every byte has arrived.
    pub const fn is_full(&self) -> bool {
        !self.open_ended && self.received == self.size
    }

    /// Returns the size of the whole file in bytes, or none if it is unknown.
    pub const fn length(&self) -> Option<u64> {
        if self.open_ended { None } else { Some(self.size) }
    }

    /// Returns the tag, which changes with each byte on stable storage.
    pub fn tag(&self) -> String {
        let state = if self.state == UploadState::Complete { "complete" } else { "receiving" };
        format!("{state}-{}", self.received)
    }
}
