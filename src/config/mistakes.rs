//! Finds all mistakes in single settings at once, so that nobody has to start the program again to see the next one.

use config::{ConfigError as Mistake, Value, ValueKind};
use serde::Deserialize as _;
use serde::de::value::BorrowedStrDeserializer;

use super::error::ConfigError;
use super::listener::ClientCertificates;
use super::location::Sources;
use super::settings::{Config, LogFormat};
use crate::access::AuthenticationMethod;
use crate::catalog::rules::Commit;
use crate::model::Role;

/// The most mistakes to report; nobody reads more.
const MOST: usize = 50;

/// Returns the settings, or all mistakes in them with their places. Each wrong value is taken out, so that the next
/// mistake can be found.
pub(super) fn deserialize(mut values: Value, sources: &Sources) -> Result<Config, ConfigError> {
    let mut found = Vec::new();
    loop {
        let mistake = match Config::deserialize(values.clone()) {
            Ok(config) if found.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(mistake) => mistake,
        };
        let (key, what) = told(&mistake);
        let place = sources.place_of(&key).map(|place| format!("{place}: "));
        found.push(format!("{}{what}", place.unwrap_or_default()));
        if found.len() >= MOST || !take_out(&mut values, &key) {
            break;
        }
    }
    Err(ConfigError::all(found))
}

/// Returns the key that a mistake is about, and a sentence that begins with the key.
fn told(mistake: &Mistake) -> (String, String) {
    let (around, what) = match mistake {
        Mistake::At { error, key, .. } => (key.clone().unwrap_or_default(), error.to_string()),
        Mistake::Type { unexpected, expected, key, .. } => {
            let what = format!("invalid type: {unexpected}, expected {expected}");
            (key.clone().unwrap_or_default(), what)
        }
        Mistake::NotFound(key) => (key.clone(), "it is missing".to_owned()),
        other => (String::new(), other.to_string()),
    };
    let (around, what) = (with_dots(&around), possible_values(&what).unwrap_or(what));
    let unknown = what.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let key = match unknown {
        Some(name) if around.is_empty() => name.to_owned(),
        Some(name) => format!("{around}.{name}"),
        None => around,
    };
    let sentence = if key.is_empty() { what } else { format!("{key}: {what}") };
    (key, sentence)
}

/// Adds the dots that the library leaves out: it writes `listener[0]address`.
fn with_dots(key: &str) -> String {
    key.replace(']', "].").replace(".[", "[").replace("..", ".").trim_end_matches('.').to_owned()
}

/// Returns the possible values of a word, because the library names only the type.
fn possible_values(what: &str) -> Option<String> {
    let (_, behind) = what.split_once("enum ")?;
    let name = behind.split(' ').next()?;
    let word = behind.split_once(" does not have variant constructor ").map(|(_, word)| word);
    let asked = word.unwrap_or_default();
    let told = match name {
        "LogFormat" => refusal::<LogFormat>(asked),
        "Commit" => refusal::<Commit>(asked),
        "AuthenticationMethod" => refusal::<AuthenticationMethod>(asked),
        "ClientCertificates" => refusal::<ClientCertificates>(asked),
        "Role" => refusal::<Role>(asked),
        _ => None,
    }?;
    let (_, values) = told.split_once(", ")?;
    Some(word.map_or_else(|| values.to_owned(), |word| format!("{word:?}: {values}")))
}

/// Returns Serde's refusal of a word: `unknown variant …, expected one of …`.
fn refusal<'de, T: serde::Deserialize<'de>>(word: &'de str) -> Option<String> {
    let word: BorrowedStrDeserializer<'_, serde::de::value::Error> =
        BorrowedStrDeserializer::new(word);
    T::deserialize(word).err().map(|error| error.to_string())
}

/// Takes out the value of a key; returns false if there was none.
fn take_out(values: &mut Value, key: &str) -> bool {
    let parts: Vec<&str> = key.split(['.', '[', ']']).filter(|part| !part.is_empty()).collect();
    let Some((last, path)) = parts.split_last() else { return false };
    let mut at = values;
    for part in path {
        let inner = match &mut at.kind {
            ValueKind::Table(table) => table.get_mut(*part),
            ValueKind::Array(items) => {
                part.parse().ok().and_then(|index: usize| items.get_mut(index))
            }
            _ => None,
        };
        let Some(inner) = inner else { return false };
        at = inner;
    }
    match &mut at.kind {
        ValueKind::Table(table) => table.remove(*last).is_some(),
        ValueKind::Array(items) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_told_with_those_that_are_possible() {
        let told = possible_values("enum LogFormat does not have variant constructor xml").unwrap();
        assert_eq!(told, "\"xml\": expected one of `auto`, `text`, `json`");
        assert_eq!(with_dots("listener[0]ways_in[1]"), "listener[0].ways_in[1]");
        assert_eq!(with_dots("access.oidc.grant[2]"), "access.oidc.grant[2]");
    }
}
