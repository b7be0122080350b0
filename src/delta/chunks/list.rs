//! The chunk list in memory.

use crate::delta::check::Check;
use crate::model::Digest;

/// A list of chunks that cover a file from its start to its end, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkList {
    size: u64,
    digest: Digest,
    chunks: Vec<Chunk>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub offset: u64,
    pub length: u64,
    pub content: Content,
}

/// The content of a part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Zeros,
    Data(Check),
}

impl Chunk {
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }
}

impl ChunkList {
    /// Puts a list together. The caller has made sure that the chunks cover the file.
    pub(super) const fn new(size: u64, digest: Digest, chunks: Vec<Chunk>) -> Self {
        Self { size, digest, chunks }
    }

    /// Returns the size of the file.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the SHA-256 of the file.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}
