//! A blob that grows, in the words that the catalog and the store share: what is kept of it, where it goes on, and
//! what it is when it is complete.

use super::running_hash::RunningHash;
use super::write_lease::Hold;
use crate::storage::error::StorageError;

/// The multipart upload as which a blob grows in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    pub id: String,
    /// Of all parts but the last, in bytes.
    pub part_size: u64,
}

/// A part that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// From 0.
    pub number: u64,
    /// Where in the blob it ends.
    pub end: u64,
    /// What the store calls it.
    pub id: String,
}

/// A blob all of whose bytes are on stable storage.
#[derive(Debug, Clone)]
pub struct Complete {
    pub key: String,
    pub size: u64,
    pub multipart: Option<Multipart>,
    /// The numbers and ids of all of them, in their order.
    pub parts: Vec<(u64, String)>,
}

/// Bytes on stable storage, and the digest up to there, ready to be gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub received: u64,
    pub hash_state: String,
    /// Parts that arrived in a bucket and may not be noted yet.
    pub parts: Vec<StoredPart>,
    /// The object with the bytes that are short of a part, in a bucket.
    pub tail: Option<String>,
    /// Where the last part ends that has arrived in a bucket, and the digest's state there.
    pub part_hash_state: Option<(u64, String)>,
}

/// A blob that is to grow, as the catalog knows it.
#[derive(Debug)]
pub struct Growing {
    pub key: String,
    /// What the whole blob will have, in bytes; none while that is unknown.
    pub size: Option<u64>,
    pub kept: Kept,
    pub tail: Tail,
    /// Where it grows in a bucket; none in a folder.
    pub multipart: Option<Multipart>,
    /// The number of who writes; no other writer of this blob ever has the same.
    pub writer: i64,
    pub hold: Hold,
}

/// What to do with bytes past those that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The server was killed and the machine was not: they are what was sent to that writer. Takes
    /// them in.
    TakeIn { of_writer: i64 },
    /// Nobody knows what they are: cuts them off.
    CutOff,
}

impl Kept {
    /// Without parts and tail.
    pub fn at(received: u64, hash_state: String) -> Self {
        Self { received, hash_state, parts: Vec::new(), tail: None, part_hash_state: None }
    }

    pub(super) fn hash(&self) -> Result<RunningHash, StorageError> {
        RunningHash::restore(&self.hash_state)
            .map_err(|error| StorageError::Damaged(error.to_string()))
    }
}
