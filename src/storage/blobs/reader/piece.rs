//! The pieces that a reader is asked for, and the stream that it returns.

use std::io;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Stream;

/// The next piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that are not part of the blob, such as the framing between two ranges.
    Literal(Bytes),
    /// Bytes of the blob.
    Range(Range<u64>),
}

/// The bytes in order, in chunks of some hundred KiB (bytes in memory come undivided). The caller has to stop at an
/// error.
pub type BlobStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Returns the error for stored bytes that end before the blob does.
pub(super) fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than its recorded size")
}
