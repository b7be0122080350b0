//! Warnings about terms that are allowed and do not do what their author probably wants, because they contradict each
//! other.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::Promotion;
use crate::model::rollout::{Pace, Share};
use crate::rollout::{Schedule, opening};

/// Returns the warnings about a promotion's terms at a moment, as sentences.
pub fn warnings(promotion: &Promotion, now: DateTime<Utc>) -> Vec<String> {
    let schedule = Schedule::of(promotion);
    let rollout = &promotion.terms.rollout;
    let begins = rollout.start.map_or(now, |start| start.max(now));
    let mut warnings = Vec::new();
    let is_open = opening::is_open(&rollout.windows, begins);
    let opens =
        if is_open { Some(begins) } else { opening::next_opening(&rollout.windows, begins) };
    if opens.is_none() {
        warnings.push(
            "no window opens within two weeks, so no client is offered the revision".to_owned(),
        );
    }
    if let Some(deadline) = promotion.terms.for_clients.deadline {
        let time = shown(deadline);
        if deadline <= begins {
            warnings.push(format!(
                "the deadline ({time}) is not after the start, so all clients are offered the revision at once"
            ));
        } else if opens.is_none_or(|opens| deadline <= opens) {
            warnings.push(format!(
                "no window opens before the deadline ({time}), so all clients are offered the revision then, outside of the windows"
            ));
        }
        let late = schedule.times().into_iter().filter(|step| deadline < *step).count();
        if late > 0 && deadline > begins {
            warnings.push(format!(
                "{late} steps come after the deadline ({time}), at which all clients are offered the revision"
            ));
        }
    }
    if rollout.canaries.is_empty() && highest(&rollout.pace) == Share::NOBODY {
        warnings.push("the share stays at 0 % and there are no canaries, so no client is offered the revision".to_owned());
    }
    warnings
}

fn highest(pace: &Pace) -> Share {
    match pace {
        Pace::Percent(percent) => *percent,
        Pace::Steps(steps) => steps.iter().map(|step| step.percent).max().unwrap_or(Share::NOBODY),
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::update_check::tests::promotion_with;

    fn warned(rollout: Value, deadline: Option<&str>) -> Vec<String> {
        let mut promotion = promotion_with(rollout);
        promotion.terms.for_clients.deadline = deadline.map(|time| time.parse().unwrap());
        // A Tuesday.
        warnings(&promotion, "2026-12-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn sensible_terms_bring_no_warning() {
        let window =
            json!([{"days": ["sat"], "from": "22:00", "to": "05:00", "zone": "Europe/Berlin"}]);
        assert!(warned(json!({}), None).is_empty());
        assert!(warned(json!({"percent": 0, "canaries": ["pc-1"]}), None).is_empty());
        assert!(warned(json!({"windows": window}), Some("2026-12-07T00:00:00Z")).is_empty());
    }

    #[test]
    fn terms_that_contradict_each_other_are_named() {
        let window =
            json!([{"days": ["sat"], "from": "22:00", "to": "05:00", "zone": "Europe/Berlin"}]);
        for (rollout, deadline, word) in [
            (json!({"windows": window}), Some("2026-12-05T12:00:00Z"), "before the deadline"),
            (
                json!({"start": "2026-12-02T00:00:00Z"}),
                Some("2026-12-01T20:00:00Z"),
                "not after the start",
            ),
            (
                json!({"steps": [{"percent": 5}, {"percent": 100, "after": "72h"}]}),
                Some("2026-12-02T00:00:00Z"),
                "1 steps",
            ),
            (json!({"percent": 0}), None, "no canaries"),
        ] {
            let warnings = warned(rollout.clone(), deadline);
            assert!(
                warnings.iter().any(|warning| warning.contains(word)),
                "{rollout}: {warnings:?}"
            );
        }
    }
}
