//! How the parts of this server are, as was last found: whoever asks waits for nothing.
//!
//! What looks at them is `upkeep::watch`. What a round of publication and the gauges have learnt is kept here for it.

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};

use crate::model::{Backup, PartState};

/// What was last found. Of this process: each server has its own connections, disk and way to the store.
#[derive(Default)]
pub(crate) struct Parts {
    /// Those that are watched, in the order of [`Part`](crate::model::Part).
    pub(crate) states: ArcSwap<Vec<PartState>>,
    /// Why this server's last round of publication left something undone, and when that was.
    pub(crate) publication_failed: ArcSwapOption<(String, DateTime<Utc>)>,
    /// Since when the tree has not followed the catalog; none while it does.
    pub(crate) tree_behind_since: ArcSwapOption<DateTime<Utc>>,
    /// None where none is known.
    pub(crate) newest_backup: ArcSwapOption<Backup>,
}
