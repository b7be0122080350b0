//! The outcome of an attempt to fetch a file with fewer bytes than it has.

use super::download::Fetched;

/// An attempt that saves bytes.
pub enum Attempt {
    Done(Fetched),
    /// It did not work out, for this reason. The bytes were fetched in vain.
    InVain {
        reason: String,
        fetched: u64,
    },
    /// The whole file is not more to fetch. The bytes were fetched to find that out.
    NotCheaper {
        fetched: u64,
    },
}
