//! The outcomes of attempts, as the counter of deliveries names them.

use crate::model::metric;

pub(super) const DELIVERED: &str = "delivered";
pub(super) const FAILED: &str = "failed";
pub(super) const SET_ASIDE: &str = "set_aside";

/// Registers the counters at zero.
pub(in crate::catalog) fn begin_at_zero() {
    for outcome in [DELIVERED, FAILED, SET_ASIDE] {
        metric::WEBHOOK_DELIVERIES.with([outcome]).increment(0);
    }
}
