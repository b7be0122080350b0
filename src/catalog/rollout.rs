//! The rollouts of promotions, in the catalog: who changes one, and what is recorded of it. Its meaning for a client at a
//! moment is in the room [`rollout`](crate::rollout).
//!
//! [`change`] changes a rollout, `settle` records what time has completed, [`offered`] says whom a promotion may have
//! reached, and [`pin`] gives single clients a revision of their own. `update_check` combines all of them into an answer.

pub mod change;
pub mod offered;
pub mod pin;
pub(super) mod settle;
mod terms;
pub mod warnings;

pub(super) use self::terms::check_terms;
