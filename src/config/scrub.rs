//! `[scrub]`: the settings for reading stored bytes again.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::error::ConfigError;
use crate::catalog::rules::ScrubRules;

/// `[scrub]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrub {
    /// The time within which every stored byte is read again.
    #[serde(with = "humantime_serde")]
    pub within: Duration,
    /// The bytes to read per second; 0 means as fast as `within` needs.
    pub bandwidth: ByteSize,
}

impl Default for Scrub {
    fn default() -> Self {
        Self { within: ScrubRules::default().within, bandwidth: ByteSize::b(0) }
    }
}

impl Scrub {
    pub(super) fn rules(&self) -> Result<ScrubRules, ConfigError> {
        if self.within < Duration::from_mins(1) {
            return Err(ConfigError::new("scrub.within: must be at least a minute"));
        }
        let bandwidth = Some(self.bandwidth.as_u64()).filter(|rate| *rate > 0);
        Ok(ScrubRules { within: self.within, bandwidth })
    }
}
