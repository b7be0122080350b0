//! Sample values, which the `OpenAPI` document shows as examples.
//!
//! Each body of a response has a `sample`, and the example of its schema is that sample as JSON. A field that is added
//! to the body therefore appears in the example, or the code does not compile. Bodies that callers send may omit
//! fields, and so may their examples, which are written in the schema. The tests of `openapi` check that each of them
//! is accepted.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::Digest;

pub const IMAGE: &str = "win7-office";
pub const ADMIN: &str = "admin";
/// The id of an event.
pub const EVENT: &str = "8f3a52c1-4711";
pub const ID: Uuid = Uuid::from_u128(0x0198_f2a4_c3d4_7e0b_9d3a_6f1e_2b4c_5d6e);
/// The id of a key that signs tokens.
pub const KEY_ID: Uuid = Uuid::from_u128(0x0198_f2a4_c3d4_7e0b_9d3a_6f1e_2b4c_5d00);

/// The texts that stand for the bytes of a revision's files.
pub const CKM: &str = "abc";
pub const INDEX: &str = "foo";

pub fn digest(bytes: &str) -> Digest {
    Digest::of(bytes.as_bytes())
}

/// Parses a time in RFC 3339. Any other text becomes 1970, which the document's test reveals.
pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_default()
}
