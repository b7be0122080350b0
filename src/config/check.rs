//! What one key alone cannot tell: values that do not fit together or do not exist.

mod access;
mod listener;
mod places;

use std::net::SocketAddr;

use super::error::ConfigError;
use super::settings::Config;
use crate::model::ChannelName;

/// A change may hold one while another part of it reads; with fewer, two would wait for each other.
const FEWEST_CONNECTIONS: u32 = 4;

impl Config {
    /// Says what is wrong, and where.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.rules()?;
        if self.tree.alias.parse::<ChannelName>().is_err()
            || self.tree.alias.eq_ignore_ascii_case("api")
        {
            return Err(ConfigError("tree.alias: one plain path segment, and not api".to_owned()));
        }
        if self.checks.period.as_secs() < 30 {
            return Err(ConfigError("checks.period: at least 30s".to_owned()));
        }
        let catalog = self.catalog.url.as_deref().unwrap_or_default();
        if !["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| catalog.starts_with(scheme))
        {
            return Err(ConfigError::new("catalog.url: sqlite:PATH or postgres://…"));
        }
        if self.catalog.connections < FEWEST_CONNECTIONS {
            return Err(ConfigError::new("catalog.connections: at least 4"));
        }
        self.check_places()?;
        for (number, listener) in self.listener.iter().enumerate() {
            listener::check(listener, self)
                .map_err(|error| ConfigError(format!("listener {}: {error}", number + 1)))?;
        }
        self.check_addresses()?;
        self.check_access()
    }

    /// Port 0 is another one each time.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let listeners = self.listener.iter().map(|listener| listener.address);
        let addresses: Vec<_> = listeners.chain(self.metrics.listen).collect();
        let is_twice = |(at, address): (usize, &SocketAddr)| {
            address.port() != 0 && addresses[..at].contains(address)
        };
        match addresses.iter().enumerate().find(|each| is_twice(*each)) {
            Some((_, address)) => Err(ConfigError::new(format!(
                "{address} stands there twice, among the listeners' addresses and metrics.listen"
            ))),
            None => Ok(()),
        }
    }
}
