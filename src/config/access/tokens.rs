//! `[access.tokens]`: the lifetimes of API tokens.

use std::time::Duration;

use serde::Deserialize;

use crate::config::error::ConfigError;

/// `[access.tokens]`: the tokens that this server issues.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// The lifetime of a token if its creator does not set one.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// The longest lifetime that the creator may set.
    #[serde(with = "humantime_serde")]
    pub longest_lifetime: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_hours(90 * 24),
            longest_lifetime: Duration::from_hours(366 * 24),
        }
    }
}

impl Tokens {
    pub(in crate::config) fn check(&self) -> Result<(), ConfigError> {
        if self.lifetime > self.longest_lifetime || self.lifetime.is_zero() {
            return Err(ConfigError::new(
                "access.tokens.lifetime: must be above zero and at most access.tokens.longest_lifetime",
            ));
        }
        Ok(())
    }
}
