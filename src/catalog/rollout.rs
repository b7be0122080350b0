//! The meaning of a rollout's terms for a client at a moment: pure functions of the promotion, the question and the
//! time. No background work and no server's own clock decides.
//!
//! [`schedule`] has the share as it grows, [`bucket`] the place of a client, [`opening`] the windows. [`change`] changes
//! a rollout, `settle` records what time has completed, and [`pin`] gives single clients a revision of their own.
//! `update_check` combines all of them into an answer.

pub mod bucket;
pub mod change;
pub mod offered;
pub mod opening;
pub mod pin;
pub mod schedule;
pub(super) mod settle;
mod terms;
pub mod warnings;

pub use self::schedule::{Schedule, State};
pub(super) use self::terms::check_terms;
