//! The reasons for which a change of the keys, or a carried file, is refused. No operation of the API makes such changes,
//! so they are not among the catalog's refusals.

use crate::catalog::Error;
use crate::storage::StorageError;
use crate::trust::carried::Trouble;

/// A refusal, or a failure of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Catalog(#[from] Error),
    /// The carried file itself.
    #[error("{0}")]
    File(#[from] Trouble),
    /// The file was right when it was made.
    #[error("{0}; export the file again, and have that one signed")]
    Stale(String),
    /// The command line asks for keys that cannot be.
    #[error("{0}")]
    Keys(String),
    /// The keys that the change needs are not in the catalog.
    #[error("{0}")]
    Elsewhere(String),
    #[error("nothing waits to be signed with keys that are kept elsewhere")]
    NothingToSign,
}

impl From<StorageError> for Refused {
    fn from(error: StorageError) -> Self {
        Self::Catalog(error.into())
    }
}

pub(super) fn nothing_signed() -> Refused {
    let detail = "nothing is signed yet: start a server on this catalog first";
    StorageError::Unusable(detail.to_owned()).into()
}
