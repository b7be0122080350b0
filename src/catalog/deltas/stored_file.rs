//! A blob as the room `delta` reads it: at any place, and blocking.

use std::fs::File;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::runtime::Handle;

use crate::delta::ReadAt;
use crate::storage::blobs::BlobReader;

/// A stored blob, opened for reading on a thread for blocking work.
pub(super) enum StoredFile {
    Local(Arc<File>),
    /// In a bucket: each read is a request.
    Remote(BlobReader, Handle),
}

impl StoredFile {
    pub(super) fn new(reader: BlobReader, runtime: &Handle) -> Self {
        match reader.file() {
            Some(file) => Self::Local(Arc::clone(file)),
            None => Self::Remote(reader, runtime.clone()),
        }
    }

    /// Reads from the start to the end.
    pub(super) fn sequential(&self, size: u64) -> Sequential<'_> {
        Sequential { file: self, offset: 0, size }
    }
}

impl ReadAt for StoredFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (reader, runtime) = match self {
            Self::Local(file) => return ReadAt::read_exact_at(&**file, buffer, offset),
            Self::Remote(reader, runtime) => (reader, runtime),
        };
        let end = offset + buffer.len() as u64;
        runtime.block_on(async {
            let (mut stream, mut filled) = (reader.stream(offset..end), 0);
            while let Some(bytes) = stream.next().await {
                let bytes = bytes?;
                let place = buffer.get_mut(filled..filled + bytes.len());
                place.ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(&bytes);
                filled += bytes.len();
            }
            if filled == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })
    }
}

/// A reading of a stored file from its start.
pub(super) struct Sequential<'a> {
    file: &'a StoredFile,
    offset: u64,
    size: u64,
}

impl io::Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let count = buffer.len().min(rest);
        self.file.read_exact_at(&mut buffer[..count], self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
