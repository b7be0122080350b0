//! The parts of a server that may fail on their own while update checks and downloads continue.

use chrono::{DateTime, Utc};

/// A part that may fail on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The database accepts no changes, or does not answer.
    Catalog,
    /// The snapshot that clients are answered from has not been compared with the catalog for some seconds.
    Snapshot,
    /// This machine's clock differs from the database's or the bucket's.
    Clock,
    /// The folder or the bucket of the stored bytes is unreachable.
    Store,
    /// The disk has less free space than uploads have to leave on it.
    Disk,
    /// The tree is behind the catalog.
    Publication,
    /// The newest backup is older than it should be.
    Backup,
}

impl Part {
    pub const ALL: [Self; 7] = [
        Self::Catalog,
        Self::Snapshot,
        Self::Clock,
        Self::Store,
        Self::Disk,
        Self::Publication,
        Self::Backup,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Snapshot => "snapshot",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Publication => "publication",
            Self::Backup => "backup",
        }
    }
}

/// The state of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    pub part: Part,
    /// The problem; none while the part works.
    pub trouble: Option<Trouble>,
}

/// A problem of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence for people, without paths and addresses, which are in the log.
    pub what: String,
    pub since: DateTime<Utc>,
}
