//! Checks that need more than one key: values that do not fit together, or that name what does not exist.

mod access;
mod listener;
mod places;

use std::net::SocketAddr;
use std::time::Duration;

use super::error::ConfigError;
use super::settings::{Checks, Config};
use crate::model::ChannelName;
use crate::storage::Db;

/// The fewest connections. A change may hold one while another part of it reads, so with fewer, two changes could wait
/// for each other.
const FEWEST_CONNECTIONS: u32 = 4;

impl Config {
    /// Returns all mistakes, each with its key.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let listeners = self.listener.iter().enumerate().map(|(number, listener)| {
            listener::check(listener, self)
                .map_err(|error| ConfigError(format!("listener {}: {error}", number + 1)))
        });
        let found = [
            self.rules().map(drop),
            self.check_alias(),
            self.check_period(),
            self.check_catalog(),
            self.check_webhooks(),
            self.check_places(),
            self.check_addresses(),
            self.check_access(),
        ];
        let wrong = found.into_iter().chain(listeners).filter_map(Result::err);
        wrong.map(|error| error.to_string()).collect()
    }

    fn check_alias(&self) -> Result<(), ConfigError> {
        let alias = &self.tree.alias;
        if alias.parse::<ChannelName>().is_err() || alias.eq_ignore_ascii_case("api") {
            return Err(ConfigError::new(
                "tree.alias: must be one plain path segment other than api",
            ));
        }
        Ok(())
    }

    fn check_period(&self) -> Result<(), ConfigError> {
        if self.checks.period.as_secs() < 30 {
            return Err(ConfigError::new("checks.period: must be at least 30s"));
        }
        let Checks { stretch_above, hard_limit, .. } = self.checks;
        if hard_limit > 0 && hard_limit < stretch_above {
            return Err(ConfigError::new(
                "checks.hard_limit: must not be below checks.stretch_above, so that clients slow down before they are \
                 refused",
            ));
        }
        Ok(())
    }

    fn check_webhooks(&self) -> Result<(), ConfigError> {
        if self.webhooks.retries.is_empty() || self.webhooks.retries.iter().any(Duration::is_zero) {
            return Err(ConfigError::new(
                "webhooks.retries: must have at least one pause, and none of 0",
            ));
        }
        Ok(())
    }

    fn check_catalog(&self) -> Result<(), ConfigError> {
        if self.catalog.connections < FEWEST_CONNECTIONS {
            return Err(ConfigError::new("catalog.connections: must be at least 4"));
        }
        let url = self.catalog.url.as_deref().unwrap_or_default();
        Db::check_url(url).map_err(|error| ConfigError(error.to_string()))
    }

    /// Checks that no two listeners need the same address and port. Port 0 gives another port each time. The address of
    /// all interfaces includes each single one, but not across IPv4 and IPv6: the server has `[::]` take IPv6 alone if
    /// an IPv4 address has the same port.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let listeners = self.listener.iter().map(|listener| listener.address);
        let addresses: Vec<_> = listeners.chain(self.metrics.listen).collect();
        for (at, address) in addresses.iter().enumerate() {
            if let Some(other) = addresses[..at].iter().find(|other| clash(**other, *address)) {
                let why =
                    if other == address { "is listed twice" } else { "overlaps with the other" };
                return Err(ConfigError(format!(
                    "listener: {other} and {address}: {address} {why}, among the listeners' addresses and metrics.listen"
                )));
            }
        }
        Ok(())
    }
}

fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || all(one) || all(other))
}

#[cfg(test)]
mod tests {
    use super::clash;

    #[test]
    fn addresses_clash_where_the_system_gives_one_of_them_alone() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:1", "[::]:1", false),
            ("0.0.0.0:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(clash(one, other), expected, "{one} and {other}");
            assert_eq!(clash(other, one), expected, "{other} and {one}");
        }
    }
}
