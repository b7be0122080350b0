//! Settings and secrets that the environment has, or files that it names.

use super::error::ConfigError;
use crate::model::text_file::secret_in;

const PREFIX: &str = "IMAGEDEPOT__";

/// A secret from the environment variable `name`, or from the file that `name_FILE` names.
pub fn secret_from_environment(name: &str) -> Result<Option<secrecy::SecretString>, ConfigError> {
    if let Ok(path) = std::env::var(format!("{name}_FILE")) {
        return Ok(Some(read_value(name, &path)?.into()));
    }
    Ok(std::env::var(name).ok().filter(|value| !value.is_empty()).map(Into::into))
}

/// What the environment says itself. Variables that name a file are no settings by their own names: `url_file` would be an
/// unknown key.
pub(super) fn plain_values() -> Result<config::Map<String, String>, ConfigError> {
    let variables = variables()?.into_iter();
    Ok(variables.filter(|(name, _)| key_by_file(name).is_none()).collect())
}

/// `IMAGEDEPOT__CATALOG__URL_FILE=/run/secrets/url` sets `catalog.url` to what the file holds.
pub(super) fn values_from_files() -> Result<Vec<(String, String)>, ConfigError> {
    let mut values = Vec::new();
    for (name, path) in variables()? {
        let Some(key) = key_by_file(&name) else { continue };
        values.push((key.to_ascii_lowercase().replace("__", "."), read_value(&name, &path)?));
    }
    Ok(values)
}

fn key_by_file(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix("_FILE")
}

/// Those that are meant for here; what others put into the environment need not even be text.
fn variables() -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if !name.to_ascii_uppercase().starts_with(PREFIX) {
            continue;
        }
        let Ok(value) = value.into_string() else {
            return Err(ConfigError::new(format!("{name}: not UTF-8")));
        };
        variables.push((name, value));
    }
    Ok(variables)
}

fn read_value(name: &str, path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(format!("{name}: {path}: {error}")))?;
    Ok(secret_in(&text).to_owned())
}
