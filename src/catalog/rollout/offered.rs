//! The clients that a promotion offers its revision to, apart from windows and stops.

use chrono::{DateTime, Utc};

use crate::model::{ClientGroup, ClientId, Promotion};
use crate::rollout::Schedule;
use crate::rollout::bucket::bucket;

/// Reports whether the promotion may have offered its revision to the client up to a moment. Windows and stops are left
/// out: they were open, or had not begun, at some time.
pub fn may_have_been_offered(
    promotion: &Promotion,
    client: &ClientId,
    group: Option<&ClientGroup>,
    now: DateTime<Utc>,
) -> bool {
    let (rollout, key) = (&promotion.terms.rollout, client.key());
    let deadline = promotion.terms.for_clients.deadline;
    rollout.canaries.iter().any(|pattern| pattern.matches(&key))
        || deadline.is_some_and(|deadline| deadline <= now)
        || Schedule::of(promotion).share(group, now).contains(bucket(promotion.id, Some(client)))
}
