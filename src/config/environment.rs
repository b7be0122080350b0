//! Settings and secrets that the environment has, or files that it names.

use super::ConfigError;

/// A secret from the environment variable `name`, or from the file that `name_FILE` names.
pub fn secret_from_environment(name: &str) -> Result<Option<secrecy::SecretString>, ConfigError> {
    if let Ok(path) = std::env::var(format!("{name}_FILE")) {
        return Ok(Some(read_value(name, &path)?.into()));
    }
    Ok(std::env::var(name).ok().filter(|value| !value.is_empty()).map(Into::into))
}

/// `IMAGEDEPOT__CATALOG__URL_FILE=/run/secrets/url` sets `catalog.url` to what the file holds.
pub(super) fn values_from_files() -> Result<Vec<(String, String)>, ConfigError> {
    let mut values = Vec::new();
    for (name, path) in std::env::vars() {
        let Some(key) =
            name.strip_prefix("IMAGEDEPOT__").and_then(|name| name.strip_suffix("_FILE"))
        else {
            continue;
        };
        values.push((key.to_ascii_lowercase().replace("__", "."), read_value(&name, &path)?));
    }
    Ok(values)
}

fn read_value(name: &str, path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(format!("{name}: {path}: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
