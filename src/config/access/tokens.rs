//! `[access.tokens]`: how long tokens are good.

use std::time::Duration;

use serde::Deserialize;

use crate::config::error::ConfigError;

/// `[access.tokens]`: tokens that this server makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// How long one is good when its maker does not say.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// The longest that its maker may say.
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
                "access.tokens.lifetime: above zero and at most longest_lifetime",
            ));
        }
        Ok(())
    }
}
