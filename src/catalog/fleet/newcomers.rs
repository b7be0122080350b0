//! The limit of new clients: one address can bring only so many new ids into the record in a minute. Each server counts
//! by itself.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::address_range::subscriber;

/// The new clients of each address (for IPv6, of its network of 64 bits) and minute.
#[derive(Debug, Default)]
pub struct Newcomers {
    counted: HashMap<(IpAddr, i64), u32>,
}

/// The new clients of one batch, which count once the batch is written.
#[derive(Debug, Default)]
pub struct Arrivals {
    admitted: HashSet<String>,
    counted: HashMap<(IpAddr, i64), u32>,
}

impl Newcomers {
    /// Reports whether a client that is not on record may come into it. `key` is its id in lower case, `at` the time of
    /// its check in seconds since the epoch, `limit` the number of new clients for each address and minute; 0 means no
    /// limit.
    pub fn admit(
        &self,
        arrivals: &mut Arrivals,
        key: &str,
        address: IpAddr,
        at: i64,
        limit: u32,
    ) -> bool {
        if arrivals.admitted.contains(key) {
            return true;
        }
        let place = (subscriber(address), at.div_euclid(60));
        let before = self.counted.get(&place).copied().unwrap_or(0);
        let now = arrivals.counted.entry(place).or_default();
        if limit > 0 && before.saturating_add(*now) >= limit {
            return false;
        }
        *now += 1;
        arrivals.admitted.insert(key.to_owned())
    }

    /// Counts what was written.
    pub fn add(&mut self, arrivals: Arrivals) {
        for (place, count) in arrivals.counted {
            *self.counted.entry(place).or_default() += count;
        }
    }

    /// Forgets minutes that ended before this time, in seconds since the epoch.
    pub fn forget_before(&mut self, time: i64) {
        self.counted.retain(|(_, minute), _| *minute >= time.div_euclid(60));
    }
}

impl Arrivals {
    /// Returns the number of new clients.
    pub fn count(&self) -> u64 {
        self.admitted.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "192.0.2.1";

    /// Admits clients in one batch, and counts those that were.
    fn admitted(newcomers: &mut Newcomers, clients: &[&str], address: &str, at: i64) -> u64 {
        let mut arrivals = Arrivals::default();
        for client in clients {
            newcomers.admit(&mut arrivals, client, address.parse().unwrap(), at, 3);
        }
        let count = arrivals.count();
        newcomers.add(arrivals);
        count
    }

    #[test]
    fn an_address_brings_so_many_new_clients_a_minute() {
        let mut newcomers = Newcomers::default();
        assert_eq!(admitted(&mut newcomers, &["a", "a", "b"], ONE, 0), 2, "each counts once");
        assert_eq!(admitted(&mut newcomers, &["c", "d"], ONE, 59), 1);
        assert_eq!(admitted(&mut newcomers, &["d"], "192.0.2.2", 59), 1, "another address");
        assert_eq!(admitted(&mut newcomers, &["d"], ONE, 60), 1, "the next minute");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut newcomers = Newcomers::default();
        assert_eq!(admitted(&mut newcomers, &["a", "b"], "2001:db8::1", 0), 2);
        assert_eq!(admitted(&mut newcomers, &["c", "d"], "2001:db8::2", 0), 1);
    }

    #[test]
    fn what_was_not_written_does_not_count_and_what_is_over_is_forgotten() {
        let mut newcomers = Newcomers::default();
        let mut lost = Arrivals::default();
        assert!(newcomers.admit(&mut lost, "a", ONE.parse().unwrap(), 0, 1));
        drop(lost);
        assert_eq!(admitted(&mut newcomers, &["b", "c", "d", "e"], ONE, 0), 3);
        newcomers.forget_before(59);
        assert_eq!(newcomers.counted.len(), 1);
        newcomers.forget_before(60);
        assert!(newcomers.counted.is_empty());
    }

    #[test]
    fn without_a_limit_all_come_in() {
        let (newcomers, mut arrivals) = (Newcomers::default(), Arrivals::default());
        let all = (0..5000).all(|number: u32| {
            newcomers.admit(&mut arrivals, &number.to_string(), ONE.parse().unwrap(), 0, 0)
        });
        assert!(all);
    }
}
