//! The server's telemetry: logs, the access log, metrics, and the request id that connects them.

pub mod access_log;
pub mod metrics;
pub mod process;
pub mod request;

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::config::{ConfigError, Log, LogFormat};

/// The filter for the framework's own lines: those on every start are no news, and neither is traffic from strangers
/// that is not HTTP. A level in the settings that names these targets overrides it.
const QUIET: &str = "actix_server=warn,actix_http=off";

/// The handle that changes the level while the server runs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Builds the log filter from `log.level`.
pub fn filter(settings: &Log) -> Result<EnvFilter, ConfigError> {
    // The filter would take an unknown word for a module's name, and log nothing from all other modules.
    let parts = settings.level.split(',').map(str::trim).filter(|part| !part.is_empty());
    for part in parts {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            return Err(ConfigError::new(format!(
                "log.level: {level} is not one of off, error, warn, info, debug and trace"
            )));
        }
    }
    EnvFilter::try_new(format!("{QUIET},{}", settings.level))
        .map_err(|error| ConfigError::new(format!("log.level: {error}")))
}

/// Starts logging to stderr: text on a terminal, JSON otherwise, unless `log.format` says which.
pub fn start_logging(settings: &Log) -> Result<(), ConfigError> {
    let filter = filter(settings)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(terminal && colours_are_welcome()).with_target(false).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| ConfigError::new(format!("log: {error}")))?;
    // Nothing is set yet: starting a second time fails above.
    let _first = FILTER.set(handle);
    Ok(())
}

/// Reports whether colours may be used: not if `NO_COLOR` is set to something (<https://no-color.org>).
fn colours_are_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Applies another `log.level` from now on.
pub fn change_level(settings: &Log) -> Result<(), ConfigError> {
    let filter = filter(settings)?;
    let Some(handle) = FILTER.get() else { return Ok(()) };
    handle.reload(filter).map_err(|error| ConfigError::new(format!("log.level: {error}")))
}
