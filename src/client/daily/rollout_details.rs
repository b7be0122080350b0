//! The whole of a rollout for people: its terms, its steps and windows, the reason for a halt, and how far it is.

use serde_json::{Value, json};

use super::super::cell;
use super::super::table::{Column, record, table};

const STEPS: &[Column] = &[
    Column::number("PERCENT", |step| cell::text(&step["percent"])),
    Column::text("AFTER", |step| cell::text(&step["after"])),
    Column::text("GROUPS", |step| cell::text(&step["groups"])),
];

const WINDOWS: &[Column] = &[
    Column::text("DAYS", |window| cell::text(&window["days"])),
    Column::text("FROM", |window| cell::text(&window["from"])),
    Column::text("TO", |window| cell::text(&window["to"])),
    Column::text("ZONE", |window| cell::text(&window["zone"])),
];

const FAILURES: &[Column] = &[
    Column::text("CLIENT", |failure| cell::text(&failure["client"])),
    Column::text("ERROR", |failure| cell::first_line(&failure["error"])),
];

/// Returns the rollout's parts, each below its title.
pub fn parts(rollout: &Value) -> Vec<String> {
    let first = ["state", "percent_now", "next_step_at"];
    let terms = record(rollout, &first, &["steps", "windows", "halted"]);
    let mut parts = vec![format!("Rollout\n{terms}")];
    for (name, columns) in [("steps", STEPS), ("windows", WINDOWS)] {
        parts.extend(filled(&rollout[name]).map(|rows| table(columns, rows)));
    }
    let halted = &rollout["halted"];
    if halted.is_object() {
        let why = record(halted, &["at", "by", "failed", "ended"], &["failures"]);
        parts.push(format!("Halted\n{why}"));
        parts.extend(filled(&halted["failures"]).map(|rows| table(FAILURES, rows)));
    }
    parts
}

const REVISIONS: &[Column] = &[
    Column::number("REVISION", |entry| cell::text(&entry["revision"])),
    Column::number("CLIENTS", |entry| cell::text(&entry["clients"])),
];

const REASONS: &[Column] = &[
    Column::text("LAST ANSWER", |entry| cell::text(&entry["reason"])),
    Column::number("CLIENTS", |entry| cell::text(&entry["clients"])),
];

/// Returns the parts of a promotion's progress. The series over time is for charts, and in the JSON.
pub fn progress(progress: &Value) -> Vec<String> {
    let mut parts = Vec::new();
    if progress["counts"].is_object() {
        parts.push(format!("Progress\n{}", record(&progress["counts"], &["clients"], &[])));
    }
    parts.extend(filled(&progress["revisions"]).map(|rows| table(REVISIONS, rows)));
    let reasons = progress["reasons"].as_object().into_iter().flatten();
    let reasons: Vec<_> =
        reasons.map(|(reason, clients)| json!({"reason": reason, "clients": clients})).collect();
    if !reasons.is_empty() {
        parts.push(table(REASONS, &reasons));
    }
    parts
}

fn filled(list: &Value) -> Option<&[Value]> {
    list.as_array().map(Vec::as_slice).filter(|rows| !rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halted_rollout_tells_why_and_by_whose_reports() {
        let rollout = json!({
            "state": "halted", "percent_now": 5, "next_step_at": null, "canaries": ["PC-0815"],
            "steps": [{"percent": 5}, {"percent": 100, "after": "72h", "groups": ["pilot-*"]}],
            "halted": {
                "at": "2026-12-01T20:00:00Z", "failed": 2, "ended": 20,
                "failures": [{"client": "PC-1", "error": "no room\non the disk"}, {"client": "PC-2"}],
            },
        });
        let text = parts(&rollout).join("\n\n");
        for words in ["state         halted", "72h    pilot-*", "failed  2", "PC-1    no room …"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("DAYS"), "{text}");
    }
}
