//! The parts of a server that may fail by themselves while update checks and downloads go on.

use chrono::{DateTime, Utc};

/// A part that may fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The database takes no changes, or does not answer.
    Catalog,
    /// What clients are answered from has not been compared with the catalog for some seconds.
    Snapshot,
    /// This machine's clock is not the database's.
    Clock,
    /// The folder or the bucket of the stored bytes is away.
    Store,
    /// The disk has less room than uploads leave on it.
    Disk,
    /// The tree does not follow the catalog.
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

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartState {
    pub part: Part,
    /// None while it works.
    pub trouble: Option<Trouble>,
}

/// What is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence for people, without paths and addresses: the log has those.
    pub what: String,
    pub since: DateTime<Utc>,
}
