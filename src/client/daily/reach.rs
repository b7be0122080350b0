//! The number of servers that apply a change already.

use serde_json::Value;

/// Returns `; 2 of 3 servers apply it so far` if the answer to a change says that some do not yet, otherwise nothing.
pub fn of(answer: &Value) -> String {
    let replicas = &answer["replicas"];
    match (replicas["have"].as_u64(), replicas["of"].as_u64()) {
        (Some(have), Some(all)) if have < all => {
            format!("; {have} of {all} servers apply it so far")
        }
        _ => String::new(),
    }
}
