//! What the server tells of itself: logs, the access log, metrics; and the id that ties them together.

pub mod access_log;
pub mod metrics;
pub mod request;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// Starts logging to stderr: text on a terminal, JSON otherwise, unless the settings say which.
pub fn start_logging(settings: &Log) -> Result<(), ConfigError> {
    // The framework's own lines on every start are no news; a level that names it still wins.
    let filter = EnvFilter::try_new(format!("actix_server=warn,{}", settings.level))
        .map_err(|error| ConfigError::new(format!("log.level: {error}")))?;
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
