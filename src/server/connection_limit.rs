//! Limits the connections in total and from each address, so that no caller uses up the descriptors that others need.
//!
//! A download needs a descriptor for its file beside the connection's, and the catalog, the store and the log need
//! some, too. So connections get three quarters of the descriptors. Once half of the descriptors are taken, each
//! address gets only a few connections, so that callers from other addresses can still connect. Proxies that the
//! settings trust represent many callers, and no limit applies to them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::per_address::PerAddress;
use crate::access::TrustedProxies;
use crate::model::metric;

/// The number of descriptors that the server asks for. The usual limit of 1024 is meant for programs that use
/// select(2). A server on two cores has no use for more than this.
const WANTED: u64 = 65_536;

/// The number of descriptors to assume if the system sets no limit or does not report it.
const WITHOUT_LIMIT: u64 = WANTED;

/// The connections that one address gets while connections are scarce: a client needs one or two, a browser six.
const FEW: usize = 16;

/// The shortest time between two log lines about refusals, because callers decide how many refusals there are.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// The limit, shared by all listeners.
pub(super) struct ConnectionLimit {
    proxies: TrustedProxies,
    in_all: usize,
    scarce_above: usize,
    from_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    connections: PerAddress,
    told_at: Option<Instant>,
}

/// A place for one connection, given back when it is dropped.
pub(super) struct Place {
    limit: Arc<ConnectionLimit>,
    client: IpAddr,
}

/// Raises the process's limit of descriptors as far as the system allows, up to `WANTED`. Returns the limit in force.
pub(super) fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(WANTED).min(WANTED);
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(WITHOUT_LIMIT)
}

impl ConnectionLimit {
    /// Builds the limit. `from_one` is `server.connections_per_address`; 0 means a quarter of the descriptors.
    pub(super) fn new(descriptors: u64, from_one: u32, proxies: TrustedProxies) -> Arc<Self> {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let quarter = (descriptors / 4).max(1);
        Arc::new(Self {
            proxies,
            in_all: quarter * 3,
            scarce_above: quarter * 2,
            from_one: if from_one == 0 { quarter } else { from_one as usize },
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a connection from this address, or returns none if there is no place left for it.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_all, from_one) = (taken.connections.in_all(), taken.connections.of(client));
        if from_one >= self.most_from_one(in_all) && !self.proxies.include(client) {
            metric::CONNECTIONS_REFUSED.increment(1);
            if taken.told_at.is_none_or(|told_at| told_at.elapsed() >= TOLD_EVERY) {
                taken.told_at = Some(Instant::now());
                tracing::warn!(%client, from_one, in_all, "an address has too many connections; further ones are refused");
            }
            return None;
        }
        taken.connections.add(client);
        Some(Place { limit: Arc::clone(self), client })
    }

    fn most_from_one(&self, in_all: usize) -> usize {
        if in_all >= self.in_all {
            0
        } else if in_all >= self.scarce_above {
            self.from_one.min(FEW)
        } else {
            self.from_one
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.connections.remove(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: usize) -> IpAddr {
        format!("192.0.2.{last}").parse().unwrap()
    }

    /// Takes places for one address until it gets no more, or has 1000.
    fn places(limit: &Arc<ConnectionLimit>, last: usize) -> Vec<Place> {
        std::iter::from_fn(|| limit.enter(address(last))).take(1_000).collect()
    }

    fn of_400_descriptors() -> Arc<ConnectionLimit> {
        ConnectionLimit::new(400, 0, TrustedProxies::default())
    }

    #[test]
    fn one_address_gets_a_quarter_of_the_descriptors_and_has_it_again_later() {
        let limit = of_400_descriptors();
        let mut taken = places(&limit, 1);
        assert_eq!(taken.len(), 100);
        taken.truncate(97);
        assert_eq!(places(&limit, 1).len(), 3);
    }

    #[test]
    fn while_connections_are_scarce_an_address_gets_a_few_and_a_quarter_of_the_descriptors_is_kept_back()
     {
        let limit = of_400_descriptors();
        let many = [places(&limit, 1), places(&limit, 2)];
        let few = places(&limit, 3);
        assert_eq!(few.len(), FEW);
        let more: Vec<_> = (4..100).map(|last| places(&limit, last)).collect();
        let in_all: usize = many.iter().chain(&more).map(Vec::len).sum();
        assert_eq!(in_all + few.len(), 300);
    }

    #[test]
    fn a_setting_says_how_many_one_address_gets() {
        let limit = ConnectionLimit::new(400, 7, TrustedProxies::default());
        assert_eq!(places(&limit, 1).len(), 7);
    }
}
