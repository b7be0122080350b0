//! The catalog's records of its backups.

use chrono::{DateTime, Utc};

use super::row::from_row;

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The name by which `restore` finds the backup.
    pub name: String,
    pub taken_at: DateTime<Utc>,
}

from_row!(Backup { name, taken_at });
