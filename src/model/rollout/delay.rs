//! A length of time in JSON: `90s`, `24h`, `3days`. It is written in hours, minutes or seconds, whichever is whole.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// The longest delay: longer rollouts are mistakes, and their ends would leave the calendar.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

pub(super) fn is_zero(delay: &Duration) -> bool {
    delay.is_zero()
}

pub(super) fn serialize<S: Serializer>(delay: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = delay.as_secs();
    let text = match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    };
    serializer.serialize_str(&text)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let delay = humantime::parse_duration(&text).map_err(|error| {
        de::Error::custom(format_args!("`after` must be a length of time such as 24h: {error}"))
    })?;
    if delay > LONGEST {
        return Err(de::Error::custom("`after` must be at most ten years"));
    }
    if delay.subsec_nanos() != 0 {
        return Err(de::Error::custom("`after` must be in whole seconds"));
    }
    Ok(delay)
}
