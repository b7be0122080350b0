//! The number of clients on record, and how many rows are too many.
//!
//! The clients are counted when this server's own additions may have exceeded the limit, and now and then because of
//! other servers'. One hundredth more than necessary goes at once, so that a full record is not counted after each
//! batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::storage::FleetSize;

/// The time after which the clients are counted again in any case.
const RECOUNT: Duration = Duration::from_mins(10);

/// The number of rows that one round removes.
const MOST: u64 = 10_000;

/// The rows for each client that the record may have on average: one client may ask about many images.
const ROWS_PER_CLIENT: u64 = 8;

/// The number of clients as it was last counted, and those that this server has added since.
#[derive(Debug, Default)]
pub struct KnownSize {
    counted: Mutex<Option<(u64, Instant)>>,
    added: AtomicU64,
}

impl KnownSize {
    fn counted(&self) -> Option<(u64, Instant)> {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of clients; none before the first count.
    pub fn clients(&self) -> Option<u64> {
        let (clients, _) = self.counted()?;
        Some(clients + self.added.load(Ordering::Relaxed))
    }

    pub fn add(&self, clients: u64) {
        self.added.fetch_add(clients, Ordering::Relaxed);
    }

    /// Has the clients counted again.
    pub fn forget(&self) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn set(&self, clients: u64, now: Instant) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((clients, now));
        self.added.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_due(&self, most: u64, now: Instant) -> bool {
        let is_over = |clients| most > 0 && clients > most;
        let is_old = |(_, at): (u64, Instant)| now.duration_since(at) >= RECOUNT;
        self.counted().is_none_or(is_old) || self.clients().is_some_and(is_over)
    }
}

/// Returns the number of rows that have to go; `most` is the limit of clients, 0 for none.
pub(super) fn surplus(size: FleetSize, most: u64) -> u64 {
    let beyond = |count: u64, most: u64| {
        if count > most { count - (most - most / 100) } else { 0 }
    };
    if most == 0 {
        return 0;
    }
    let most_rows = most.saturating_mul(ROWS_PER_CLIENT);
    beyond(size.clients, most).max(beyond(size.records, most_rows)).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(clients: u64, records: u64) -> FleetSize {
        FleetSize { records, clients }
    }

    #[test]
    fn a_full_record_gives_up_a_hundredth_more_than_it_must() {
        assert_eq!(surplus(size(1000, 1000), 1000), 0);
        assert_eq!(surplus(size(1001, 1001), 1000), 11);
        assert_eq!(surplus(size(11, 11), 10), 1);
        assert_eq!(surplus(size(90_000, 90_000), 1000), MOST);
        assert_eq!(surplus(size(5, 5), 0), 0, "without a limit");
    }

    #[test]
    fn clients_with_very_many_images_do_not_fill_the_record() {
        assert_eq!(surplus(size(10, 8000), 1000), 0);
        assert_eq!(surplus(size(10, 8001), 1000), 81);
    }

    #[test]
    fn the_clients_are_counted_at_first_now_and_then_and_beyond_the_limit() {
        let (known, now) = (KnownSize::default(), Instant::now());
        assert!(known.is_due(100, now));
        assert_eq!(known.clients(), None);
        known.set(99, now);
        known.add(1);
        assert_eq!(known.clients(), Some(100));
        assert!(!known.is_due(100, now));
        assert!(known.is_due(100, now + RECOUNT));
        known.add(1);
        assert!(known.is_due(100, now));
        assert!(!known.is_due(0, now), "without a limit");
    }
}
