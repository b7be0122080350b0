//! The limits of a line, wherever they were stated.

use std::num::NonZeroU64;

use super::hours::Hours;
use super::pace::LineShare;

/// The limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// The most bytes in a second.
    pub rate: Option<NonZeroU64>,
    pub share: Option<LineShare>,
    /// The hours in which bytes are fetched; at any time if there are none.
    pub hours: Vec<Hours>,
}
