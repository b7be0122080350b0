//! Settings that change while the server runs: on SIGHUP the file and the environment are read again.
//!
//! The new settings are checked first and applied as a whole, or not at all. Settings that only a restart can change
//! (addresses, places, authentication methods) are named in the log and stay as they are.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::app;
use crate::api::conventions::limits::DownloadLimits;
use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::telemetry;

/// A function that reads the current settings.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The parts of the server that new settings apply to.
pub(super) struct Reloadable {
    pub(super) catalog: Catalog,
    pub(super) download_limits: DownloadLimits,
    pub(super) reread: Reread,
}

/// Applies new settings on every SIGHUP, without end.
pub(super) async fn keep_up(config: Config, reloadable: Arc<Reloadable>) {
    let mut asked = match signal(SignalKind::hangup()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP");
            return;
        }
    };
    while asked.recv().await.is_some() {
        if let Err(error) = reload(&config, &reloadable) {
            // Only the first line: those after it may quote the file, and a secret with it.
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default();
            tracing::error!(
                "the new settings were not applied, the old ones remain in force: {reason}"
            );
        }
    }
}

/// Applies the new settings. `started` has the settings of the start, which tell what needs a restart.
fn reload(started: &Config, reloadable: &Reloadable) -> Result<(), ConfigError> {
    let new = (reloadable.reread)()?;
    telemetry::change_level(&new.log)?;
    let mut rules = new.rules()?;
    // Files in the tree are named by the pattern that the server was started with.
    rules.pattern = reloadable.catalog.rules().pattern.clone();
    reloadable.catalog.set_rules(rules);
    reloadable.download_limits.change(app::limits(&new));
    tracing::info!("SIGHUP: the settings were reloaded");
    let left = started.needs_restart(&new);
    if !left.is_empty() {
        tracing::warn!("changed settings that only a restart applies: {}", left.join(", "));
    }
    Ok(())
}
