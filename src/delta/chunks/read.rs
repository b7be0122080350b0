//! Reads a chunk list that may come from anywhere.

use super::list::{Chunk, ChunkList, Content};
use super::{HEADER, LONGEST, MAGIC, SHORTEST, SHORTEST_ZEROS, TRAILER};
use crate::delta::LARGEST;
use crate::delta::check::Check;
use crate::delta::error::{Error, Place};
use crate::delta::varint::Bytes;
use crate::model::Digest;

impl ChunkList {
    /// Returns the number of bytes that the list of a file of this size has at most. Who fetches a list reads no more.
    pub const fn largest(size: u64) -> u64 {
        // Each chunk of the least size has a length and a check; between two there may be zeros, which are longer.
        (size / SHORTEST as u64 + 2) * (2 * 10 + Check::LENGTH as u64) + (HEADER + TRAILER) as u64
    }

    /// Reads a list. Takes no more memory than a small multiple of its bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        parse(bytes).map_err(|reason| Error::damaged(Place::ChunkList, reason))
    }
}

fn parse(bytes: &[u8]) -> Result<ChunkList, &'static str> {
    let (content, check) =
        bytes.split_at_checked(bytes.len().wrapping_sub(Check::LENGTH)).ok_or("it is too short")?;
    if content.len() < HEADER + TRAILER - Check::LENGTH {
        return Err("it is too short");
    }
    if !content.starts_with(&MAGIC) {
        return Err("it does not begin like one");
    }
    if Check::of(content).as_bytes() != check {
        return Err("its own digest is wrong");
    }
    let (entries, digest) = content.split_at(content.len() - 32);
    let mut entries = Bytes(&entries[MAGIC.len()..]);
    let size = entries.array().map(u64::from_le_bytes).ok_or("it is too short")?;
    if size > LARGEST {
        return Err("its file is too large");
    }
    let chunks = chunks(entries, size)?;
    let digest: [u8; 32] = digest.try_into().map_err(|_| "it is too short")?;
    Ok(ChunkList::new(size, Digest::from_bytes(digest), chunks))
}

/// Reads the chunks of a file of this size.
fn chunks(mut entries: Bytes<'_>, size: u64) -> Result<Vec<Chunk>, &'static str> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut offset = 0;
    while !entries.is_empty() {
        let chunk = chunk(&mut entries, offset)?;
        if chunk.length > size - offset {
            return Err("its chunks go beyond the file");
        }
        if let Some(before) = chunks.last() {
            follows(before, &chunk)?;
        }
        offset = chunk.end();
        chunks.push(chunk);
    }
    if offset == size { Ok(chunks) } else { Err("its chunks do not reach the end of the file") }
}

fn chunk(entries: &mut Bytes<'_>, offset: u64) -> Result<Chunk, &'static str> {
    let number = entries.number().ok_or("a length cannot be read")?;
    let length = number >> 1;
    let content = if number & 1 == 1 {
        if length < SHORTEST_ZEROS as u64 {
            return Err("a run of zeros is too short");
        }
        Content::Zeros
    } else {
        if length == 0 || length > LONGEST as u64 {
            return Err("a chunk is empty or too long");
        }
        Content::Data(Check::from_bytes(entries.array().ok_or("a digest is cut off")?))
    };
    Ok(Chunk { offset, length, content })
}

/// Refuses what would let a list grow without bound.
fn follows(before: &Chunk, next: &Chunk) -> Result<(), &'static str> {
    match (before.content, next.content) {
        (Content::Zeros, Content::Zeros) => Err("two runs of zeros follow each other"),
        (Content::Data(_), Content::Data(_)) if before.length < SHORTEST as u64 => {
            Err("a chunk is too short")
        }
        _ => Ok(()),
    }
}
