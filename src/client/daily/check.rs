//! `imagedepot check`: the answer that a client gets to its update check, and with `--explain` the reason for it.

use serde_json::Value;

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::table::{Column, record, table};
use super::call::CallArgs;
use super::moment::Moment;
use super::query::with;

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the image
    image: String,
    /// Channel to ask for
    #[arg(long, default_value = "production")]
    channel: String,
    /// Revision that the client has [default: none]
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    /// Id of the client [default: a client without an id, which comes last in a rollout]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// Group that the client names
    #[arg(long)]
    group: Option<String>,
    /// Show every rule that was weighed; the server records no check of the client
    #[arg(long)]
    explain: bool,
    /// Explain the answer at this time, or after this duration [default: now]
    #[arg(long, value_name = "TIME", value_parser = Moment::ahead, requires = "explain")]
    at: Option<Moment>,
    #[command(flatten)]
    call: CallArgs,
}

const FILES: &[Column] = &[
    Column::text("FILE", |file| cell::text(&file["role"])),
    Column::number("SIZE", |file| cell::bytes(&file["size"])),
    Column::text("URL", |file| cell::text(&file["url"])),
];

const RULES: &[Column] = &[
    Column::text("RULE", |rule| cell::text(&rule["rule"])),
    Column::text("OUTCOME", |rule| cell::text(&rule["outcome"])),
    Column::text("DETAIL", |rule| cell::text(&rule["detail"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let answer = match ask(&connection, &args).await {
            Err(failure) => {
                let channel = Some(args.channel.as_str());
                return Err(absent::named(&connection, failure, &args.image, channel).await);
            }
            Ok(answer) => answer,
        };
        let text = if args.explain { explained(&answer) } else { answered(&answer) };
        output.result(&text, &answer)
    };
    output.unless_failed(done.await)
}

async fn ask(connection: &Connection, args: &Args) -> Result<Value, Failure> {
    let path: &[&str] = if args.explain { &["update-check", "explain"] } else { &["update-check"] };
    let revision = args.revision.map(|revision| revision.to_string());
    let parameters = [
        ("image", Some(args.image.as_str())),
        ("channel", Some(&args.channel)),
        ("revision", revision.as_deref()),
        ("client", args.client.as_deref()),
        ("group", args.group.as_deref()),
        ("at", args.at.as_ref().map(Moment::as_str)),
    ];
    connection.get(with(connection.api(path)?, &parameters)).await
}

/// Returns the answer as a record, and the files to fetch.
fn answered(answer: &Value) -> String {
    let mut fields = answer.clone();
    let target = &answer["target"];
    if let Some(revision) = target.get("revision") {
        fields["target"] = revision.clone();
    }
    let first = ["action", "reason", "image", "channel", "current", "target", "epoch"];
    let text = record(&fields, &first, &[]);
    match target["files"].as_array().filter(|files| !files.is_empty()) {
        Some(files) => format!("{text}\n\n{}", table(FILES, files)),
        None => text,
    }
}

/// Returns the answer with what decided it.
fn explained(explanation: &Value) -> String {
    let rules = explanation["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let about = record(explanation, &["bucket", "percent_now"], &["answer", "rules"]);
    format!("{}\n\n{about}\n\n{}", answered(&explanation["answer"]), table(RULES, rules))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_tells_the_answer_and_every_rule() {
        let explanation = json!({
            "answer": {"action": "none", "reason": "held_by_rollout", "image": "win7-office", "target": null},
            "bucket": 4711, "percent_now": 25,
            "rules": [
                {"rule": "pin", "outcome": "not_set"},
                {"rule": "percentage", "outcome": "decided", "detail": "bucket 4711 is not below 2500"},
            ],
        });
        let text = explained(&explanation);
        for words in ["held_by_rollout", "bucket       4711", "not_set", "is not below 2500"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn an_offer_names_its_files() {
        let file = json!({"role": "ckm", "size": 2048, "url": "/MEDVImages/a_2.ckm"});
        let answer = json!({"action": "update", "target": {"revision": 2, "files": [file]}});
        let text = answered(&answer);
        assert!(text.contains("target  2") && text.contains("2.00 KiB"), "{text}");
        assert!(text.contains("/MEDVImages/a_2.ckm"), "{text}");
    }
}
