//! The schedule of a fleet: when each client asks.
//!
//! Each client has a slot of its own in the period, drawn from its number, and asks in it once a period. So checks come
//! as they do from a real fleet: evenly on the whole, and now and then several at once. The schedule does not look at
//! the answers. A slow server does not make the load lighter.

use std::time::Duration;

use super::fleet::{Client, draw_bits};

/// The slots of all clients.
#[derive(Debug)]
pub struct Schedule {
    /// In order, each with the slot (in parts of 2^32 of the period) in the upper half and the client in the lower one.
    slots: Vec<u64>,
    period: Duration,
}

/// A check that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub client: Client,
    /// The time since the start.
    pub after: Duration,
}

impl Schedule {
    pub fn new(clients: u32, period: Duration) -> Self {
        let slot = |number| u64::from(draw_bits("slot", Client(number))) << 32 | u64::from(number);
        let mut slots: Vec<_> = (0..clients).map(slot).collect();
        slots.sort_unstable();
        Self { slots, period }
    }

    /// Returns the checks that are due within this time from the start, in their order.
    pub fn within(&self, duration: Duration) -> impl Iterator<Item = Due> {
        let periods = (0..).map_while(|round| self.period.checked_mul(round));
        let dues = periods
            .flat_map(move |begin| self.slots.iter().map(move |slot| self.due(begin, *slot)));
        dues.take_while(move |due| due.after < duration)
    }

    fn due(&self, begin: Duration, slot: u64) -> Due {
        let [high, low] = [slot >> 32, slot & u64::from(u32::MAX)];
        let half = |half| u32::try_from(half).unwrap_or(u32::MAX);
        let part = f64::from(half(high)) / 2_f64.powi(32);
        Due { client: Client(half(low)), after: begin + self.period.mul_f64(part) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PERIOD: Duration = Duration::from_mins(15);

    #[test]
    fn each_client_asks_once_a_period_at_the_same_place() {
        let schedule = Schedule::new(1000, PERIOD);
        let mut times: BTreeMap<Client, Vec<Duration>> = BTreeMap::new();
        let mut last = Duration::ZERO;
        for due in schedule.within(PERIOD * 3) {
            assert!(due.after >= last, "in order");
            last = due.after;
            times.entry(due.client).or_default().push(due.after);
        }
        assert_eq!(times.len(), 1000);
        for (client, times) in times {
            let first = times[0];
            assert!(first < PERIOD, "{client}");
            assert_eq!(times, [first, first + PERIOD, first + PERIOD * 2], "{client}");
        }
    }

    #[test]
    fn the_load_is_spread_over_the_period() {
        let schedule = Schedule::new(90_000, PERIOD);
        let mut minutes = [0_u32; 15];
        for due in schedule.within(PERIOD) {
            minutes[usize::try_from(due.after.as_secs() / 60).unwrap()] += 1;
        }
        // 6,000 a minute; six times the standard deviation is 450.
        assert!(minutes.iter().all(|count| count.abs_diff(6000) < 450), "{minutes:?}");
    }

    #[test]
    fn a_short_run_has_a_part_of_the_fleet_and_ends_in_time() {
        let schedule = Schedule::new(90_000, PERIOD);
        let minute = Duration::from_mins(1);
        assert!(schedule.within(minute).count().abs_diff(6000) < 450);
        assert!(schedule.within(minute).all(|due| due.after < minute));
        assert_eq!(schedule.within(Duration::ZERO).count(), 0);
    }
}
