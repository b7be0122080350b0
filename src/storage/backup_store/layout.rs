//! The layout of a place of backups.
//!
//! ```text
//! blobs/ab/abcdef…                    the files' bytes, named after their SHA-256
//! catalogs/20261122T031245.123Z.jsonl the catalog's rows
//! catalogs/20261122T031245.123Z.json  the note on them; written last: without it there is no backup
//! exports/20261122T031245.123Z.json   the revisions of an export, which is not a backup
//! ```

use chrono::{DateTime, Utc};

pub(super) const BLOBS: &str = "blobs";

/// A kind of note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notes {
    /// The notes of backups.
    Catalogs,
    Exports,
}

impl Notes {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Catalogs => "catalogs",
            Self::Exports => "exports",
        }
    }
}

/// Returns the name of notes that are written at a moment.
pub fn note_name(moment: DateTime<Utc>) -> String {
    moment.format("%Y%m%dT%H%M%S%.3fZ").to_string()
}
