//! The state of this server's parts, as it was last found, so that nobody who asks has to wait.
//!
//! `upkeep::watch` checks the parts. The findings of publication rounds and of the gauges are kept here for it.

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};

use crate::model::{Backup, PartState};

/// The last findings. They belong to this process: each server has its own connections, disk and path to the store.
#[derive(Default)]
pub(crate) struct Parts {
    /// The watched parts, in the order of [`Part`](crate::model::Part).
    pub(crate) states: ArcSwap<Vec<PartState>>,
    /// The reason why this server's last round of publication left something undone, and the time of that round.
    pub(crate) publication_failed: ArcSwapOption<(String, DateTime<Utc>)>,
    /// The time since which the tree is behind the catalog; none while it is up to date.
    pub(crate) tree_behind_since: ArcSwapOption<DateTime<Utc>>,
    /// The newest backup, if one is known.
    pub(crate) newest_backup: ArcSwapOption<Backup>,
}
