//! The highest versions that a client has seen. It keeps them between two walks, and refuses lower ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The highest versions that were seen; 0 where none was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub timestamp: i64,
    pub snapshot: i64,
    /// The versions of the targets' roles, by their names in the snapshot.
    pub roles: BTreeMap<String, i64>,
}

impl Seen {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
