//! What a reader is asked for, and what it gives.

use std::io;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Stream;

/// What a stream gives next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that are not the blob's, such as the framing between two ranges.
    Literal(Bytes),
    /// Bytes of the blob.
    Range(Range<u64>),
}

/// The bytes in order, in chunks of some hundred KiB (bytes at hand come undivided). Stop at an error.
pub type BlobStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The stored bytes end before the blob does.
pub(super) fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than its recorded size")
}
