//! Reading a blob's bytes: ranges of it, one after the other, as a stream that no memory has to hold.
//!
//! One reader serves local files, objects in a store, bytes at hand and any of them in a row, so that whoever answers
//! a request need not know where a blob lies. A blob that turns out shorter than its size ends in an
//! error, never in padding: the receiver sees a broken transfer instead of a broken image.

mod batch;
mod joined;
mod local;
mod remote;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore;
use object_store::path::Path;

use super::bucket::away;
use crate::storage::error::StorageError;

/// A blob opened for reading. Cheap to clone; every stream of it stands on its own.
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

impl BlobReader {
    /// A file on a local disk, `size` bytes long.
    pub fn local(file: Arc<File>, size: u64) -> Self {
        Self { source: Source::Local(file), size }
    }

    /// An object, `size` bytes long.
    pub fn remote(store: Arc<dyn ObjectStore>, path: Path, size: u64) -> Self {
        Self { source: Source::Remote(store, path), size }
    }

    /// Bytes at hand, for small files that are made rather than stored.
    pub fn bytes(bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self { source: Source::Memory(bytes), size }
    }

    /// Several, one after the other.
    pub fn joined(parts: Vec<Self>) -> Self {
        let size = parts.iter().map(|part| part.size).sum();
        Self { source: Source::Joined(parts.into()), size }
    }

    /// The whole length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `range`. A range that leaves the blob ends in `UnexpectedEof`.
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        self.stream_pieces(std::iter::once(Piece::Range(range)))
    }

    /// As [`Self::stream_pieces`], once the first bytes are there: that a store is away is found out while whoever
    /// asked can still be told so.
    pub async fn begin(
        &self,
        pieces: impl Iterator<Item = Piece> + Send + 'static,
    ) -> Result<BlobStream, StorageError> {
        let mut stream = self.stream_pieces(pieces);
        if !matches!(self.source, Source::Remote(..)) {
            return Ok(stream);
        }
        let mut begun = Vec::new();
        // The first piece may be text, which no store is asked for.
        while begun.len() < 2
            && let Some(chunk) = stream.try_next().await.map_err(|error| away(error.to_string()))?
        {
            begun.push(Ok(chunk));
        }
        Ok(stream::iter(begun).chain(stream).boxed())
    }

    /// Several ranges and the text between them as one stream. Small neighbours are read together:
    /// 500 ranges of a few KiB cost a handful of reads' waiting, not 500.
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
            Source::Joined(parts) => joined::stream(Arc::clone(parts), pieces),
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

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than its recorded size")
}
