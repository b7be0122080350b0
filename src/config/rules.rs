//! The catalog's share of the settings.

use std::time::Duration;

use super::error::ConfigError;
use super::settings::Config;
use crate::catalog::Rules;
use crate::catalog::rules::{BitsRules, DeltaRules, TrustRules};
use crate::catalog::update_check::load::RateLimits;

impl Config {
    /// Returns the catalog's share of the settings.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        Ok(Rules {
            pattern: self
                .tree
                .pattern
                .parse()
                .map_err(|error| ConfigError(format!("tree.pattern: {error}")))?,
            grace: self.tree.grace,
            uploads: self.uploads.clone(),
            min_free: self.store.min_free.as_u64(),
            safety_age: self.store.safety_age,
            check_period: u32::try_from(self.checks.period.as_secs())
                .map_err(|_| ConfigError("checks.period: must be at most 100 years".to_owned()))?,
            check_rates: RateLimits {
                stretch_above: self.checks.stretch_above,
                hard_limit: self.checks.hard_limit,
            },
            scrub: self.scrub.rules()?,
            audit: self.audit,
            events: self.events,
            webhooks: self.webhooks.clone(),
            trust: trust(self.trust)?,
            delta: delta(self.delta)?,
            fleet: self.fleet,
            stale_after: self.access.stale_after,
            token_lifetime: self.access.tokens.lifetime,
            longest_token_lifetime: self.access.tokens.longest_lifetime,
            bits: BitsRules {
                name_pattern: self
                    .bits
                    .name_pattern
                    .parse()
                    .map_err(|error| ConfigError(format!("bits.name_pattern: {error}")))?,
                promote_to: self.bits.promote_to.clone(),
                commit: self.bits.commit,
                max_sessions: self.bits.max_sessions.into(),
                max_fragment: self.bits.max_fragment.as_u64(),
            },
        })
    }
}

fn delta(rules: DeltaRules) -> Result<DeltaRules, ConfigError> {
    const MOST: u32 = 32;
    if !(0.01..=1.0).contains(&rules.cpu) {
        return Err(ConfigError(
            "delta.cpu: must be a share of one core, from 0.01 to 1".to_owned(),
        ));
    }
    if rules.from > MOST {
        return Err(ConfigError(format!("delta.from: must be at most {MOST}")));
    }
    Ok(rules)
}

fn trust(rules: TrustRules) -> Result<TrustRules, ConfigError> {
    /// Less than the time that clients need to fetch what was signed.
    const SHORTEST: Duration = Duration::from_secs(3);
    let lives = [
        ("root", rules.root),
        ("targets", rules.targets),
        ("snapshot", rules.snapshot),
        ("timestamp", rules.timestamp),
    ];
    match lives.iter().find(|(_, life)| *life < SHORTEST) {
        Some((key, _)) => Err(ConfigError(format!("trust.{key}: must be at least 3 seconds"))),
        None => Ok(rules),
    }
}
