//! The time of a client's next check.

use chrono::{DateTime, Utc};

use crate::model::{ClientId, Digest};

/// The shortest time between two checks, in seconds. A client that has just asked in its slot is not told to ask again
/// at once.
const SHORTEST_WAIT: u64 = 30;

/// Returns the seconds until the client's slot. The slot is a second of the period that depends only on the client and
/// is the same on every server, so that clients that were switched on together do not ask together. The result is from
/// 30 to period + 29.
pub fn seconds_until_slot(client: &ClientId, period: u64, now: DateTime<Utc>) -> u64 {
    let period = period.max(1);
    let digest = Digest::of(client.as_str().as_bytes());
    let number = digest.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let slot = number % period;
    let second = now.timestamp().unsigned_abs() % period;
    let wait = (slot + period - second) % period;
    if wait < SHORTEST_WAIT { wait + period.max(SHORTEST_WAIT) } else { wait }
}
