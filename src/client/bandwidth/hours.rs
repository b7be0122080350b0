//! Hours of the week by the clock on the wall of this machine, or of a zone that is named.

use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::model::rollout::{TimeOfDay, Weekday, ZoneName};
use crate::rollout::opening;

/// Hours on certain days of the week. If `to` is not after `from`, they end on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    #[serde(default = "every_day")]
    days: Vec<Weekday>,
    from: TimeOfDay,
    to: TimeOfDay,
    /// The IANA name of a time zone; this machine's if omitted.
    zone: Option<ZoneName>,
}

fn every_day() -> Vec<Weekday> {
    Weekday::ALL.to_vec()
}

/// Reads hours such as `20:00-06:00`, after the days on which they begin: `sat,sun 20:00-06:00`.
impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (days, hours) = text.trim().rsplit_once(' ').unwrap_or(("", text.trim()));
        let wrong = || "hours are written as 20:00-06:00, or sat,sun 20:00-06:00".to_owned();
        let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| text.parse::<TimeOfDay>().map_err(|_| wrong());
        let day = |name: &str| {
            let name = name.trim().to_ascii_lowercase();
            let found = serde_json::from_value(serde_json::Value::String(name));
            found.map_err(|_| wrong())
        };
        let days = match days {
            "" => every_day(),
            days => days.split(',').map(day).collect::<Result<_, _>>()?,
        };
        Ok(Self { days, from: time(from)?, to: time(to)?, zone: None })
    }
}

impl Hours {
    /// Reports whether they ever come on this machine: the zone is known, and there is a day.
    pub fn come(&self) -> bool {
        !self.days.is_empty() && self.zone().is_some()
    }

    fn zone(&self) -> Option<TimeZone> {
        match &self.zone {
            Some(name) => name.zone(),
            None => Some(TimeZone::system()),
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        let wall = self.zone().map(|zone| zone.to_datetime(now));
        wall.is_some_and(|wall| opening::is_within(&self.days, self.from, self.to, wall))
    }

    #[cfg(test)]
    pub fn never() -> Self {
        let time = TimeOfDay { hour: 0, minute: 0 };
        Self { days: Vec::new(), from: time, to: time, zone: None }
    }
}

/// Reports whether some of the hours are now.
pub fn any_is_open(hours: &[Hours], now: SystemTime) -> bool {
    Timestamp::try_from(now).is_ok_and(|now| hours.iter().any(|hours| hours.is_open(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn hours_are_those_of_the_zone_that_is_named() {
        // 2026-12-05 is a Saturday; in Kolkata it is five and a half hours later than in UTC.
        let hours =
            hours("days = [\"sat\"]\nfrom = \"22:00\"\nto = \"05:00\"\nzone = \"Asia/Kolkata\"");
        let open = |time: &str| hours.is_open(time.parse().unwrap());
        assert!(!open("2026-12-05T16:29:59Z") && open("2026-12-05T16:30:00Z"));
        assert!(open("2026-12-05T23:29:59Z") && !open("2026-12-05T23:30:00Z"));
    }

    #[test]
    fn hours_on_a_command_line_are_those_of_a_file() {
        let read = |text: &str| text.parse::<Hours>();
        let in_file = hours("days = [\"sat\", \"sun\"]\nfrom = \"20:00\"\nto = \"06:00\"");
        assert_eq!(read("sat,sun 20:00-06:00"), Ok(in_file));
        assert_eq!(read("20:00-06:00"), Ok(hours("from = \"20:00\"\nto = \"06:00\"")));
        for text in ["", "20:00", "20-06", "night 20:00-06:00", "20:00-24:00", ", 20:00-06:00"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hours_without_a_zone_are_those_of_this_machine() {
        let hours = hours("from = \"00:00\"\nto = \"00:00\"");
        assert!(hours.come());
        assert!(any_is_open(&[hours], SystemTime::now()));
        assert!(!Hours::never().come());
    }
}
