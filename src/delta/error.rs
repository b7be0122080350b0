//! The reasons why a list or a delta is not made, not read or not applied.

use std::io;

/// An error of this room. A damaged or hostile file ends in [`Error::Damaged`], never in wrong bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} the {file}: {source}")]
    Io { action: Action, file: Place, source: io::Error },
    #[error("the {file} is damaged: {reason}")]
    Damaged { file: Place, reason: &'static str },
    #[error("the delta starts from another file: its base has {expected} bytes, this one {actual}")]
    BaseSize { expected: u64, actual: u64 },
    /// Base and delta do not fit: a piece came out with another digest.
    #[error(
        "piece {piece} comes out wrong: the base is another file, or it or the delta is damaged"
    )]
    Piece { piece: u64 },
    #[error("the result is wrong although every piece is right: its SHA-256 is another one")]
    Result,
    #[error("the {file} changed while it was read")]
    Changed { file: Place },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the delta would be larger than it may be")]
    NotWorthIt,
    #[error("compression failed: {0}")]
    Compression(&'static str),
    #[error("canceled")]
    Canceled,
}

/// The step that failed, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Read,
    Write,
}

/// The file that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file that is described by a list, or made by a delta.
    Result,
    /// The file that a delta starts from.
    Base,
    Delta,
    ChunkList,
}

impl Error {
    pub(super) const fn damaged(file: Place, reason: &'static str) -> Self {
        Self::Damaged { file, reason }
    }
}

impl Action {
    /// Returns the function that makes an error of this step from one of the operating system.
    pub(super) fn on(self, file: Place) -> impl Fn(io::Error) -> Error {
        move |source| Error::Io { action: self, file, source }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Result => "file",
            Self::Base => "base",
            Self::Delta => "delta",
            Self::ChunkList => "chunk list",
        })
    }
}
