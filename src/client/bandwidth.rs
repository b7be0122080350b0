//! The limits of what fetching takes of this machine's line: a rate, a share of the line, the hours of the week.
//!
//! All transfers of a [`Connection`](super::connection::Connection) share one [`Line`]. It counts the bytes that have come
//! and lets the reader wait; the network's own flow control slows the sender down then. The calls of the API are small and
//! are not counted.

mod args;
mod hours;
mod limits;
mod pace;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

pub use self::args::{LineArgs, rate};
pub use self::hours::Hours;
pub use self::limits::Bandwidth;
pub use self::pace::LineShare;
use self::pace::Pace;
use super::error::Failure;
use super::exit_code::Exit;

/// The code of the failure that ends a transfer when the hours are over.
const OUTSIDE_HOURS: &str = "outside_hours";

/// The line of this machine, with its limits.
#[derive(Debug, Clone, Default)]
pub struct Line {
    limits: Arc<Bandwidth>,
    pace: Arc<Mutex<Pace>>,
    is_urgent: bool,
}

impl Line {
    pub fn new(limits: Bandwidth) -> Self {
        let pace = Pace::new(limits.rate, limits.share);
        Self { limits: Arc::new(limits), pace: Arc::new(Mutex::new(pace)), is_urgent: false }
    }

    /// Returns the same line for something that does not wait for the hours.
    #[must_use]
    pub fn for_urgent(&self, is_urgent: bool) -> Self {
        Self { is_urgent, ..self.clone() }
    }

    /// Fails outside of the hours.
    pub fn must_be_open(&self) -> Result<(), Failure> {
        let hours = &self.limits.hours;
        let is_open =
            self.is_urgent || hours.is_empty() || hours::any_is_open(hours, SystemTime::now());
        if is_open { Ok(()) } else { Err(outside_hours()) }
    }

    /// Counts bytes that have come, and waits for as long as the limits ask. Fails when the hours are over.
    pub async fn received(&self, bytes: u64) -> Result<(), Failure> {
        let wait = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.received(bytes, Instant::now())
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
        self.must_be_open()
    }
}

fn outside_hours() -> Failure {
    let words = "the hours for fetching are over; what is here is gone on with in the next ones";
    Failure::new(Exit::Unreachable, words).with_code(OUTSIDE_HOURS)
}

/// Reports whether a fetch ended because the hours are over.
pub fn is_outside_hours(failure: &Failure) -> bool {
    failure.code() == Some(OUTSIDE_HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_limits_waits_for_nothing() {
        let line = Line::default();
        let begun = Instant::now();
        for _ in 0..1000 {
            line.received(1 << 30).await.unwrap();
        }
        assert!(begun.elapsed().as_secs() < 5);
    }

    #[tokio::test]
    async fn outside_of_its_hours_only_what_is_urgent_is_fetched() {
        // No day at all: such hours never come.
        let never = Hours::never();
        let line = Line::new(Bandwidth { hours: vec![never], ..Bandwidth::default() });
        assert!(line.must_be_open().is_err());
        assert!(is_outside_hours(&line.received(1).await.unwrap_err()));
        assert!(line.for_urgent(true).received(1).await.is_ok());
    }
}
