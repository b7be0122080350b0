//! The reasons for which a client does not believe a tree, each with its own sentence.

use crate::trust::moment::Moment;

/// The reason for which metadata or a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{file} cannot be read: {detail}")]
    Malformed { file: String, detail: String },
    #[error(
        "{file} is not signed by the keys that are trusted for it ({found} of {needed} signatures)"
    )]
    NotSigned { file: String, found: usize, needed: u32 },
    /// The tree is frozen: nobody has signed it for too long.
    #[error("{file} expired at {at}: the tree was not renewed, or somebody keeps newer files back")]
    Expired { file: String, at: Moment },
    #[error("{file} is older than what was seen before (version {found} after {seen})")]
    Older { file: String, found: i64, seen: i64 },
    /// The files of two states of the tree are mixed.
    #[error(
        "{file} is of another generation than the files that name it (version {found}, not {expected})"
    )]
    Mixed { file: String, found: i64, expected: i64 },
    #[error("{file} was changed: its length or digest is not the one that was signed")]
    Changed { file: String },
    #[error("{file} does not name {role}, which was there before")]
    RoleLost { file: String, role: String },
    #[error("{path} is not in the signed list of what the depot offers")]
    NotListed { path: String },
    #[error("more than {0} new roots: fetch a newer root and trust that")]
    TooManyRoots(usize),
    #[error("{file} is larger than {limit} bytes")]
    TooLarge { file: String, limit: u64 },
    /// A mistake of the program.
    #[error("the files of the tree's metadata were taken out of their order")]
    OutOfOrder,
}

impl Refusal {
    pub(super) fn malformed(file: &str, detail: &str) -> Self {
        Self::Malformed { file: file.to_owned(), detail: detail.to_owned() }
    }
}
