//! The hash of a row of the audit, which covers the hash of the row before it. The server chains rows by it, and whoever
//! reads the audit over HTTP can check them.

use serde_json::{Value, json};

use super::digest::Digest;

/// The fields of a row that its hash covers.
#[derive(Debug)]
pub struct Hashed<'a> {
    /// The row's place in the chain, from 1.
    pub sequence: Option<i64>,
    pub id: &'a str,
    /// The time in UTC with microseconds, `2026-01-05T09:30:00.000000Z`.
    pub at: &'a str,
    pub caller: &'a str,
    pub action: &'a str,
    pub subject: &'a str,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
    pub request_id: Option<&'a str>,
    pub client_address: Option<&'a str>,
}

impl Hashed<'_> {
    /// Computes the row's hash from the hash of the row before it. It is the SHA-256, in lower-case hex, of a JSON
    /// array of that hash and the row's fields in a fixed order, without spaces and with sorted object keys.
    pub fn after(&self, previous: &str) -> String {
        let fields = json!([
            previous,
            self.sequence,
            self.id,
            self.at,
            self.caller,
            self.action,
            self.subject,
            self.before.map(sorted),
            self.after.map(sorted),
            self.request_id,
            self.client_address,
        ]);
        Digest::of(fields.to_string().as_bytes()).to_hex()
    }
}

/// Returns the same value with sorted keys, regardless of the order in which a database or library keeps them.
pub fn sorted(value: &Value) -> Value {
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
