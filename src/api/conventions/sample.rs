//! What samples are made of: the values that the `OpenAPI` document shows as examples.
//!
//! Each body that is answered has a `sample`, and its schema's example is that, written as JSON: a field that is added
//! to the body is in the example, or does not compile. Bodies that callers send may leave fields out, and so do their
//! examples, which stand in the schema; `openapi`'s tests see that each is accepted.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::Digest;

pub const IMAGE: &str = "win7-office";
pub const ADMIN: &str = "admin";
pub const ID: Uuid = Uuid::from_u128(0x0198_f2a4_c3d4_7e0b_9d3a_6f1e_2b4c_5d6e);
/// Of a key that signs tokens.
pub const KEY_ID: Uuid = Uuid::from_u128(0x0198_f2a4_c3d4_7e0b_9d3a_6f1e_2b4c_5d00);

/// What stands for the bytes of a revision's files.
pub const CKM: &str = "abc";
pub const INDEX: &str = "foo";

pub fn digest(bytes: &str) -> Digest {
    Digest::of(bytes.as_bytes())
}

/// From RFC 3339. What is no time becomes 1970, which the document's test shows.
pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_default()
}
