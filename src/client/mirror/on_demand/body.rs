//! The bodies of answers.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Returns a body of bytes that are in memory.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
