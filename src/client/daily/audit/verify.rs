//! `audit verify` over HTTP: each row's hash is computed again from the row and the hash of the row before it.
//!
//! The server lists the newest rows first, so a row is checked when the one before it has come. Rows outside the chain
//! and the catalog's own record of the newest row are not in the API; `audit verify` on the catalog looks at them, too.

use serde_json::{Value, json};
use url::Url;

use super::super::super::connection::Connection;
use super::super::super::error::Failure;
use super::super::super::output::Output;
use super::super::pages::Pages;
use super::row::sequence;
use crate::model::audit_hash::Hashed;

/// The number of findings that are listed. The chain is checked to its end all the same.
const MOST_FINDINGS: usize = 100;

/// The action of the row that records a pruning.
const PRUNE: &str = "audit.prune";

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Sound,
    /// The findings are told already.
    NotSound,
}

/// A row's place and hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    sequence: i64,
    hash: String,
}

impl Head {
    fn of(row: &Value) -> Self {
        let hash = row["hash"].as_str().unwrap_or_default().to_owned();
        Self { sequence: sequence(row), hash }
    }

    fn document(&self) -> Value {
        json!({"sequence": self.sequence, "hash": self.hash})
    }
}

/// A check of the chain, from its newest row back.
#[derive(Debug, Default)]
struct Check {
    rows: u64,
    found: usize,
    findings: Vec<String>,
    newest: Head,
    /// The last row that was pruned, as the newest row about it says.
    pruned: Option<Head>,
    /// The row whose predecessor has not come yet.
    waiting: Option<Value>,
    known: Option<Head>,
    has_known: bool,
}

/// Verifies the whole chain and tells the result.
pub async fn run(
    connection: &Connection,
    audit: Url,
    known: Option<&str>,
    output: Output,
) -> Result<Verdict, Failure> {
    let mut check = Check { known: known.map(read_known).transpose()?, ..Check::default() };
    let mut pages = Pages::of(connection, audit);
    while let Some(page) = pages.next(u64::MAX).await? {
        for row in page {
            check.follow(row);
        }
    }
    let anchor = check.end();
    tell(&check, &anchor, output)
}

fn read_known(known: &str) -> Result<Head, Failure> {
    let is_whole =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = known.split_once(':').and_then(|(at, hash)| Some((at.parse().ok()?, hash)));
    match parts.filter(|(sequence, hash)| *sequence > 0 && is_whole(hash)) {
        Some((sequence, hash)) => Ok(Head { sequence, hash: hash.to_owned() }),
        None => Err(Failure::usage("--known must be SEQUENCE:HASH, as `audit verify` prints it")),
    }
}

impl Check {
    fn note(&mut self, finding: String) {
        self.found += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// Takes the next older row, and checks the one that waits for it.
    fn follow(&mut self, row: Value) {
        let head = Head::of(&row);
        if self.rows == 0 {
            self.newest = head.clone();
        }
        if row["action"] == PRUNE && self.pruned.is_none() {
            self.pruned = Some(Head::of(&row["after"]));
        }
        self.rows += 1;
        self.has_known |= self.known.as_ref() == Some(&head);
        if let Some(newer) = self.waiting.replace(row) {
            self.compare(&newer, &head);
        }
    }

    fn compare(&mut self, newer: &Value, older: &Head) {
        let at = sequence(newer);
        if at > older.sequence + 1 {
            self.miss(older.sequence + 1, at - 1);
        } else if hash_after(newer, &older.hash) != Head::of(newer).hash {
            self.note(format!("row {at} was altered, or the row before it was replaced"));
        }
    }

    fn miss(&mut self, first: i64, last: i64) {
        self.note(format!(
            "rows {first} to {last} are missing, and the row after them cannot be verified"
        ));
    }

    /// Checks the oldest row. Returns the anchor behind which the chain begins, with the sequence 0 if nothing was
    /// pruned.
    fn end(&mut self) -> Head {
        let anchor = self.pruned.clone().unwrap_or_default();
        if let Some(oldest) = self.waiting.take() {
            if sequence(&oldest) <= anchor.sequence {
                self.note(format!(
                    "an audit.prune row records that the rows up to {} were pruned, but the chain does not begin there",
                    anchor.sequence
                ));
            } else {
                self.compare(&oldest, &anchor);
            }
        }
        self.has_known |= anchor.sequence > 0 && self.known.as_ref() == Some(&anchor);
        anchor
    }

    /// Returns the reason why the known row is not in the chain. A pruned row proves nothing.
    fn why_not_known(&self, anchor: &Head) -> Option<String> {
        let known = self.known.as_ref().filter(|_| !self.has_known)?;
        if known.sequence < anchor.sequence {
            return Some(format!(
                "the row of --known was pruned, with all rows up to {}: it proves nothing any more; note the newest row instead",
                anchor.sequence
            ));
        }
        Some("the row of --known is not in the chain: the record was rewritten".to_owned())
    }
}

fn hash_after(row: &Value, previous: &str) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let state = |name: &str| Some(&row[name]).filter(|state| !state.is_null());
    let hashed = Hashed {
        sequence: row["sequence"].as_i64(),
        id: text("id"),
        at: &with_microseconds(text("at")),
        caller: text("caller"),
        action: text("action"),
        subject: text("subject"),
        before: state("before"),
        after: state("after"),
        request_id: row["request_id"].as_str(),
        client_address: row["client_address"].as_str(),
    };
    hashed.after(previous)
}

/// Returns the time with six decimals of a second. The API leaves out zeros at the end.
fn with_microseconds(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<6}Z")
}

fn tell(check: &Check, anchor: &Head, output: Output) -> Result<Verdict, Failure> {
    let Check { rows, found, findings, newest, .. } = check;
    let why_not = check.why_not_known(anchor);
    let mut lines = findings.clone();
    if *found > findings.len() {
        lines.push(format!("and {} more", found - findings.len()));
    }
    lines.extend(why_not.clone());
    if anchor.sequence > 0 {
        lines.push(format!(
            "the record begins after its anchor {}:{}: the rows up to the anchor were pruned",
            anchor.sequence, anchor.hash
        ));
    }
    lines.push(format!("{rows} rows; the newest is {}:{}", newest.sequence, newest.hash));
    let is_sound = *found == 0 && why_not.is_none();
    let document = json!({
        "sound": is_sound, "rows": rows, "found": found, "findings": findings, "known": why_not,
        "anchor": anchor.document(), "newest": newest.document(),
    });
    output.result(&lines.join("\n"), &document)?;
    Ok(if is_sound { Verdict::Sound } else { Verdict::NotSound })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a chain of so many rows, the newest first. Row 4 records that the first two were pruned.
    fn chain(length: i64) -> Vec<Value> {
        let (mut rows, mut previous) = (Vec::new(), Head::default());
        for sequence in 1..=length {
            let mut row = json!({
                "id": "0198", "at": "2026-01-05T10:00:00.5Z", "caller": "kim", "sequence": sequence,
                "action": "channel.promote", "subject": "images/a/channels/b", "before": null,
                "after": {"revision": sequence, "epoch": 1}, "request_id": "r", "client_address": null,
            });
            if sequence == 4 {
                row["action"] = PRUNE.into();
                row["after"] = Head::of(&rows[1]).document();
            }
            row["hash"] = hash_after(&row, &previous.hash).into();
            previous = Head::of(&row);
            rows.push(row);
        }
        rows.reverse();
        rows
    }

    fn checked(rows: Vec<Value>) -> (Check, Head) {
        let mut check = Check::default();
        for row in rows {
            check.follow(row);
        }
        let anchor = check.end();
        (check, anchor)
    }

    #[test]
    fn an_intact_chain_has_no_findings() {
        let (check, anchor) = checked(chain(3));
        assert_eq!((check.rows, check.found, anchor.sequence), (3, 0, 0), "{check:?}");
        let mut pruned = chain(5);
        pruned.truncate(3);
        let (check, anchor) = checked(pruned);
        assert_eq!((check.found, anchor.sequence), (0, 2), "{check:?}");
    }

    #[test]
    fn an_altered_row_and_a_missing_one_are_named() {
        let mut rows = chain(3);
        rows[1]["caller"] = "eve".into();
        assert!(checked(rows).0.findings[0].starts_with("row 2 was altered"));
        let mut rows = chain(3);
        rows.remove(1);
        assert!(checked(rows).0.findings[0].starts_with("rows 2 to 2 are missing"));
        let mut rows = chain(3);
        rows.pop();
        assert!(checked(rows).0.findings[0].starts_with("rows 1 to 1 are missing"));
        // It says that its first rows were pruned, and has them.
        assert!(checked(chain(5)).0.findings[0].starts_with("an audit.prune row"));
    }

    #[test]
    fn times_are_hashed_with_microseconds() {
        assert_eq!(with_microseconds("2026-01-05T10:00:00Z"), "2026-01-05T10:00:00.000000Z");
        assert_eq!(with_microseconds("2026-01-05T10:00:00.123Z"), "2026-01-05T10:00:00.123000Z");
    }
}
