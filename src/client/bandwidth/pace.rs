//! The pace at which bytes are taken from the line.
//!
//! A share needs to know what the line gives. It is measured by taking bytes as fast as they come for some seconds, at the
//! start and every ten minutes: other traffic on the line makes it give less, and the share follows. The bytes that the
//! system has already received while the reader waited are left out of the measurement.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The time for which the line is measured, and until it is measured again.
const MEASURED: Duration = Duration::from_secs(3);
const MEASURED_AGAIN: Duration = Duration::from_mins(10);

/// The time without any byte after which a measurement begins anew.
const PAUSE: Duration = Duration::from_secs(2);

/// More than the system keeps for readers that wait (6 MiB for a connection by default).
const KEPT_BY_SYSTEM: u64 = 8 << 20;

/// Readers that are ahead by less do not wait: short sleeps cost more than they give.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// The time that a reader which took less before may catch up.
const CATCH_UP: Duration = Duration::from_millis(250);

/// A share of the line, in percent from 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineShare(u8);

impl LineShare {
    /// Returns none for 0 and for 100 and more.
    pub fn percent(percent: u64) -> Option<Self> {
        u8::try_from(percent).ok().filter(|percent| (1..100).contains(percent)).map(Self)
    }
}

/// The pace of all transfers together.
#[derive(Debug, Default)]
pub struct Pace {
    rate: Option<NonZeroU64>,
    share: Option<Share>,
    /// The time at which the bytes that have come would have come at the rate.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Share {
    percent: u64,
    measuring: Option<Measuring>,
    /// The bytes in a second that the line gives, and when that was found.
    found: Option<(u64, Instant)>,
}

/// A measurement of the line that is under way.
#[derive(Debug, Clone, Copy)]
struct Measuring {
    /// The bytes that are left out, because they may have come before.
    skipped: u64,
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    since: Instant,
    last: Instant,
    bytes: u64,
}

impl Pace {
    pub fn new(rate: Option<NonZeroU64>, share: Option<LineShare>) -> Self {
        let share = share.map(|LineShare(percent)| Share {
            percent: u64::from(percent),
            measuring: Some(Measuring { skipped: 0, begun: None }),
            found: None,
        });
        Self { rate, share, due: None }
    }

    /// Counts bytes that have come. Returns the time to wait before the next ones are taken.
    pub fn received(&mut self, bytes: u64, now: Instant) -> Option<Duration> {
        let of_share = self.share.as_mut().and_then(|share| share.rate(bytes, now));
        let rate = [self.rate, of_share].into_iter().flatten().min()?;
        let begun = self.due.map_or(now, |due| due.max(now.checked_sub(CATCH_UP).unwrap_or(now)));
        let due = begun + time_for(bytes, rate);
        self.due = Some(due);
        due.checked_duration_since(now).filter(|wait| *wait >= SHORTEST_WAIT)
    }
}

fn time_for(bytes: u64, rate: NonZeroU64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

impl Share {
    /// Returns the rate that the share allows; none while the line is measured.
    fn rate(&mut self, bytes: u64, now: Instant) -> Option<NonZeroU64> {
        if let Some(measuring) = &mut self.measuring {
            let line = measuring.add(bytes, now)?;
            self.found = Some((line, now));
            self.measuring = None;
        }
        let (line, at) = self.found?;
        if now.duration_since(at) >= MEASURED_AGAIN {
            // No more than what may have come while the reader waited, on a slow line less.
            let skipped = KEPT_BY_SYSTEM.min(line.saturating_mul(MEASURED.as_secs()));
            self.measuring = Some(Measuring { skipped, begun: None });
        }
        let rate = u128::from(line) * u128::from(self.percent) / 100;
        NonZeroU64::new(u64::try_from(rate).unwrap_or(u64::MAX)).or(Some(NonZeroU64::MIN))
    }
}

impl Measuring {
    /// Returns the bytes in a second that the line gives, once they are known.
    fn add(&mut self, bytes: u64, now: Instant) -> Option<u64> {
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(bytes);
            return None;
        }
        let Some(begun) =
            self.begun.as_mut().filter(|begun| now.duration_since(begun.last) < PAUSE)
        else {
            // The bytes that came first came before the clock. A pause between two transfers says nothing of the line.
            self.begun = Some(Begun { since: now, last: now, bytes: 0 });
            return None;
        };
        begun.last = now;
        begun.bytes += bytes;
        let took = now.duration_since(begun.since);
        let rate = u128::from(begun.bytes) * 1000 / took.as_millis().max(1);
        (took >= MEASURED).then(|| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes pieces of 16 KiB from a line for a while. Returns the bytes per second.
    fn taken(pace: &mut Pace, from: Instant, line: u64, seconds: u64) -> u64 {
        let (mut now, mut bytes) = (from, 0_u64);
        let end = from + Duration::from_secs(seconds);
        while now < end {
            now += Duration::from_nanos(16384 * 1_000_000_000 / line);
            bytes += 16384;
            now += pace.received(16384, now).unwrap_or_default();
        }
        bytes * 1000 / u64::try_from(now.duration_since(from).as_millis()).unwrap()
    }

    #[test]
    fn a_rate_is_kept_to_within_a_percent() {
        let now = Instant::now();
        let mut pace = Pace::new(NonZeroU64::new(1_000_000), None);
        let rate = taken(&mut pace, now, 50_000_000, 60);
        assert!((990_000..=1_010_000).contains(&rate), "{rate}");
    }

    #[test]
    fn a_share_follows_what_the_line_gives() {
        let now = Instant::now();
        let mut pace = Pace::new(None, LineShare::percent(25));
        // The line is measured for three seconds.
        let measured = taken(&mut pace, now, 10_000_000, 4);
        assert!((7_500_000..9_000_000).contains(&measured), "{measured}");
        let now = now + Duration::from_secs(4);
        let rate = taken(&mut pace, now, 10_000_000, 60);
        assert!((2_400_000..=2_600_000).contains(&rate), "{rate}");
        // Small transfers between long pauses are no slow line.
        let mut few = Pace::new(None, LineShare::percent(50));
        for hour in 0..5 {
            let now = now + Duration::from_hours(hour);
            assert_eq!(few.received(16384, now), None);
            assert_eq!(few.received(16384, now + Duration::from_millis(1)), None);
        }
        // Half of the line is taken by others now.
        let now = now + Duration::from_secs(700);
        taken(&mut pace, now, 5_000_000, 30);
        let rate = taken(&mut pace, now + Duration::from_mins(1), 5_000_000, 60);
        assert!((1_200_000..=1_300_000).contains(&rate), "{rate}");
    }
}
