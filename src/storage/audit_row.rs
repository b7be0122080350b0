//! An audit row and its place in the hash chain, in which each row's hash covers the hash of the row before it.
//!
//! This module is below the transactions, which collect rows until they are committed. `queries/audit` reads and writes
//! the rows.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::audit_hash::{Hashed, sorted};
use crate::model::row::from_row;

/// One recorded change.
#[derive(Debug, Clone)]
pub struct AuditRow {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub caller: String,
    pub action: String,
    pub subject: String,
    pub state_before: Option<Json<Value>>,
    pub state_after: Option<Json<Value>>,
    pub request_id: Option<String>,
    pub client_address: Option<String>,
    /// The row's place in the chain, from 1; none in a row from a version that had no chain.
    pub sequence: Option<i64>,
    /// The hash over the row and the hash of the row before it.
    pub hash: Option<String>,
}

from_row!(AuditRow {
    id,
    at,
    caller,
    action,
    subject,
    state_before,
    state_after,
    request_id,
    client_address,
    sequence,
    hash,
});

/// The conditions of a list of rows. All that are given have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The name of the caller.
    pub caller: Option<String>,
    /// The path of a resource. Changes of what lies below it are listed, too. Case is ignored.
    pub subject: Option<String>,
    /// The kind of change, with `*` for any run of characters.
    pub action: Option<String>,
    /// Only changes at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Only changes before this time.
    pub until: Option<DateTime<Utc>>,
}

/// The newest row of a chain, or of the part of it that was checked or pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// The place of that row in the chain; 0 before the first row.
    pub sequence: i64,
    /// The hash of that row; empty before the first row.
    pub hash: String,
}

from_row!(AuditHead { sequence, hash });

impl AuditRow {
    /// Computes the row's hash from the hash of the row before it.
    pub fn hash_after(&self, previous: &str) -> String {
        let hashed = Hashed {
            sequence: self.sequence,
            id: &self.id.to_string(),
            at: &self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            caller: &self.caller,
            action: &self.action,
            subject: &self.subject,
            before: self.state_before.as_deref(),
            after: self.state_after.as_deref(),
            request_id: self.request_id.as_deref(),
            client_address: self.client_address.as_deref(),
        };
        hashed.after(previous)
    }
}

impl AuditHead {
    /// Gives `row` the next place in the chain and returns the new head.
    pub(super) fn followed_by(&self, row: &mut AuditRow) -> Self {
        let sequence = self.sequence + 1;
        row.sequence = Some(sequence);
        let hash = row.hash_after(&self.hash);
        row.hash = Some(hash.clone());
        Self { sequence, hash }
    }

    /// Returns `row` as the new head, or none if it is not the next row or was changed after it was written.
    pub fn if_followed_by(&self, row: &AuditRow) -> Option<Self> {
        let hash = row.hash.clone().filter(|hash| row.hash_after(&self.hash) == *hash)?;
        let sequence = row.sequence.filter(|sequence| *sequence == self.sequence + 1)?;
        Some(Self { sequence, hash })
    }
}

/// Writes JSON as text without spaces and with sorted object keys: digests of JSON are computed over this form.
pub fn canonical_json(value: &Value) -> String {
    sorted(value).to_string()
}
