//! The entries of the tree, and the blobs that they are made from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::model::Digest;

/// The blob that a published file is made from.
#[derive(Debug, Clone)]
pub struct Original {
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
    /// The file's date in a folder: BITS restarts a transfer when the date changes. A bucket has dates of its own.
    pub sealed_at: DateTime<Utc>,
}

/// An entry under a name in the tree.
#[derive(Debug, Clone)]
pub enum Entry {
    File(std::fs::Metadata),
    Object {
        size: u64,
        /// The time at which the bucket made it.
        modified: DateTime<Utc>,
        /// The bucket's tag for exactly these bytes.
        tag: Option<String>,
    },
}

impl Entry {
    pub fn size(&self) -> u64 {
        match self {
            Self::File(metadata) => metadata.len(),
            Self::Object { size, .. } => *size,
        }
    }

    /// Returns the time at which the entry was written, by the tree's own dates.
    pub fn modified(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::File(metadata) => metadata.modified().ok().map(DateTime::from),
            Self::Object { modified, .. } => Some(*modified),
        }
    }
}

/// The files of one folder of the tree, by name.
pub type Entries = BTreeMap<String, Entry>;
