//! The meaning of a rollout's terms for a client at a moment: pure functions of the terms, the client and the time. The
//! depot answers update checks with them, and a client that has nothing but a tree comes to the same answer.
//!
//! [`schedule`] has the share as it grows, [`bucket`] the place of a client, [`opening`] the windows, and [`slot`] the time
//! of a client's next check. No background work and no server's own clock decides. Who changes a rollout, and what is
//! recorded of it, is left to the catalog.

pub mod bucket;
pub mod opening;
pub mod schedule;
pub mod slot;

pub use self::schedule::{Schedule, State};
