//! The work on one transfer file, and its outcome.

use std::time::Duration;

use uuid::Uuid;

use crate::catalog::Error;
use crate::model::{Digest, metric};
use crate::storage::{MissingDelta, TargetFile};

/// The file to be made.
pub(super) enum Work {
    ChunkList(TargetFile),
    Delta(MissingDelta),
}

/// The reason why a file was not made.
pub(super) enum Failed {
    /// It cannot be made from these bytes. It is tried again after a while.
    ThisOne(String),
    /// There is no room for it now. The next one may be smaller.
    NoRoom(Error),
    /// No other one could be made now, either.
    All(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        match error.into() {
            Error::Storage(storage) if storage.is_about_the_bytes() => {
                Self::ThisOne(storage.to_string())
            }
            error @ Error::NoRoom { .. } => Self::NoRoom(error),
            error => Self::All(error),
        }
    }
}

impl Work {
    pub(super) const fn target(&self) -> &TargetFile {
        match self {
            Self::ChunkList(target) | Self::Delta(MissingDelta { target, .. }) => target,
        }
    }

    pub(super) fn base_revision(&self) -> Option<Uuid> {
        match self {
            Self::ChunkList(_) => None,
            Self::Delta(delta) => Some(delta.base_id),
        }
    }
}

/// The outcome of the work on a transfer file.
pub(super) enum Outcome {
    Made {
        blob: Uuid,
        size: u64,
        digest: Digest,
        /// The bytes that a client would fetch otherwise.
        instead_of: u64,
        cpu: Duration,
    },
    Useless {
        instead_of: u64,
    },
}

/// The values of the label `kind` of the metrics.
const KINDS: [&str; 2] = ["chunks", "delta"];

/// Shows the counters from the start, before anything is counted.
pub(crate) fn begin_at_zero() {
    for kind in KINDS {
        metric::TRANSFER_FILES_MADE.with([kind]).increment(0);
        metric::TRANSFER_FILE_BYTES.with([kind]).increment(0);
    }
    metric::TRANSFER_FILE_UNDER_WAY.set(0.0);
}
