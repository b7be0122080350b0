//! The state of a rollout in words, and the forecast and the warnings of a dry run.

use serde_json::Value;

use super::super::cell;
use super::super::table::{Column, table};

/// Returns `rolling, 25 %, next step at 2026-12-01 20:00:00Z`, as far as the server says so.
pub fn words(rollout: &Value) -> String {
    let share = [&rollout["percent_now"], &rollout["percent"]];
    let share = share.into_iter().find(|share| share.is_number());
    let state = rollout["state"].as_str().map(str::to_owned);
    let share = share.map(|percent| format!("{percent} %"));
    let next = (!rollout["next_step_at"].is_null())
        .then(|| format!("next step at {}", cell::time(&rollout["next_step_at"])));
    let words: Vec<_> = [state, share, next].into_iter().flatten().collect();
    if words.is_empty() { cell::NOTHING.to_owned() } else { words.join(", ") }
}

const FORECAST: &[Column] = &[
    Column::text("STEP", |step| cell::text(&step["step"])),
    Column::text("AT", |step| cell::time(&step["at"])),
    Column::number("CLIENTS", |step| cell::text(&step["clients"])),
    Column::number("BYTES", |step| cell::bytes(&step["bytes"])),
];

/// Returns a sentence with the parts of an answer that tell what the change means: what waits for approval, warnings,
/// and the forecast.
pub fn told(sentence: &str, answer: &Value) -> String {
    let mut lines = vec![sentence.to_owned()];
    if let Some(pending) = answer.get("pending").filter(|pending| pending.is_object()) {
        lines.push(format!(
            "revision {} waits for approval (approved by: {})",
            cell::text(&pending["revision"]),
            cell::text(&pending["approved_by"]),
        ));
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let detail = warning.get("detail").unwrap_or(warning);
        lines.push(format!("warning: {}", cell::text(detail)));
    }
    if let Some(forecast) = answer["forecast"].as_array().filter(|steps| !steps.is_empty()) {
        lines.push(format!("\n{}", table(FORECAST, forecast)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_is_told_as_far_as_it_is_known() {
        let rolling =
            json!({"state": "rolling", "percent_now": 25, "next_step_at": "2026-12-01T20:00:00Z"});
        assert_eq!(words(&rolling), "rolling, 25 %, next step at 2026-12-01 20:00:00Z");
        assert_eq!(words(&json!({"percent": 100})), "100 %");
        assert_eq!(words(&json!(null)), "-");
    }

    #[test]
    fn a_dry_run_tells_its_forecast_and_warnings() {
        let answer = json!({
            "warnings": ["the window opens after the deadline"],
            "pending": {"revision": 13, "approved_by": ["kim"]},
            "forecast": [{"step": 1, "at": "2026-12-01T20:00:00Z", "clients": 20, "bytes": 1024}],
        });
        let told = told("12 would be assigned", &answer);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines[..2],
            ["12 would be assigned", "revision 13 waits for approval (approved by: kim)"]
        );
        assert_eq!(lines[2], "warning: the window opens after the deadline");
        assert!(lines[5].contains("20") && lines[5].contains("1.00 KiB"), "{told}");
    }
}
