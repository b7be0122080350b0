//! The limits to which superseded files are kept: readers that are in the middle of a walk still ask for them.

use chrono::TimeDelta;

/// The time for which superseded files are kept.
pub(super) const KEPT_FOR: TimeDelta = TimeDelta::hours(1);

/// The number of snapshots whose files are kept. Whichever of the two is less counts.
pub(super) const SNAPSHOTS_KEPT: i64 = 1000;
