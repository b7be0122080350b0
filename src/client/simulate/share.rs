//! Shares of a fleet, as users type them: a number from 0 to 1, and a group's name with its share.

use std::str::FromStr;

use crate::model::ClientId;

/// A part of the fleet, from 0 (nobody) to 1 (everybody).
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

/// The error for a text that is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShare {
    #[error("a share must be a number from 0 to 1, such as 0.25")]
    Number,
    #[error("a group must have the form NAME=SHARE, such as lab-b=0.1")]
    Group,
    #[error("a group's name must have 1 to 64 letters, digits, '.', '_' or '-'")]
    Name,
}

impl Share {
    /// Returns the number.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// Returns the share as users read it: `12.5 %`.
    pub fn percent(self) -> String {
        format!("{} %", (self.0 * 10_000.0).round() / 100.0)
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: f64 = text.parse().map_err(|_| InvalidShare::Number)?;
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(InvalidShare::Number) }
    }
}

/// A group of clients, and its share of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupShare {
    /// The name, which has the letters of a client's id.
    pub name: ClientId,
    pub share: Share,
}

impl FromStr for GroupShare {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, share) = text.split_once('=').ok_or(InvalidShare::Group)?;
        let name = name.parse().map_err(|_| InvalidShare::Name)?;
        Ok(Self { name, share: share.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for (text, value) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0), (".5", 0.5)] {
            assert_eq!(text.parse(), Ok(Share(value)), "{text}");
        }
        for text in ["", "50", "50%", "-0.1", "1.01", "NaN", "inf", "half"] {
            assert_eq!(text.parse::<Share>(), Err(InvalidShare::Number), "{text}");
        }
        assert_eq!(Share(0.125).percent(), "12.5 %");
        assert_eq!(Share(1.0).percent(), "100 %");
    }

    #[test]
    fn a_group_has_a_name_and_a_share() {
        let group: GroupShare = "lab-b=0.1".parse().unwrap();
        assert_eq!((group.name.as_str(), group.share), ("lab-b", Share(0.1)));
        for (text, wrong) in [
            ("lab-b", InvalidShare::Group),
            ("=0.1", InvalidShare::Name),
            ("lab b=0.1", InvalidShare::Name),
            ("lab-b=2", InvalidShare::Number),
        ] {
            assert_eq!(text.parse::<GroupShare>(), Err(wrong), "{text}");
        }
    }
}
