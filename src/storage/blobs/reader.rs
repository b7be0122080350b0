//! Reading a blob's bytes: ranges of it, one after the other, as a stream that never has to fit into memory.
//!
//! One reader serves local files, objects in a store, bytes in memory and any sequence of these, so that the code that
//! answers a request need not know where a blob is. A blob that turns out shorter than its size ends in an error, never
//! in padding: the receiver sees a broken transfer instead of a broken image.

mod batch;
mod local;
mod piece;
mod remote;
mod share;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore;
use object_store::path::Path;

use self::piece::too_short;
pub use self::piece::{BlobStream, Piece};
use crate::storage::error::{StorageError, away};

/// A blob opened for reading. Cheap to clone; its streams are independent of each other.
#[derive(Debug, Clone)]
pub struct BlobReader {
    source: Source,
    size: u64,
}

#[derive(Debug, Clone)]
enum Source {
    Local(Arc<File>),
    Remote(Arc<dyn ObjectStore>, Path),
    Memory(Bytes),
    Joined(Arc<[BlobReader]>),
}

impl BlobReader {
    /// Creates the reader of a file on a local disk, `size` bytes long.
    pub fn local(file: Arc<File>, size: u64) -> Self {
        Self { source: Source::Local(file), size }
    }

    /// Creates the reader of an object, `size` bytes long.
    pub fn remote(store: Arc<dyn ObjectStore>, path: Path, size: u64) -> Self {
        Self { source: Source::Remote(store, path), size }
    }

    /// Creates the reader of bytes in memory, for small files that are made rather than stored.
    pub fn bytes(bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self { source: Source::Memory(bytes), size }
    }

    /// Creates the reader of several blobs, one after the other.
    pub fn joined(parts: Vec<Self>) -> Self {
        let size = parts.iter().map(|part| part.size).sum();
        Self { source: Source::Joined(parts.into()), size }
    }

    /// Returns the local file that the blob is; none if it is elsewhere.
    pub fn file(&self) -> Option<&Arc<File>> {
        match &self.source {
            Source::Local(file) => Some(file),
            Source::Remote(..) | Source::Memory(_) | Source::Joined(_) => None,
        }
    }

    /// Returns the whole length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams the bytes of `range`. A range that exceeds the blob ends in `UnexpectedEof`.
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        self.stream_pieces(std::iter::once(Piece::Range(range)))
    }

    /// Does the same as [`Self::stream_pieces`], but waits for the first bytes, so that an unreachable store is noticed
    /// while it can still be reported to the client.
    pub async fn begin(
        &self,
        pieces: impl Iterator<Item = Piece> + Send + 'static,
    ) -> Result<BlobStream, StorageError> {
        let mut stream = self.stream_pieces(pieces);
        if !matches!(self.source, Source::Remote(..)) {
            return Ok(stream);
        }
        let mut begun = Vec::new();
        // The first piece may be text, which is not requested from the store.
        while begun.len() < 2
            && let Some(chunk) = stream.try_next().await.map_err(|error| away(error.to_string()))?
        {
            begun.push(Ok(chunk));
        }
        Ok(stream::iter(begun).chain(stream).boxed())
    }

    /// Streams several ranges and the text between them. Small neighbours are read together: 500 ranges of a few KiB
    /// wait for a handful of reads, not for 500.
    pub fn stream_pieces(
        &self,
        pieces: impl Iterator<Item = Piece> + Send + 'static,
    ) -> BlobStream {
        match &self.source {
            Source::Local(file) => Box::pin(local::LocalStream::new(Arc::clone(file), pieces)),
            Source::Remote(store, path) => {
                remote::stream(Arc::clone(store), path.clone(), self.size, pieces)
            }
            Source::Memory(bytes) => {
                let bytes = bytes.clone();
                stream::iter(pieces.map(move |piece| from_memory(&bytes, piece))).boxed()
            }
            Source::Joined(parts) => joined(Arc::clone(parts), pieces),
        }
    }
}

fn from_memory(bytes: &Bytes, piece: Piece) -> io::Result<Bytes> {
    match piece {
        Piece::Literal(text) => Ok(text),
        Piece::Range(range) => {
            let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end))
            else {
                return Err(too_short());
            };
            if start > end || end > bytes.len() {
                return Err(too_short());
            }
            Ok(bytes.slice(start..end))
        }
    }
}

/// Streams the pieces of several blobs. Each blob is opened for reading when its turn comes.
fn joined(
    parts: Arc<[BlobReader]>,
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> BlobStream {
    let streams = pieces.flat_map(move |piece| match piece {
        Piece::Literal(text) => vec![Some((BlobReader::bytes(text.clone()), 0..text.len() as u64))],
        Piece::Range(range) => within(&parts, range),
    });
    let read = |part: Option<(BlobReader, Range<u64>)>| match part {
        Some((part, range)) => part.stream(range),
        None => stream::iter([Err(too_short())]).boxed(),
    };
    stream::iter(streams).flat_map(read).boxed()
}

/// Returns the section of each part that is in the range, and none at the end if the range exceeds the last part.
fn within(parts: &[BlobReader], range: Range<u64>) -> Vec<Option<(BlobReader, Range<u64>)>> {
    let (mut found, mut begins) = (Vec::new(), 0);
    for part in parts {
        let ends = begins + part.size;
        let (start, end) = (range.start.max(begins), range.end.min(ends));
        if start < end {
            found.push(Some((part.clone(), start - begins..end - begins)));
        }
        begins = ends;
    }
    if range.end > begins {
        found.push(None);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(reader: &BlobReader, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        Ok(reader.stream(range).try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn every_range_is_what_it_would_be_of_the_whole() {
        let texts = ["abc", "", "d", "efghij"];
        let parts = texts.map(|text| BlobReader::bytes(Bytes::from_static(text.as_bytes())));
        let (joined, whole) = (BlobReader::joined(parts.into()), texts.concat());
        assert_eq!(joined.size(), 10);
        for start in 0..=10 {
            for end in start..=10 {
                let read = read(&joined, start as u64..end as u64).await.unwrap();
                assert_eq!(read, whole.as_bytes()[start..end]);
            }
        }
        assert!(read(&joined, 5..11).await.is_err());
    }

    #[tokio::test]
    async fn text_between_two_ranges_stands_where_it_was_put() {
        let parts =
            ["abc", "def"].map(|text| BlobReader::bytes(Bytes::from_static(text.as_bytes())));
        let text = Piece::Literal(Bytes::from_static(b"--"));
        let pieces = [Piece::Range(1..4), text, Piece::Range(0..1)];
        let stream = BlobReader::joined(parts.into()).stream_pieces(pieces.into_iter());
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"bcd--a");
    }
}
