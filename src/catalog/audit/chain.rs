//! The chain of the audit's rows, and its verification.
//!
//! Each row has a hash over itself and the hash of the row before it ([`AuditRow::hash_after`]). Anyone who alters,
//! removes or moves a row has to rewrite all later hashes. Even then, someone who has noted the newest hash elsewhere
//! (each `audit verify` and each export reports it) detects the change. If the oldest rows were pruned
//! ([`super::prune`]), the chain begins after the anchor, which the newest row of that action has to name.

use serde_json::Value;

use super::prune;
use crate::catalog::{Catalog, Result};
use crate::storage::{AuditHead, AuditRow};

/// The number of rows per query.
const PAGE: i64 = 1000;

/// The number of findings that are listed. The chain is checked to its end all the same.
const MOST_FINDINGS: usize = 100;

/// A fault at one place of the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("row {0} was altered, or the row before it was replaced")]
    Altered(i64),
    /// The first row after them cannot be verified, because its hash is over theirs.
    #[error("rows {first} to {last} are missing, and the row after them cannot be verified")]
    Missing { first: i64, last: i64 },
    #[error("row {0} is not the row that the record of the newest row names")]
    NewestDiffers(i64),
    #[error("the chain begins after row {0}, but no audit.prune row records that")]
    Unpruned(i64),
    #[error(
        "an audit.prune row records that the rows up to {0} were pruned, but the chain does not begin there"
    )]
    OtherAnchor(i64),
    #[error("there is no record of the newest row")]
    NoHead,
    #[error("{0} rows are not part of the chain: they were not written by this program")]
    Unchained(i64),
}

/// The result of a check of the whole chain.
#[derive(Debug)]
pub struct Verified {
    pub rows: u64,
    /// The last row that was pruned. The chain begins after it.
    pub anchor: AuditHead,
    /// The same anchor, as recorded by the newest row of a pruning.
    recorded_anchor: AuditHead,
    pub newest: AuditHead,
    pub findings: Vec<Finding>,
    /// The number of findings, including those that are not listed.
    pub found: usize,
}

impl Verified {
    fn from(anchor: AuditHead) -> Self {
        let (newest, recorded_anchor) = (anchor.clone(), AuditHead::default());
        Self { rows: 0, anchor, recorded_anchor, newest, findings: Vec::new(), found: 0 }
    }

    fn note(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl Catalog {
    /// Verifies the whole chain.
    pub async fn verify_audit(&self) -> Result<Verified> {
        let mut tx = self.db.read().await?;
        let head = tx.audit_head().await?;
        let mut verified = Verified::from(tx.audit_anchor().await?);
        loop {
            let page = tx.audit_chain_after(verified.newest.sequence, PAGE).await?;
            let Some(last) = page.last().and_then(|row| row.sequence) else { break };
            for row in page {
                follow(&mut verified, &row);
            }
            debug_assert_eq!(verified.newest.sequence, last);
        }
        compare_with_head(&mut verified, head);
        compare_anchors(&mut verified);
        match tx.unchained_audit_rows().await? {
            0 => {}
            rows => verified.note(Finding::Unchained(rows)),
        }
        Ok(verified)
    }

    /// Returns the rows of the chain after the sequence number `after`, in order.
    pub async fn audit_chain(&self, after: i64, limit: i64) -> Result<Vec<AuditRow>> {
        Ok(self.db.read().await?.audit_chain_after(after, limit).await?)
    }
}

fn follow(verified: &mut Verified, row: &AuditRow) {
    let (Some(sequence), hash) = (row.sequence, row.hash.clone().unwrap_or_default()) else {
        return;
    };
    let expected = verified.newest.sequence + 1;
    if sequence > expected {
        verified.note(Finding::Missing { first: expected, last: sequence - 1 });
    } else if row.hash_after(&verified.newest.hash) != hash {
        verified.note(Finding::Altered(sequence));
    }
    if row.action == prune::ACTION {
        verified.recorded_anchor = recorded_anchor(row);
    }
    verified.rows += 1;
    verified.newest = AuditHead { sequence, hash };
}

fn recorded_anchor(row: &AuditRow) -> AuditHead {
    let told = |name| row.state_after.as_ref().map_or(&Value::Null, |after| &after.0[name]);
    AuditHead {
        sequence: told("sequence").as_i64().unwrap_or_default(),
        hash: told("hash").as_str().unwrap_or_default().to_owned(),
    }
}

/// Compares the anchor with the recorded one. Someone who removes rows and writes an anchor for that has not written
/// the row that records the pruning.
fn compare_anchors(verified: &mut Verified) {
    let (anchor, recorded) = (verified.anchor.sequence, verified.recorded_anchor.sequence);
    if verified.anchor == verified.recorded_anchor {
        return;
    }
    if anchor > 0 {
        verified.note(Finding::Unpruned(anchor));
    } else {
        verified.note(Finding::OtherAnchor(recorded));
    }
}

fn compare_with_head(verified: &mut Verified, head: Option<AuditHead>) {
    let Some(head) = head else { return verified.note(Finding::NoHead) };
    let newest = verified.newest.clone();
    if head.sequence > newest.sequence {
        verified.note(Finding::Missing { first: newest.sequence + 1, last: head.sequence });
    } else if head != newest {
        verified.note(Finding::NewestDiffers(head.sequence));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use sqlx::types::Json;
    use uuid::Uuid;

    use super::*;

    fn row(sequence: i64, previous: &str) -> AuditRow {
        let mut row = AuditRow {
            id: Uuid::from_u128(sequence.unsigned_abs().into()),
            at: DateTime::from_timestamp(1_700_000_000 + sequence, 123_456_000).unwrap(),
            caller: "kim".to_owned(),
            action: "channel.promote".to_owned(),
            subject: "images/a/channels/b".to_owned(),
            state_before: None,
            state_after: Some(Json(json!({"revision": sequence, "epoch": 1}))),
            request_id: Some("r".to_owned()),
            client_address: Some("192.0.2.1".to_owned()),
            sequence: Some(sequence),
            hash: None,
        };
        row.hash = Some(row.hash_after(previous));
        row
    }

    fn chain(length: i64) -> Vec<AuditRow> {
        let mut rows: Vec<AuditRow> = Vec::new();
        for sequence in 1..=length {
            let previous = rows.last().and_then(|row| row.hash.clone()).unwrap_or_default();
            rows.push(row(sequence, &previous));
        }
        rows
    }

    fn findings(rows: &[AuditRow]) -> Vec<Finding> {
        let intact = chain(5);
        let last = intact.last().unwrap();
        let head = AuditHead { sequence: last.sequence.unwrap(), hash: last.hash.clone().unwrap() };
        let mut verified = Verified::from(AuditHead::default());
        for row in rows {
            follow(&mut verified, row);
        }
        compare_with_head(&mut verified, Some(head));
        verified.findings
    }

    /// Returns the findings for a chain of five rows that begins after `anchor`, and whose fourth row records that the
    /// first two were pruned.
    fn findings_of_pruned(anchor: usize) -> Vec<Finding> {
        let mut rows = chain(3);
        let mut previous = rows[2].hash.clone().unwrap();
        for sequence in 4..=5 {
            let mut next = row(sequence, &previous);
            if sequence == 4 {
                next.action = prune::ACTION.to_owned();
                next.state_after =
                    Some(Json(json!({"sequence": 2, "hash": rows[1].hash, "rows": 2})));
                next.hash = Some(next.hash_after(&previous));
            }
            previous = next.hash.clone().unwrap();
            rows.push(next);
        }
        let anchor = match anchor {
            0 => AuditHead::default(),
            at => AuditHead {
                sequence: rows[at - 1].sequence.unwrap(),
                hash: rows[at - 1].hash.clone().unwrap(),
            },
        };
        let first = usize::try_from(anchor.sequence).unwrap();
        let mut verified = Verified::from(anchor);
        for row in &rows[first..] {
            follow(&mut verified, row);
        }
        compare_anchors(&mut verified);
        verified.findings
    }

    #[test]
    fn a_pruned_chain_begins_where_its_own_rows_say() {
        assert_eq!(findings_of_pruned(2), []);
        assert_eq!(findings_of_pruned(3), [Finding::Unpruned(3)]);
        assert_eq!(findings_of_pruned(0), [Finding::OtherAnchor(2)]);
    }

    #[test]
    fn an_intact_chain_has_no_findings() {
        assert_eq!(findings(&chain(5)), []);
    }

    #[test]
    fn every_field_of_a_row_is_covered() {
        let alterations: [fn(&mut AuditRow); 9] = [
            |row| row.id = Uuid::from_u128(99),
            |row| row.at += chrono::TimeDelta::microseconds(1),
            |row| row.caller = "eve".to_owned(),
            |row| row.action = "channel.withdraw".to_owned(),
            |row| row.subject = "images/a/channels/c".to_owned(),
            |row| row.state_before = Some(Json(json!({}))),
            |row| row.state_after = Some(Json(json!({"revision": 9, "epoch": 1}))),
            |row| row.request_id = None,
            |row| row.client_address = Some("192.0.2.2".to_owned()),
        ];
        for (number, alter) in alterations.into_iter().enumerate() {
            let mut rows = chain(5);
            alter(&mut rows[2]);
            assert_eq!(findings(&rows), [Finding::Altered(3)], "alteration {number}");
        }
    }

    #[test]
    fn a_row_with_a_new_hash_of_its_own_shows_in_the_next() {
        let mut rows = chain(5);
        rows[2].caller = "eve".to_owned();
        let previous = rows[1].hash.clone().unwrap();
        rows[2].hash = Some(rows[2].hash_after(&previous));
        assert_eq!(findings(&rows), [Finding::Altered(4)]);
    }

    #[test]
    fn removed_rows_are_named_wherever_they_were() {
        for (gone, missing) in [(0..1, (1, 1)), (1..3, (2, 3)), (4..5, (5, 5)), (0..5, (1, 5))] {
            let mut rows = chain(5);
            rows.drain(gone);
            let (first, last) = missing;
            assert_eq!(findings(&rows), [Finding::Missing { first, last }]);
        }
    }

    #[test]
    fn rows_that_changed_places_are_found() {
        let mut rows = chain(5);
        let (second, third) = (rows[1].sequence, rows[2].sequence);
        rows[1].sequence = third;
        rows[2].sequence = second;
        rows.swap(1, 2);
        let found = findings(&rows);
        assert!(found.contains(&Finding::Altered(2)) && found.contains(&Finding::Altered(3)));
    }

    #[test]
    fn a_chain_that_was_written_anew_from_its_middle_ends_otherwise() {
        let mut rows = chain(3);
        let mut previous = rows[2].hash.clone().unwrap();
        for sequence in 4..=5 {
            let mut forged = row(sequence, &previous);
            forged.caller = "eve".to_owned();
            forged.hash = Some(forged.hash_after(&previous));
            previous = forged.hash.clone().unwrap();
            rows.push(forged);
        }
        assert_eq!(findings(&rows), [Finding::NewestDiffers(5)]);
    }
}
