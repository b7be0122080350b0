//! Patterns of client ids and of groups.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pattern;
use super::refusal::Refusal;

/// An id of a client or a name of a group, in which `*` stands for any characters. Case is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPattern {
    shown: String,
    /// The pattern in lower case: a rollout with many patterns is compared at each check.
    key: String,
}

impl ClientPattern {
    /// Reports whether the pattern matches an id or a group in lower case.
    pub fn matches(&self, key: &str) -> bool {
        pattern::matches(&self.key, key)
    }
}

impl Serialize for ClientPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown)
    }
}

impl FromStr for ClientPattern {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let is_valid = (1..=64).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*'));
        if is_valid {
            Ok(Self { shown: text.to_owned(), key: text.to_ascii_lowercase() })
        } else {
            Err(Refusal::new(
                "pattern",
                "a pattern of client ids or groups must have 1 to 64 letters, digits, '.', '_', '-' or '*'",
            ))
        }
    }
}

impl fmt::Display for ClientPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for ClientPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
