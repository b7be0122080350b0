//! Settings that are taken while the server runs: on SIGHUP the file and the environment are read again.
//!
//! Everything is checked first, and all of it is taken or nothing. What only a start can change (addresses, places, ways in)
//! is named in the log and stays as it is.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::app;
use crate::api::conventions::limits::Brakes;
use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::telemetry;

/// Reads the settings as they are now.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Whom new settings concern.
pub(super) struct Concerned {
    pub(super) catalog: Catalog,
    pub(super) brakes: Brakes,
    pub(super) reread: Reread,
}

/// Takes new settings whenever it is told to, without end.
pub(super) async fn keep_up(config: Config, concerned: Arc<Concerned>) {
    let mut asked = match signal(SignalKind::hangup()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be listened for");
            return;
        }
    };
    while asked.recv().await.is_some() {
        if let Err(error) = take(&config, &concerned) {
            // Its first line: what follows may quote a line of the file, and a secret in it.
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default();
            tracing::error!("new settings are not taken, the old ones stay: {reason}");
        }
    }
}

/// `started` is what the server was started with: what only a start takes is compared with that.
fn take(started: &Config, concerned: &Concerned) -> Result<(), ConfigError> {
    let new = (concerned.reread)()?;
    telemetry::change_level(&new.log)?;
    let mut rules = new.rules()?;
    // Names in the tree are made by the pattern that the server was started with.
    rules.pattern = concerned.catalog.rules().pattern.clone();
    concerned.catalog.set_rules(rules);
    concerned.brakes.change(app::limits(&new));
    tracing::info!("SIGHUP: the settings were read anew");
    let left = started.left_for_a_start(&new);
    if !left.is_empty() {
        tracing::warn!("changed, and taken by the next start only: {}", left.join(", "));
    }
    Ok(())
}
