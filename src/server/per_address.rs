//! Counts what callers have open, in total and per address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::address_range::subscriber;

/// The counts. An IPv4 address is counted by itself, an IPv6 address by its subscriber's network.
#[derive(Default)]
pub(super) struct PerAddress {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl PerAddress {
    pub(super) fn in_all(&self) -> usize {
        self.in_all
    }

    pub(super) fn of(&self, client: IpAddr) -> usize {
        self.by_address.get(&subscriber(client)).copied().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(super) fn add(&mut self, client: IpAddr) {
        self.in_all += 1;
        *self.by_address.entry(subscriber(client)).or_default() += 1;
    }

    /// Removes one that was added.
    pub(super) fn remove(&mut self, client: IpAddr) {
        self.in_all = self.in_all.saturating_sub(1);
        let client = subscriber(client);
        if let Some(from_one) = self.by_address.get_mut(&client) {
            *from_one = from_one.saturating_sub(1);
            if *from_one == 0 {
                self.by_address.remove(&client);
            }
        }
    }
}
