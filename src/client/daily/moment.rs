//! Times on the command line: a time such as `2026-12-01T20:00:00Z`, or a duration such as `7days` from now or before
//! now.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_duration};
use serde_json::Value;

use super::super::cell::is_time;

const EXPECTED: &str =
    "expected a time such as 2026-12-01T20:00:00Z, or a duration such as 7days or 12h";

/// A time in the form of the API (RFC 3339). The server decides if its date and its zone exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment(String);

/// A time, or `none` to remove the one that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MomentOrNone {
    At(Moment),
    None,
}

impl Moment {
    /// Reads a time, or a duration from now on.
    pub fn ahead(text: &str) -> Result<Self, String> {
        Self::read(text, SystemTime::checked_add)
    }

    /// Reads a time, or a duration that ends now.
    pub fn ago(text: &str) -> Result<Self, String> {
        Self::read(text, SystemTime::checked_sub)
    }

    fn read(
        text: &str,
        from_now: fn(&SystemTime, Duration) -> Option<SystemTime>,
    ) -> Result<Self, String> {
        if is_time(text) {
            return Ok(Self(text.to_owned()));
        }
        let duration = parse_duration(text).map_err(|_| EXPECTED.to_owned())?;
        let moment = from_now(&SystemTime::now(), duration).and_then(Self::of);
        moment.ok_or_else(|| "is too far away".to_owned())
    }

    /// Returns the time after this duration from now, or none if it is too far away.
    pub fn after(duration: Duration) -> Option<Self> {
        SystemTime::now().checked_add(duration).and_then(Self::of)
    }

    /// Returns none for a time that RFC 3339 has no form for.
    fn of(moment: SystemTime) -> Option<Self> {
        if moment < SystemTime::UNIX_EPOCH {
            return None;
        }
        let mut text = String::new();
        write!(text, "{}", format_rfc3339_seconds(moment)).ok().map(|()| Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MomentOrNone {
    pub fn ahead(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::None) } else { Moment::ahead(text).map(Self::At) }
    }
}

impl From<&Moment> for Value {
    fn from(moment: &Moment) -> Self {
        moment.0.as_str().into()
    }
}

impl From<&MomentOrNone> for Value {
    fn from(moment: &MomentOrNone) -> Self {
        match moment {
            MomentOrNone::At(moment) => moment.into(),
            MomentOrNone::None => Self::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_passed_on_and_durations_count_from_now() {
        let time = "2026-12-01T20:00:00+01:00";
        assert_eq!(Moment::ahead(time).unwrap().as_str(), time);
        let [ago, ahead] = [Moment::ago("7days"), Moment::ahead("7 days")].map(Result::unwrap);
        let now = format_rfc3339_seconds(SystemTime::now()).to_string();
        assert!(ago.as_str() < now.as_str() && now.as_str() < ahead.as_str(), "{ago:?} {ahead:?}");
        assert_eq!(MomentOrNone::ahead("none"), Ok(MomentOrNone::None));
        for text in ["soon", "2026-12-01", "9000years", "99999999999years"] {
            assert!(Moment::ahead(text).is_err(), "{text}");
        }
        assert!(Moment::ago("100years").is_err());
    }
}
