//! Writes the chunk list of a file while reading it once.

use std::io::{Read, Write};

use sha2::{Digest as _, Sha256};

use super::chunker::{Chunker, Part};
use super::list::{Chunk, ChunkList, Content};
use super::{HEADER, MAGIC};
use crate::delta::check::Check;
use crate::delta::error::{Action, Error, Place};
use crate::delta::pace::{Pace, Phase, Progress, ask};
use crate::delta::read_at::fill;
use crate::delta::varint::put;
use crate::model::Digest;

const READ: usize = 1 << 20;

/// The source of the SHA-256 of the whole file.
#[derive(Debug, Clone, Copy)]
pub enum WholeDigest {
    /// Nothing is hashed twice: the catalog knows it.
    Known(Digest),
    /// Computed along, which takes as long as everything else together.
    Compute,
}

/// The list that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The SHA-256 of the file.
    pub digest: Digest,
    /// The number of chunks and of runs of zeros.
    pub count: u64,
    /// Bytes of the list.
    pub list_size: u64,
}

/// Reads a file of this size and writes its list. Takes memory for a few chunks.
pub fn make(
    file: impl Read,
    size: u64,
    digest: WholeDigest,
    to: impl Write,
    pace: &mut dyn Pace,
) -> Result<Summary, Error> {
    Ok(write(file, size, digest, Writer::begin(to, size, None)?, pace)?.0)
}

/// Reads a file of this size and returns its list. Its digest is left out: it is that of no bytes.
pub fn list_of(file: impl Read, size: u64, pace: &mut dyn Pace) -> Result<ChunkList, Error> {
    let unknown = WholeDigest::Known(Digest::of(b""));
    let writer = Writer::begin(std::io::sink(), size, Some(Vec::new()))?;
    let (summary, chunks) = write(file, size, unknown, writer, pace)?;
    Ok(ChunkList::new(size, summary.digest, chunks))
}

fn write<W: Write>(
    mut file: impl Read,
    size: u64,
    digest: WholeDigest,
    mut writer: Writer<W>,
    pace: &mut dyn Pace,
) -> Result<(Summary, Vec<Chunk>), Error> {
    let read_error = Action::Read.on(Place::Result);
    let mut chunker = Chunker::default();
    let mut sha = Sha256::new();
    let mut buffer = vec![0; READ];
    let mut done = 0;
    loop {
        ask(pace, Progress { phase: Phase::Chunking, done, total: size })?;
        let count = fill(&mut file, &mut buffer).map_err(&read_error)?;
        done += count as u64;
        if done > size || (count < READ && done < size) {
            return Err(Error::Changed { file: Place::Result });
        }
        let bytes = &buffer[..count];
        if matches!(digest, WholeDigest::Compute) {
            sha.update(bytes);
        }
        chunker.push(bytes, &mut |part| writer.part(part))?;
        if count < READ {
            break;
        }
    }
    chunker.finish(&mut |part| writer.part(part))?;
    let digest = match digest {
        WholeDigest::Known(digest) => digest,
        WholeDigest::Compute => Digest::from_bytes(sha.finalize().into()),
    };
    writer.end(digest)
}

/// A list that is being written.
struct Writer<W> {
    to: W,
    hasher: blake3::Hasher,
    /// The chunks, if they are to be returned.
    chunks: Option<Vec<Chunk>>,
    count: u64,
    offset: u64,
    list_size: u64,
}

impl<W: Write> Writer<W> {
    fn begin(to: W, size: u64, chunks: Option<Vec<Chunk>>) -> Result<Self, Error> {
        let hasher = blake3::Hasher::new();
        let mut writer = Self { to, hasher, chunks, count: 0, offset: 0, list_size: 0 };
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&size.to_le_bytes());
        writer.write(&header)?;
        Ok(writer)
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        let mut entry = Vec::with_capacity(32);
        let (length, content) = match part {
            Part::Zeros(length) => {
                put(&mut entry, length << 1 | 1);
                (length, Content::Zeros)
            }
            Part::Data(bytes) => {
                let (length, check) = (bytes.len() as u64, Check::of(bytes));
                put(&mut entry, length << 1);
                entry.extend_from_slice(check.as_bytes());
                (length, Content::Data(check))
            }
        };
        self.count += 1;
        if let Some(chunks) = &mut self.chunks {
            chunks.push(Chunk { offset: self.offset, length, content });
        }
        self.offset += length;
        self.write(&entry)
    }

    fn end(mut self, digest: Digest) -> Result<(Summary, Vec<Chunk>), Error> {
        self.write(digest.as_bytes())?;
        let check = Check::from(&self.hasher.finalize());
        self.write(check.as_bytes())?;
        self.to.flush().map_err(Action::Write.on(Place::ChunkList))?;
        let summary = Summary { digest, count: self.count, list_size: self.list_size };
        Ok((summary, self.chunks.unwrap_or_default()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.list_size += bytes.len() as u64;
        self.to.write_all(bytes).map_err(Action::Write.on(Place::ChunkList))
    }
}
