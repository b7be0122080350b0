//! The limits of a rollout's lists.

use crate::model::refusal::Refusal;

/// The largest number of steps, of groups in one step, and of windows.
pub(super) const MOST_PARTS: usize = 100;

/// Checks the length of a list.
pub(super) fn at_most(found: usize, most: usize, field: &'static str) -> Result<(), Refusal> {
    if found <= most {
        Ok(())
    } else {
        Err(Refusal::new(field, format!("must have at most {most} entries")))
    }
}
