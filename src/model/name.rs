//! Names of images, channels, accounts, tokens, client machines and mirrors.
//!
//! A value of one of these types is a valid name. Text is parsed where it enters the program; a text that is not valid
//! names nothing that exists. Names are unique without regard to case, because Windows clients use them as file names:
//! `key()` is the form to compare.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The reason why a text is not a valid name. The message says what a name must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub(super) &'static str);

/// The names that Windows reserves for devices, with any extension.
const DEVICE_NAMES: [&str; 4] = ["con", "prn", "aux", "nul"];

pub(crate) fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let numbered =
        |port: &str| stem.strip_prefix(port).is_some_and(|n| matches!(n.as_bytes(), [b'1'..=b'9']));
    DEVICE_NAMES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

fn is_word(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the form in which names are compared, which ignores case.
            pub fn key(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName($rule)) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[cfg(feature = "server")]
        crate::model::row::stored_as_inner_text!($type);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of an image: `win7-office`.
    ImageName,
    "an image's name must have 1 to 100 letters, digits, '.', '_' or '-', begin with a letter or digit, not end in a \
     dot, and not be a Windows device name such as CON",
    |text| is_word(text, 100) && !text.ends_with('.') && !is_device_name(text)
);

name!(
    /// The name of a channel, and of the folder it publishes to: `production`.
    ChannelName,
    "a channel's name must have 1 to 40 letters, digits, '.', '_' or '-', begin with a letter or digit, not end in a \
     dot, and not be a Windows device name such as CON",
    |text| is_word(text, 40) && !text.ends_with('.') && !is_device_name(text)
);

impl ChannelName {
    /// Returns the name of the channel that is used if none is named.
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

name!(
    /// The name of a user. Mail addresses are allowed. A colon is not, because it would end the name in Basic
    /// credentials.
    AccountName,
    "a user's name must have 1 to 64 letters, digits, '.', '_', '-' or '@' and begin with a letter or digit",
    |text| is_word(&text.replace('@', "-"), 64)
);

name!(
    /// The name of an API token, which names the program that holds it.
    TokenName,
    "a token's name must have 1 to 64 letters, digits, '.', '_' or '-' and begin with a letter or digit",
    |text| is_word(text, 64)
);

name!(
    /// The name of a certificate mapping.
    MappingName,
    "a mapping's name must have 1 to 64 letters, digits, '.', '_' or '-' and begin with a letter or digit",
    |text| is_word(text, 64)
);

name!(
    /// The name of a webhook.
    WebhookName,
    "a webhook's name must have 1 to 64 letters, digits, '.', '_' or '-' and begin with a letter or digit",
    |text| is_word(text, 64)
);

name!(
    /// The id that a client machine presents.
    ClientId,
    "a client's id must have 1 to 64 letters, digits, '.', '_' or '-'",
    |text| (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
);

name!(
    /// The group that a client puts itself into, such as a laboratory or a site.
    ClientGroup,
    "a group's name must have 1 to 64 letters, digits, '.', '_' or '-'",
    |text| (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
);

name!(
    /// The name of a mirror, such as that of its site.
    MirrorName,
    "a mirror's name must have 1 to 64 letters, digits, '.', '_' or '-'",
    |text| (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["win7-office", "A", "9.1_x", "console", "com10", &"x".repeat(100)] {
            assert!(name.parse::<ImageName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_a_path_or_windows_would_misread_are_refused() {
        let too_long = "x".repeat(101);
        for name in [
            "", "../x", "a/b", "a\\b", ".hidden", "-x", "dot.", "CON", "con.ckm", "Lpt1", "a b",
            "ä", &too_long,
        ] {
            assert!(name.parse::<ImageName>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let a: ImageName = "Win7".parse().unwrap();
        let b: ImageName = "wIN7".parse().unwrap();
        assert_eq!(a.key(), b.key());
    }
}
