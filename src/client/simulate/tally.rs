//! The measurements of a simulation: latencies, answers, errors, and how late the simulation itself was.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::answer::{Refused, Told};
use super::fleet::{Attempt, Way};
use crate::client::error::Failure;
use crate::client::exit_code::Exit;

/// The significant digits of a latency.
const DIGITS: u8 = 3;
/// The longest latency that is told apart from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// The delay up to which a check counts as asked in time.
const IN_TIME: Duration = Duration::from_millis(10);
/// The largest number of different texts that are counted one by one. They come from another machine.
const MOST_KINDS: usize = 50;
/// The name under which all others are counted.
const OTHERS: &str = "others";

/// Numbers by name.
pub type Counts = BTreeMap<String, u64>;

/// The measurements, which many tasks write.
#[derive(Debug)]
pub struct Tally(Mutex<Measured>);

/// The measurements so far.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The checks that ended, with an answer or without one.
    pub checks: u64,
    /// The checks and reports that ended without an answer, or with another one than a client wants.
    pub errors: u64,
    /// The checks that the server answered at all.
    pub answered: u64,
    /// Latencies in microseconds.
    pub latencies: BTreeMap<Way, Histogram<u64>>,
    pub actions: Counts,
    pub reasons: Counts,
    pub error_kinds: Counts,
    /// The refusals that said when to come back.
    pub come_back: u64,
    pub applied: u64,
    pub failed: u64,
    /// The checks that began later than they were due, by more than [`IN_TIME`].
    pub late: u64,
    pub behind_at_worst: Duration,
    recent: Recent,
}

/// The measurements since the last line of progress.
#[derive(Debug, Clone)]
pub struct Recent {
    pub checks: u64,
    pub errors: u64,
    pub latencies: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Result<Self, Failure> {
        let impossible = |error| Failure::new(Exit::Other, format!("no histogram: {error}"));
        let latencies = Histogram::new_with_bounds(1, LONGEST, DIGITS).map_err(impossible)?;
        let recent = Recent { checks: 0, errors: 0, latencies: latencies.clone() };
        Ok(Self(Mutex::new(Measured {
            checks: 0,
            errors: 0,
            answered: 0,
            latencies: Way::ALL.map(|way| (way, latencies.clone())).into(),
            actions: Counts::new(),
            reasons: Counts::new(),
            error_kinds: Counts::new(),
            come_back: 0,
            applied: 0,
            failed: 0,
            late: 0,
            behind_at_worst: Duration::ZERO,
            recent,
        })))
    }

    /// Notes that a check begins, this long after it was due.
    pub fn begun(&self, behind: Duration) {
        self.with(|measured| {
            measured.late += u64::from(behind > IN_TIME);
            measured.behind_at_worst = measured.behind_at_worst.max(behind);
        });
    }

    /// Notes the answer to a check.
    pub fn told(&self, way: Way, latency: Duration, told: &Told) {
        self.with(|measured| {
            measured.ended(way, Some(latency));
            measured.answered += 1;
            count(&mut measured.actions, &told.action);
            count(&mut measured.reasons, &told.reason);
        });
    }

    /// Notes a refusal of a check. Reports whether it is the first one of its kind.
    pub fn refused(&self, way: Way, latency: Duration, refused: &Refused) -> bool {
        self.with(|measured| {
            measured.ended(way, Some(latency));
            measured.answered += 1;
            measured.come_back += u64::from(refused.come_back);
            measured.error(&refused.kind)
        })
    }

    /// Notes a check without an answer; `latency` is the time that the client waited for one. Reports whether it is the
    /// first one of its kind.
    pub fn unanswered(&self, way: Way, latency: Option<Duration>, kind: &str) -> bool {
        self.with(|measured| {
            measured.ended(way, latency);
            measured.error(kind)
        })
    }

    /// Notes a report that the server took.
    pub fn reported(&self, attempt: Attempt) {
        self.with(|measured| match attempt {
            Attempt::Applied => measured.applied += 1,
            Attempt::Failed => measured.failed += 1,
        });
    }

    /// Notes a report that the server did not take. Reports whether it is the first one of its kind.
    pub fn unreported(&self, kind: &str) -> bool {
        self.with(|measured| measured.error(&format!("report: {kind}")))
    }

    /// Returns the measurements so far.
    pub fn measured(&self) -> Measured {
        self.with(|measured| measured.clone())
    }

    /// Returns the measurements since the last call.
    pub fn recent(&self) -> Recent {
        self.with(|measured| {
            let recent = measured.recent.clone();
            measured.recent.latencies.reset();
            (measured.recent.checks, measured.recent.errors) = (0, 0);
            recent
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Measured) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Measured {
    /// Returns the latencies of all checks.
    pub fn all_latencies(&self) -> Histogram<u64> {
        let mut all = self.recent.latencies.clone();
        all.reset();
        for latencies in self.latencies.values() {
            all += latencies;
        }
        all
    }

    fn ended(&mut self, way: Way, latency: Option<Duration>) {
        self.checks += 1;
        self.recent.checks += 1;
        let Some(latency) = latency else { return };
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(latencies) = self.latencies.get_mut(&way) {
            latencies.saturating_record(microseconds);
        }
        self.recent.latencies.saturating_record(microseconds);
    }

    fn error(&mut self, kind: &str) -> bool {
        self.errors += 1;
        self.recent.errors += 1;
        count(&mut self.error_kinds, kind)
    }
}

/// Counts one more of this name. Reports whether it is the first one.
fn count(counts: &mut Counts, name: &str) -> bool {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
        return false;
    }
    let name = if counts.len() < MOST_KINDS { name } else { OTHERS };
    let count = counts.entry(name.to_owned()).or_default();
    *count += 1;
    *count == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn told() -> Told<'static> {
        Told { action: "none".into(), reason: "up_to_date".into(), target: None }
    }

    #[test]
    fn each_way_has_latencies_of_its_own_and_all_together() {
        let tally = Tally::new().unwrap();
        for milliseconds in 1..=100 {
            tally.told(Way::Kept, MILLISECOND * milliseconds, &told());
        }
        tally.told(Way::Fresh, MILLISECOND * 5000, &told());
        let measured = tally.measured();
        assert_eq!((measured.checks, measured.answered, measured.errors), (101, 101, 0));
        let kept = &measured.latencies[&Way::Kept];
        assert!(kept.value_at_quantile(0.5).abs_diff(50_000) <= 50);
        assert_eq!(kept.len(), 100);
        let all = measured.all_latencies();
        assert!(all.max().abs_diff(5_000_000) <= 5_000, "{}", all.max());
        assert_eq!(measured.actions["none"], 101);
        assert_eq!(measured.reasons["up_to_date"], 101);
        assert_eq!((tally.recent().checks, tally.recent().checks), (101, 0));
    }

    #[test]
    fn errors_are_counted_by_kind_and_the_first_one_is_told() {
        let tally = Tally::new().unwrap();
        let busy = Refused { kind: "503 too_many_checks".to_owned(), come_back: true };
        assert!(tally.refused(Way::Kept, MILLISECOND, &busy));
        assert!(!tally.refused(Way::Kept, MILLISECOND, &busy));
        assert!(tally.unanswered(Way::Fresh, None, "cannot connect"));
        assert!(tally.unreported("404 not_found"));
        let measured = tally.measured();
        assert_eq!((measured.checks, measured.answered, measured.errors), (3, 2, 4));
        assert_eq!(measured.come_back, 2);
        assert_eq!(measured.error_kinds["503 too_many_checks"], 2);
        assert_eq!(measured.error_kinds["report: 404 not_found"], 1);
        assert_eq!(measured.all_latencies().len(), 2, "a refused connection is no latency");
    }

    #[test]
    fn a_server_cannot_fill_the_memory_with_reasons() {
        let mut counts = Counts::new();
        for number in 0..1000 {
            count(&mut counts, &format!("reason-{number}"));
        }
        assert_eq!(counts.len(), MOST_KINDS + 1);
        assert_eq!(counts[OTHERS], 950);
    }

    #[test]
    fn lateness_of_its_own_is_noted() {
        let tally = Tally::new().unwrap();
        for milliseconds in [0, 10, 11, 250, 3] {
            tally.begun(MILLISECOND * milliseconds);
        }
        let measured = tally.measured();
        assert_eq!((measured.late, measured.behind_at_worst), (2, MILLISECOND * 250));
    }
}
