//! A time in whole seconds. python-tuf refuses metadata with fractions of a second.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last second of the year 9999, after which no text in the format of TUF is possible.
const LAST: u64 = 253_402_300_799;

/// A time in whole seconds since 1970, written `2026-01-05T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

/// The error for a text that is not a time in this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time must have the form 2026-01-05T10:00:00Z")]
pub struct InvalidMoment;

impl Moment {
    /// Returns the moment that many seconds after 1970 began, at most the last one that can be written.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the moment a duration later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::from_seconds(self.0.saturating_add(duration.as_secs()))
    }

    /// Returns the moment a duration earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self::from_seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.0)).fmt(f)
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let time = humantime::parse_rfc3339(text).map_err(|_| InvalidMoment)?;
        let moment = Self::from(time);
        if moment.to_string() == text { Ok(moment) } else { Err(InvalidMoment) }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_whole_seconds_and_read_back() {
        let moment = Moment::from_seconds(1_767_607_200);
        assert_eq!(moment.to_string(), "2026-01-05T10:00:00Z");
        assert_eq!("2026-01-05T10:00:00Z".parse(), Ok(moment));
        assert_eq!(moment.after(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn other_forms_of_a_time_are_refused() {
        for text in ["", "2026-01-05T10:00:00.5Z", "2026-01-05T10:00:00+00:00", "2026-01-05"] {
            assert_eq!(text.parse::<Moment>(), Err(InvalidMoment), "{text}");
        }
    }
}
