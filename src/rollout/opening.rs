//! The windows of a rollout at a moment, by the clock on the wall of their zone.
//!
//! A window is open while the clock on the wall shows a time from its beginning up to its end, not included. An hour that
//! a clock change repeats is therefore open twice, and an hour that it skips never comes: a window that lies in it whole
//! does not open on that day, and one that begins in it opens when the clock has jumped.
//!
//! The zones are the system's own (`/usr/share/zoneinfo`), because governments change them at short notice. A zone that
//! this machine does not know keeps the window closed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use chrono::{DateTime, Utc};
use jiff::civil::{Date, DateTime as WallTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::model::rollout::{TimeOfDay, Weekday, Window};

/// The number of days within which the next opening of a window is looked for: a week, and one more for a day on which a
/// clock change skips it.
const DAYS_AHEAD: i64 = 15;

/// The file of the system's time zones whose first line names their release.
const RELEASE: &str = "/usr/share/zoneinfo/tzdata.zi";

/// Returns the release of the system's time zones, such as `2026f`, if it is known.
pub fn time_zone_release() -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(RELEASE).ok()?).take(100).read_line(&mut line).ok()?;
    Some(line.strip_prefix("# version ")?.trim().to_owned())
}

/// Reports whether one of the windows is open; without windows, it always is.
pub fn is_open(windows: &[Window], now: DateTime<Utc>) -> bool {
    windows.is_empty() || windows.iter().any(|window| is_window_open(window, now))
}

/// Returns the next time at which one of the windows opens, or none if none does within two weeks. It is later than
/// `now`, also if a window is open.
pub fn next_opening(windows: &[Window], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    windows.iter().filter_map(|window| next_opening_of(window, now)).min()
}

fn is_window_open(window: &Window, now: DateTime<Utc>) -> bool {
    let Some(wall) = window.zone.zone().and_then(|zone| wall_time(&zone, now)) else {
        return false;
    };
    is_within(&window.days, window.from, window.to, wall)
}

/// Reports whether a time on the wall lies in hours that begin on certain days.
pub fn is_within(days: &[Weekday], from: TimeOfDay, to: TimeOfDay, wall: WallTime) -> bool {
    let (now, from, to) = (wall.time(), time(from), time(to));
    let today = begins_on(days, wall.date());
    if from < to {
        return today && from <= now && now < to;
    }
    let yesterday = wall.date().yesterday().is_ok_and(|date| begins_on(days, date));
    (today && from <= now) || (yesterday && now < to)
}

fn next_opening_of(window: &Window, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let zone = window.zone.zone()?;
    let today = wall_time(&zone, now)?.date();
    (0..DAYS_AHEAD).find_map(|days| {
        let date = today.checked_add(Span::new().days(days)).ok()?;
        let beginning = WallTime::from_parts(date, time(window.from));
        // In a gap, this is the moment after the jump by as much as the time lies in the gap.
        let begins = to_utc(zone.to_timestamp(beginning).ok()?)?;
        let opens = begins_on(&window.days, date) && now < begins && is_window_open(window, begins);
        opens.then_some(begins)
    })
}

fn begins_on(days: &[Weekday], date: Date) -> bool {
    let day = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
    days.contains(&Weekday::ALL[day % 7])
}

fn time(TimeOfDay { hour, minute }: TimeOfDay) -> Time {
    Time::constant(hour, minute, 0, 0)
}

fn wall_time(zone: &TimeZone, now: DateTime<Utc>) -> Option<WallTime> {
    let moment = Timestamp::new(now.timestamp(), 0).ok()?;
    Some(zone.to_datetime(moment))
}

fn to_utc(moment: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(moment.as_second(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, from: &str, to: &str, zone: &str) -> Vec<Window> {
        let days: Vec<_> = days.split(' ').collect();
        let window = serde_json::json!({"days": days, "from": from, "to": to, "zone": zone});
        vec![serde_json::from_value(window).unwrap()]
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Checks the moments at which the window changes: before each it is as the other side of it.
    fn opens_and_closes(windows: &[Window], from: &str, changes: &[(&str, bool)]) {
        let (mut now, mut seen) = (at(from), Vec::new());
        let mut open = is_open(windows, now);
        let end = at(changes.last().unwrap().0) + chrono::TimeDelta::hours(1);
        while now < end {
            now += chrono::TimeDelta::minutes(1);
            if is_open(windows, now) != open {
                open = !open;
                seen.push((now, open));
            }
        }
        let wanted: Vec<_> = changes.iter().map(|(time, open)| (at(time), *open)).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let windows = window("sat", "22:00", "05:00", "UTC");
        // 2026-12-05 is a Saturday.
        opens_and_closes(
            &windows,
            "2026-12-04T12:00:00Z",
            &[("2026-12-05T22:00:00Z", true), ("2026-12-06T05:00:00Z", false)],
        );
        assert_eq!(
            next_opening(&windows, at("2026-12-05T23:00:00Z")),
            Some(at("2026-12-12T22:00:00Z"))
        );
    }

    // The offsets of these days are those of the IANA data: Berlin changes on 2027-03-28 at 01:00 UTC and on 2026-10-25 at
    // 01:00 UTC, Lord Howe by half an hour on 2026-10-03 at 15:30 UTC and on 2027-04-03 at 15:00 UTC.
    #[test]
    fn in_berlin_the_skipped_hour_never_comes_and_the_repeated_one_comes_twice() {
        opens_and_closes(
            &window("sun", "01:30", "03:30", "Europe/Berlin"),
            "2027-03-27T12:00:00Z",
            &[("2027-03-28T00:30:00Z", true), ("2027-03-28T01:30:00Z", false)],
        );
        // From 02:00 to 03:00 there is no such time on that Sunday, but a week later.
        let skipped = window("sun", "02:00", "03:00", "Europe/Berlin");
        let next = next_opening(&skipped, at("2027-03-27T12:00:00Z"));
        assert_eq!(next, Some(at("2027-04-04T00:00:00Z")));
        opens_and_closes(
            &window("sun", "02:15", "02:45", "Europe/Berlin"),
            "2026-10-24T12:00:00Z",
            &[
                ("2026-10-25T00:15:00Z", true),
                ("2026-10-25T00:45:00Z", false),
                ("2026-10-25T01:15:00Z", true),
                ("2026-10-25T01:45:00Z", false),
            ],
        );
    }

    #[test]
    fn on_lord_howe_the_clock_changes_by_half_an_hour() {
        // 02:00 becomes 02:30 on 2026-10-04: of the window from 01:30 to 03:00, one hour is left.
        opens_and_closes(
            &window("sun", "01:30", "03:00", "Australia/Lord_Howe"),
            "2026-10-03T10:00:00Z",
            &[("2026-10-03T15:00:00Z", true), ("2026-10-03T16:00:00Z", false)],
        );
        // 02:00 becomes 01:30 on 2027-04-04: the half hour from 01:30 comes twice, at once.
        opens_and_closes(
            &window("sun", "01:30", "02:00", "Australia/Lord_Howe"),
            "2027-04-03T10:00:00Z",
            &[("2027-04-03T14:30:00Z", true), ("2027-04-03T15:30:00Z", false)],
        );
    }

    #[test]
    fn in_a_zone_without_changes_every_week_is_like_the_other() {
        let windows = window("wed", "09:00", "17:00", "Asia/Kolkata");
        let mut now = at("2026-01-01T00:00:00Z");
        for _week in 0..52 {
            let next = next_opening(&windows, now).unwrap();
            assert_eq!(next.time(), chrono::NaiveTime::from_hms_opt(3, 30, 0).unwrap());
            assert!(next - now <= chrono::TimeDelta::days(7));
            now = next;
        }
    }

    #[test]
    fn a_zone_that_this_machine_does_not_know_keeps_the_window_closed() {
        let windows = window("mon tue wed thu fri sat sun", "00:00", "00:00", "Mars/Olympus");
        assert!(!is_open(&windows, at("2026-01-01T00:00:00Z")));
        assert_eq!(next_opening(&windows, at("2026-01-01T00:00:00Z")), None);
    }
}
