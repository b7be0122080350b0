//! A window: the hours of the week at which clients are offered a revision, by the clock on the wall of a time zone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
#[cfg(feature = "server")]
use utoipa::ToSchema;

use crate::model::refusal::Refusal;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "server", schema(as = DayOfWeek))]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

/// Hours on certain days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(try_from = "WindowFields")]
#[cfg_attr(feature = "server", schema(as = RolloutWindow))]
pub struct Window {
    /// The days on which the window begins.
    #[cfg_attr(feature = "server", schema(min_items = 1))]
    pub days: Vec<Weekday>,
    /// The time of day at which it begins.
    #[cfg_attr(feature = "server", schema(value_type = String, example = "22:00"))]
    pub from: TimeOfDay,
    /// The time of day at which it ends. If it is not after `from`, the window ends on the next day.
    #[cfg_attr(feature = "server", schema(value_type = String, example = "05:00"))]
    pub to: TimeOfDay,
    /// The IANA name of the time zone.
    #[cfg_attr(feature = "server", schema(value_type = String, example = "Europe/Berlin"))]
    pub zone: ZoneName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowFields {
    #[serde(default = "every_day")]
    days: Vec<Weekday>,
    from: TimeOfDay,
    to: TimeOfDay,
    zone: ZoneName,
}

fn every_day() -> Vec<Weekday> {
    Weekday::ALL.to_vec()
}

impl TryFrom<WindowFields> for Window {
    type Error = Refusal;

    fn try_from(WindowFields { days, from, to, zone }: WindowFields) -> Result<Self, Refusal> {
        if days.is_empty() {
            return Err(Refusal::new("windows.days", "must have at least one day"));
        }
        Ok(Self { days, from, to, zone })
    }
}

/// A time of day in hours and minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    pub hour: i8,
    pub minute: i8,
}

impl FromStr for TimeOfDay {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::new("windows", "times of day must be HH:MM, from 00:00 to 23:59");
        let (hour, minute) = text.split_once(':').ok_or_else(refused)?;
        let number = |text: &str, limit: i8| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_plain && *number < limit).ok_or_else(refused)
        };
        Ok(Self { hour: number(hour, 24)?, minute: number(minute, 60)? })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The IANA name of a time zone.
///
/// The zone itself is looked up when it is needed, in the system's own data, which may be updated meanwhile. A stored
/// name may be unknown on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ZoneName(String);

impl ZoneName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the zone, or none if this machine does not know it.
    pub fn zone(&self) -> Option<jiff::tz::TimeZone> {
        jiff::tz::TimeZone::get(&self.0).ok()
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_name = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        if is_name {
            Ok(Self(text))
        } else {
            Err(de::Error::custom("a time zone must be an IANA name such as Europe/Berlin"))
        }
    }
}
