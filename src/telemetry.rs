//! What the server tells of itself: logs, the access log, metrics; and the id that ties them together.

pub mod access_log;
pub mod metrics;
pub mod request;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// The framework's own lines on every start are no news, nor is what strangers send that is no HTTP; a level that names
/// them still wins.
const QUIET: &str = "actix_server=warn,actix_http=off";

/// What is logged, by `log.level`.
pub fn filter(settings: &Log) -> Result<EnvFilter, ConfigError> {
    EnvFilter::try_new(format!("{QUIET},{}", settings.level))
        .map_err(|error| ConfigError::new(format!("log.level: {error}")))
}

/// Starts logging to stderr: text on a terminal, JSON otherwise, unless the settings say which.
pub fn start_logging(settings: &Log) -> Result<(), ConfigError> {
    let filter = filter(settings)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(terminal).with_target(false).try_init()
    };
    started.map_err(|error| ConfigError::new(format!("log: {error}")))
}
