//! A row of the audit, as the API shows it.

use serde_json::Value;

/// Returns the place of a row in the chain; 0 for a row that is in none.
pub fn sequence(row: &Value) -> i64 {
    row["sequence"].as_i64().unwrap_or_default()
}
