//! The times at which a mirror looks.

use std::time::Duration;

/// The longest pause while the depot is away, unless looks are rarer anyway.
const LONGEST: Duration = Duration::from_mins(10);

/// Returns the pause before the next look, after so many looks in a row that reached nobody. It differs a little each
/// time, so that the mirrors of many sites do not look in step.
pub fn pause(look_every: Duration, failed: u32) -> Duration {
    let doubled = look_every.saturating_mul(1 << failed.min(8));
    let pause = doubled.min(LONGEST.max(look_every));
    let mut byte = [0];
    // Without randomness, the pause itself will do.
    let _none = getrandom::fill(&mut byte);
    pause.mul_f64(0.9 + f64::from(byte[0]) / 1280.0)
}

/// Reads a time between looks.
pub fn look_every(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_secs(1)..=Duration::from_hours(24);
    if allowed.contains(&time) { Ok(time) } else { Err("must be between 1s and a day".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depot_that_is_away_is_looked_for_ever_more_rarely() {
        let minute = Duration::from_mins(1);
        for (failed, around) in [(0, 60), (1, 120), (3, 480), (4, 600), (1000, 600)] {
            let pause = pause(minute, failed).as_secs_f64() / f64::from(around);
            assert!((0.89..1.11).contains(&pause), "{failed}: {pause}");
        }
        assert!(pause(Duration::from_hours(2), 5) > Duration::from_hours(1));
    }
}
