//! A transfer file: a chunk list or a delta of a revision's file, with which clients fetch only what is new.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::row::{from_row, stored_as_text};

/// The outcome of the work on a transfer file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// It is there.
    Made,
    /// A delta that would not be smaller than the chunks that a client lacks.
    Useless,
    /// It could not be made. It is tried again after a while.
    Failed,
}

stored_as_text!(TransferState);

/// The name of a transfer file beside the file that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferKind {
    Chunks,
    /// A delta from the revision of this number.
    Delta {
        from: i64,
    },
}

impl TransferKind {
    pub(crate) const fn of(base: Option<i64>) -> Self {
        match base {
            Some(from) => Self::Delta { from },
            None => Self::Chunks,
        }
    }

    /// Takes the name of a transfer file apart, into the name of the file that it leads to and its kind.
    pub fn of_name(name: &str) -> Option<(&str, Self)> {
        if let Some(file) = name.strip_suffix(".chunks") {
            return Some((file, Self::Chunks));
        }
        let (file, from) = name.strip_suffix(".delta")?.rsplit_once(".from-")?;
        Some((file, Self::Delta { from: from.parse().ok()? }))
    }

    /// Returns the path beside the file of this path.
    pub fn beside(self, path: &str) -> String {
        match self {
            Self::Chunks => format!("{path}.chunks"),
            Self::Delta { from } => format!("{path}.from-{from}.delta"),
        }
    }
}

/// A transfer file that is there.
#[derive(Debug, Clone)]
pub struct TransferFile {
    pub revision_id: Uuid,
    pub role: FileRole,
    /// The number of the revision that a delta starts from; none for a chunk list.
    pub base: Option<i64>,
    pub base_id: Option<Uuid>,
    pub blob_id: Uuid,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
}

from_row!(TransferFile { revision_id, role, base, base_id, blob_id, blob_key, size: size, digest });

impl TransferFile {
    pub const fn kind(&self) -> TransferKind {
        TransferKind::of(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_static_clients_derive() {
        let path = "lab/win7_12.ckm";
        assert_eq!(TransferKind::of(None).beside(path), "lab/win7_12.ckm.chunks");
        assert_eq!(TransferKind::of(Some(11)).beside(path), "lab/win7_12.ckm.from-11.delta");
        for kind in [TransferKind::Chunks, TransferKind::Delta { from: 11 }] {
            assert_eq!(TransferKind::of_name(&kind.beside(path)), Some((path, kind)));
        }
        for name in ["win7_12.ckm", "win7_12.ckm.from-x.delta", "win7_12.ckm.delta"] {
            assert_eq!(TransferKind::of_name(name), None, "{name}");
        }
    }
}
