//! Settings and secrets from environment variables, or from files that the variables name.
//!
//! A value stays text until its key decides the type: `00000815` is no number if a name is wanted. A list is written
//! with commas, or item by item with a number in the name: `IMAGEDEPOT__LISTENER__0__ADDRESS`. An empty variable counts
//! as not set, because scripts empty a variable to switch it off.

use config::{Value, ValueKind};

use super::error::ConfigError;
use crate::model::text_file::secret_in;

const PREFIX: &str = "IMAGEDEPOT__";

/// The keys whose values are lists of words.
const LISTS: [&str; 9] = [
    "trusted_proxies",
    "ways_in",
    "crl",
    "cors",
    "algorithms",
    "roles",
    "images",
    "allow",
    "retries",
];

/// A setting from the environment.
pub(super) struct Variable {
    /// The name of the environment variable.
    pub name: String,
    /// The key in the settings, such as `listener[0].address`.
    pub key: String,
    pub value: Value,
}

/// Returns a secret from the file that the variable `name_FILE` names, or else from the variable `name`.
pub fn secret_from_environment(name: &str) -> Result<Option<secrecy::SecretString>, ConfigError> {
    if let Ok(path) = std::env::var(format!("{name}_FILE"))
        && !path.is_empty()
    {
        return Ok(Some(read_value(name, &path)?.into()));
    }
    Ok(std::env::var(name).ok().filter(|value| !value.is_empty()).map(Into::into))
}

/// Returns all settings of the environment. Those from files (`IMAGEDEPOT__CATALOG__URL_FILE=/run/secrets/url`) come
/// last, so that they override plain variables for the same key.
pub(super) fn variables() -> Result<Vec<Variable>, ConfigError> {
    let (mut plain, mut from_files) = (Vec::new(), Vec::new());
    for (name, text) in texts()? {
        let words = &name[PREFIX.len()..];
        if let Some(words) = words.strip_suffix("_FILE") {
            let text = read_value(&name, &text)?;
            from_files.push(Variable::new(&name, words, text)?);
        } else {
            plain.push(Variable::new(&name, words, text)?);
        }
    }
    plain.extend(from_files);
    Ok(plain)
}

impl Variable {
    fn new(name: &str, words: &str, text: String) -> Result<Self, ConfigError> {
        let key = key(words).ok_or_else(|| {
            ConfigError::new(format!(
                "{name}: must have the form IMAGEDEPOT__SECTION__KEY, with two underscores"
            ))
        })?;
        let last = key.rsplit('.').next().unwrap_or_default();
        let kind = if LISTS.contains(&last) {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            ValueKind::Array(items.map(Value::from).collect())
        } else {
            ValueKind::String(text)
        };
        Ok(Self { name: name.to_owned(), value: Value::new(None, kind), key })
    }
}

/// Converts `LISTENER__0__ADDRESS` to `listener[0].address`; returns none for a malformed name.
fn key(words: &str) -> Option<String> {
    let mut key = String::new();
    for word in words.to_ascii_lowercase().split("__") {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if word.is_empty() || !word.chars().all(is_plain) {
            return None;
        }
        if !key.is_empty() && word.chars().all(|c| c.is_ascii_digit()) {
            // The library allocates all items up to this one, and nobody has more than 255 listeners.
            let index: u8 = word.parse().ok()?;
            key = format!("{key}[{index}]");
        } else {
            let dot = if key.is_empty() { "" } else { "." };
            key = format!("{key}{dot}{word}");
        }
    }
    Some(key)
}

/// Returns the variables that are meant for this program and not empty. Other variables need not even be text.
fn texts() -> Result<Vec<(String, String)>, ConfigError> {
    let mut texts = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if !name.to_ascii_uppercase().starts_with(PREFIX) || value.is_empty() {
            continue;
        }
        let Ok(value) = value.into_string() else {
            return Err(ConfigError::new(format!("{name}: the value is not UTF-8")));
        };
        texts.push((name, value));
    }
    // Sorted, so that the result does not depend on the system's order if two variables set the same key.
    texts.sort();
    Ok(texts)
}

fn read_value(name: &str, path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(format!("{name}: {path}: {error}")))?;
    Ok(secret_in(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_name_count_the_items_of_a_list() {
        for (words, expected) in [
            ("TREE__ALIAS", Some("tree.alias")),
            ("LISTENER__0__WAYS_IN", Some("listener[0].ways_in")),
            ("ACCESS__OIDC__GRANT__2__ROLES__0", Some("access.oidc.grant[2].roles[0]")),
            ("STORE__OPTIONS__ACCESS_KEY_ID", Some("store.options.access_key_id")),
            ("TREE__", None),
            ("__ALIAS", None),
            ("LISTENER__900__ADDRESS", None),
        ] {
            assert_eq!(key(words).as_deref(), expected, "{words}");
        }
    }

    #[test]
    fn every_list_of_words_in_the_settings_is_known() {
        // The lists in the example, except the list of tables: its items have numbers in their variables' names.
        let is_list = |line: &&str| line.contains(" = [");
        let example = include_str!("example.toml");
        for line in example.lines().filter(is_list).filter(|line| !line.contains('{')) {
            let line = line.trim_start_matches(['#', '=', ' ']);
            let key = line.split(" = ").next().unwrap_or_default();
            assert!(LISTS.contains(&key), "{key} is a list that the environment cannot set");
        }
    }
}
