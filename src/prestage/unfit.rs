//! Reports what cannot be pre-staged.

/// The reason for which there can be no such kit. The sentence says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(super) String);
