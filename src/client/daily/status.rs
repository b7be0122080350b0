//! `imagedepot status`: the server at a glance.

use serde_json::Value;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::table::{Column, record, table};
use super::call::CallArgs;

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
}

const PARTS: &[Column] = &[
    Column::text("DEGRADED PART", |part| cell::text(&part["part"])),
    Column::text("SINCE", |part| cell::time(&part["since"])),
    Column::text("WHAT", |part| cell::text(&part["what"])),
];

/// Runs the command and prints the result on standard output. A degraded server is a result like any other: the exit
/// code tells if there is an answer.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let status: Value = connection.get(connection.api(&["status"])?).await?;
        output.result(&text(&status, connection.server()), &status)
    };
    output.unless_failed(done.await)
}

fn text(status: &Value, server: &str) -> String {
    let mut shown = status.clone();
    shown["server"] = server.into();
    for (field, sentence) in SENTENCES {
        if status[field].is_object() {
            shown[*field] = sentence(&status[field]).into();
        }
    }
    let first = ["server", "ready", "degraded", "version"];
    let about = record(&shown, &first, &["parts"]);
    let parts = status["parts"].as_array().into_iter().flatten();
    let degraded: Vec<_> = parts.filter(|part| part["degraded"] == true).cloned().collect();
    if degraded.is_empty() { about } else { format!("{about}\n\n{}", table(PARTS, &degraded)) }
}

type Sentence = fn(&Value) -> String;

/// The objects of the answer that have a sentence of their own.
const SENTENCES: &[(&str, Sentence)] = &[
    ("version", |version| {
        format!("{} (commit {})", cell::text(&version["program"]), cell::text(&version["commit"]))
    }),
    ("storage", |storage| {
        format!(
            "{} used, {} reserved for uploads, {} free",
            cell::bytes(&storage["used"]),
            cell::bytes(&storage["reserved"]),
            cell::bytes(&storage["free"]),
        )
    }),
    ("uploads", |uploads| {
        format!(
            "{} open, {} received",
            cell::text(&uploads["count"]),
            cell::bytes(&uploads["bytes"])
        )
    }),
    ("scrub", |scrub| {
        let share = scrub["coverage"].as_f64().map(|share| format!("{:.0} %", share * 100.0));
        format!(
            "{} of the bytes read again, {} damaged",
            share.as_deref().unwrap_or(cell::NOTHING),
            cell::text(&scrub["damaged"]),
        )
    }),
    ("newest_backup", |backup| {
        format!("{} ({})", cell::time(&backup["taken_at"]), cell::text(&backup["name"]))
    }),
    ("publication", |backlog| {
        format!(
            "{} files to publish, {} to withdraw",
            cell::text(&backlog["to_publish"]),
            cell::text(&backlog["to_withdraw"]),
        )
    }),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trouble_is_told_with_its_reason() {
        let status = json!({
            "version": {"program": "0.1.0", "commit": "3f9a1c0d2b47"}, "ready": true,
            "degraded": ["store"], "uploads": null, "scrub": {"coverage": 0.5, "damaged": 0},
            "storage": {"used": 1024, "reserved": 0, "free": null},
            "parts": [
                {"part": "catalog", "degraded": false, "what": null, "since": null},
                {"part": "store", "degraded": true, "what": "it does not answer", "since": "2026-12-01T20:00:00Z"},
            ],
        });
        let text = text(&status, "http://depot.example");
        assert!(text.starts_with("server    http://depot.example\nready     yes\n"), "{text}");
        for words in ["1.00 KiB used, 0 B reserved for uploads, - free", "50 % of the bytes"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(text.contains("it does not answer") && !text.contains("catalog"), "{text}");
    }
}
