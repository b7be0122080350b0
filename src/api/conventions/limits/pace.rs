//! A pace: a number of bytes a second that all senders share.
//!
//! The line is a queue of time: every chunk takes its share of it, and its sender waits until the line is free again. A
//! chunk is never split, so a pace holds on average, not within a chunk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The unused time that senders may make up for, so that small files are sent at once on an idle line.
const BURST: Duration = Duration::from_millis(250);

/// A number of bytes a second, and the time at which the line is free again.
#[derive(Debug)]
pub struct SendPace {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
}

impl SendPace {
    /// Returns a pace, or none if there is no limit.
    pub fn new(bytes_per_second: u64, now: Instant) -> Option<Self> {
        (bytes_per_second > 0).then(|| Self { bytes_per_second, free_at: Mutex::new(now) })
    }

    /// Takes the line for `bytes`, and returns the time to wait before the next ones.
    pub fn take(&self, bytes: u64, now: Instant) -> Duration {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let share = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *free_at = (*free_at).max(earliest) + share;
        free_at.saturating_duration_since(now)
    }

    /// Returns the time until the line is free.
    pub fn backlog(&self, now: Instant) -> Duration {
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_under_a_pace_takes_its_time() {
        let start = Instant::now();
        let pace = SendPace::new(1_000_000, start).unwrap();
        let mut now = start;
        for _ in 0..100 {
            now += pace.take(100_000, now);
        }
        let taken = now - start;
        // 10 MB at 1 MB/s, less what an idle line lets through at once.
        assert!((9_700..=10_000).contains(&taken.as_millis()), "{taken:?}");
    }

    #[test]
    fn an_idle_line_does_not_save_up() {
        let start = Instant::now();
        let pace = SendPace::new(1_000, start).unwrap();
        let later = start + Duration::from_hours(1);
        assert_eq!(pace.take(1_000, later), Duration::from_millis(750));
        assert!(SendPace::new(0, start).is_none());
    }
}
