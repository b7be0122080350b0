//! A row of the audit and its place in the chain, in which each row's hash is over the one before it.
//!
//! Below the transactions, which collect rows until they are committed; reading and writing them is in `queries/audit`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use crate::model::Digest;
use crate::model::row::from_row;

/// One change, as it is kept.
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
    /// Its place in the chain, from 1; none in rows of versions that had no chain.
    pub sequence: Option<i64>,
    /// Over the row and the hash of the one before it.
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

/// The newest row of a chain, or of that part of it which was looked at or has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// 0 before the first row.
    pub sequence: i64,
    /// Empty before the first row.
    pub hash: String,
}

from_row!(AuditHead { sequence, hash });

impl AuditRow {
    /// What the row's hash is to be: the SHA-256, in lower-case hex, of a JSON array of the hash of the row
    /// before it and the row's fields in a fixed order, without spaces, object keys sorted.
    pub fn hash_after(&self, previous: &str) -> String {
        let state = |state: &Option<Json<Value>>| state.as_ref().map(|json| sorted(&json.0));
        let fields = json!([
            previous,
            self.sequence,
            self.id,
            self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            self.caller,
            self.action,
            self.subject,
            state(&self.state_before),
            state(&self.state_after),
            self.request_id,
            self.client_address,
        ]);
        Digest::of(fields.to_string().as_bytes()).to_hex()
    }
}

impl AuditHead {
    /// Gives a row the next place; the head is then that one.
    pub(super) fn followed_by(&self, row: &mut AuditRow) -> Self {
        let sequence = self.sequence + 1;
        row.sequence = Some(sequence);
        let hash = row.hash_after(&self.hash);
        row.hash = Some(hash.clone());
        Self { sequence, hash }
    }

    /// The row as the newest, if it is the next one and what was written.
    pub fn if_followed_by(&self, row: &AuditRow) -> Option<Self> {
        let hash = row.hash.clone().filter(|hash| row.hash_after(&self.hash) == *hash)?;
        let sequence = row.sequence.filter(|sequence| *sequence == self.sequence + 1)?;
        Some(Self { sequence, hash })
    }
}

/// As text without spaces, object keys sorted: what digests of JSON are over.
pub fn canonical_json(value: &Value) -> String {
    sorted(value).to_string()
}

/// The same value with its keys in order, whatever order a database or a library keeps them in.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_makes_no_difference() {
        let value: Value =
            serde_json::from_str(r#"{"b":{"z":1,"a":[{"y":1,"x":2}]},"a":2}"#).unwrap();
        assert_eq!(sorted(&value).to_string(), r#"{"a":2,"b":{"a":[{"x":2,"y":1}],"z":1}}"#);
    }
}
