//! The types for a growing blob that the catalog and the store share: what is kept of it, where it continues, and what
//! it is when it is complete.

use super::running_hash::RunningHash;
use super::write_lease::WriteLease;
use crate::storage::error::StorageError;

/// The multipart upload with which a blob grows in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    pub id: String,
    /// The size of all parts but the last, in bytes.
    pub part_size: u64,
}

/// A part that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// The number of the part, from 0.
    pub number: u64,
    /// The offset in the blob at which it ends.
    pub end: u64,
    /// The store's id for the part.
    pub id: String,
}

/// A blob with all its bytes on stable storage.
#[derive(Debug, Clone)]
pub struct Complete {
    pub key: String,
    pub size: u64,
    pub multipart: Option<Multipart>,
    /// The numbers and ids of all parts, in their order.
    pub parts: Vec<(u64, String)>,
}

/// The bytes on stable storage, and the digest's state up to there, from which an upload can continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub received: u64,
    pub hash_state: String,
    /// The parts that have arrived in a bucket and may not be recorded yet.
    pub parts: Vec<StoredPart>,
    /// The object in a bucket with the bytes that do not fill a part.
    pub tail: Option<String>,
    /// The end of the last part that has arrived in a bucket, and the digest's state there.
    pub part_hash_state: Option<(u64, String)>,
}

/// A blob that is to grow, as the catalog knows it.
#[derive(Debug)]
pub struct Growing {
    pub key: String,
    /// The size of the whole blob in bytes; none while it is unknown.
    pub size: Option<u64>,
    pub kept: Kept,
    pub unacknowledged: Unacknowledged,
    /// The multipart upload in a bucket; none in a folder.
    pub multipart: Option<Multipart>,
    /// The number of the writer; no other writer of this blob ever has the same.
    pub writer: i64,
    pub lease: WriteLease,
}

/// The treatment of bytes past those that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unacknowledged {
    /// Takes them in: only the server was killed and not the machine, so they are what was sent to that writer.
    TakeIn { of_writer: i64 },
    /// Cuts them off: nobody knows what they are.
    CutOff,
}

impl Kept {
    /// Creates the state of a blob without parts and tail.
    pub fn at(received: u64, hash_state: String) -> Self {
        Self { received, hash_state, parts: Vec::new(), tail: None, part_hash_state: None }
    }

    pub(super) fn hash(&self) -> Result<RunningHash, StorageError> {
        RunningHash::restore(&self.hash_state)
            .map_err(|error| StorageError::Damaged(error.to_string()))
    }
}
