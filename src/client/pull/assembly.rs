//! Puts a file together from seeds, from itself and from ranges that come from the network, in its order.
//!
//! Each chunk is compared with its digest before it is written, and the whole at the end. What an interrupted attempt has
//! written is verified chunk by chunk and kept. Everything here blocks.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::partial::Assembled;
use super::verified;
use crate::client::error::Failure;
use crate::delta::chunks::{Chunk, ChunkList, Content};
use crate::delta::{Check, Plan, Source, Step};
use crate::model::Digest;

/// The bytes of zeros that are hashed at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A file that is being put together.
pub struct Assembly {
    part: Assembled,
    list: Arc<ChunkList>,
    /// The steps from the first missing chunk on.
    steps: Vec<Step>,
    seeds: Vec<ReadSeed>,
    /// The first missing chunk.
    next: usize,
    /// The number of bytes that are there, and their hash.
    done: u64,
    sha: Sha256,
}

/// A file that is here, with its chunks as they were read.
#[derive(Debug)]
pub struct ReadSeed {
    pub file: File,
    pub list: ChunkList,
}

/// The end of the work.
#[derive(Debug)]
pub enum Ended {
    /// The file has its name.
    Complete,
    /// This seed does not have what it had when it was read.
    SeedChanged(usize),
    /// The bytes from the network, or the list, are wrong.
    WrongBytes(&'static str),
}

/// Opens the file, and keeps what is right of it.
pub fn begin(
    folder: &Path,
    name: &str,
    list: Arc<ChunkList>,
    plan: &Plan,
    seeds: Vec<ReadSeed>,
) -> Result<Assembly, Failure> {
    let is_data = |chunk: &&Chunk| matches!(chunk.content, Content::Data(_));
    let data = list.chunks().iter().filter(is_data).map(|chunk| chunk.length).sum();
    let part = Assembled::open(folder, name, data)?;
    let steps = plan.steps().to_vec();
    let (next, done, sha) = (0, 0, Sha256::new());
    let mut assembly = Assembly { part, list, steps, seeds, next, done, sha };
    assembly.keep_what_is_right().map_err(|error| assembly.failed(&error))?;
    Ok(assembly)
}

impl Assembly {
    pub fn size(&self) -> u64 {
        self.list.size()
    }

    /// Returns the ranges to fetch, in the order in which [`Self::run`] takes them.
    pub fn ranges(&self, longest: u64) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for part in self.fetched_parts() {
            let mut from = part.start;
            while from < part.end {
                let to = (from + longest).min(part.end);
                ranges.push(from..to);
                from = to;
            }
        }
        ranges
    }

    /// The parts of the steps that are fetched and not there yet. A step begins and ends with a chunk.
    fn fetched_parts(&self) -> impl Iterator<Item = Range<u64>> {
        self.steps.iter().filter(|step| step.source == Source::Fetch).filter_map(|step| {
            let range = step.offset.max(self.done)..step.offset + step.length;
            (range.start < range.end).then_some(range)
        })
    }

    fn keep_what_is_right(&mut self) -> io::Result<()> {
        let there = self.part.file().metadata()?.len();
        let list = Arc::clone(&self.list);
        let mut bytes = Vec::new();
        for chunk in list.chunks() {
            if chunk.end() > there {
                break;
            }
            if !self.has(chunk, &mut bytes)? {
                break;
            }
            self.next += 1;
            self.done = chunk.end();
        }
        self.part.file().set_len(self.done)
    }

    /// Reports whether the file has this chunk, and hashes it.
    fn has(&mut self, chunk: &Chunk, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let Content::Data(check) = chunk.content else {
            return self.has_zeros(chunk, bytes);
        };
        bytes.resize(usize::try_from(chunk.length).unwrap_or(0), 0);
        self.part.file().read_exact_at(bytes, chunk.offset)?;
        let is_right = Check::of(bytes) == check;
        if is_right {
            self.sha.update(&*bytes);
        }
        Ok(is_right)
    }

    fn has_zeros(&mut self, chunk: &Chunk, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let before = self.sha.clone();
        bytes.resize(ZEROS.len(), 0);
        let mut offset = chunk.offset;
        while offset < chunk.end() {
            let count = usize::try_from(chunk.end() - offset)
                .map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
            self.part.file().read_exact_at(&mut bytes[..count], offset)?;
            if bytes[..count] != ZEROS[..count] {
                self.sha = before;
                return Ok(false);
            }
            self.sha.update(&ZEROS[..count]);
            offset += count as u64;
        }
        Ok(true)
    }

    /// Puts the file together, and gives it its name if it has its digest. Returns the seeds as well.
    pub fn run(
        mut self,
        received: mpsc::Receiver<Bytes>,
        show: impl Fn(u64),
    ) -> Result<(Ended, Vec<ReadSeed>), Failure> {
        let mut received = Received { received, rest: Bytes::new() };
        let ended = self.chunks(&mut received, show).map_err(|error| self.failed(&error))?;
        let seeds = std::mem::take(&mut self.seeds);
        if let Some(ended) = ended {
            return Ok((ended, seeds));
        }
        let digest = self.list.digest();
        if Digest::from_bytes(self.sha.clone().finalize().into()) != digest {
            self.part.discard()?;
            return Ok((Ended::WrongBytes("the chunks do not make the file"), seeds));
        }
        let path = self.part.finish()?;
        verified::write_note(&path, &digest);
        Ok((Ended::Complete, seeds))
    }

    fn chunks(&mut self, received: &mut Received, show: impl Fn(u64)) -> io::Result<Option<Ended>> {
        let list = Arc::clone(&self.list);
        let mut steps = std::mem::take(&mut self.steps).into_iter().peekable();
        for chunk in &list.chunks()[self.next..] {
            while steps.next_if(|step| step.offset + step.length <= chunk.offset).is_some() {}
            let Some(step) = steps.peek() else {
                return Ok(Some(Ended::WrongBytes("the plan ends too early")));
            };
            if let Some(ended) = self.add(chunk, *step, received)? {
                return Ok(Some(ended));
            }
            show(self.done);
        }
        Ok(None)
    }

    /// Adds the next chunk, which is a part of this step.
    fn add(
        &mut self,
        chunk: &Chunk,
        step: Step,
        received: &mut Received,
    ) -> io::Result<Option<Ended>> {
        let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
        let into_step = chunk.offset - step.offset;
        let bytes = match step.source {
            Source::Zeros => {
                self.add_zeros(chunk)?;
                return Ok(None);
            }
            Source::Seed { seed, offset } => {
                let mut bytes = vec![0; length];
                let read = self.seeds[seed].file.read_exact_at(&mut bytes, offset + into_step);
                if read.is_err() || !is_right(chunk, &bytes) {
                    return Ok(Some(Ended::SeedChanged(seed)));
                }
                bytes.into()
            }
            Source::Earlier { offset } => {
                let mut bytes = vec![0; length];
                if self.part.file().read_exact_at(&mut bytes, offset + into_step).is_err() {
                    return Ok(Some(Ended::WrongBytes("the list repeats what is not there")));
                }
                bytes.into()
            }
            Source::Fetch => {
                let Some(bytes) = received.take(length) else {
                    // The network has failed, and says why.
                    return Ok(Some(Ended::WrongBytes("the ranges ended too early")));
                };
                bytes
            }
        };
        if !is_right(chunk, &bytes) {
            return Ok(Some(Ended::WrongBytes("a chunk has other bytes than the list says")));
        }
        if chunk.content == Content::Zeros {
            // They were fetched because they lie between two ranges.
            self.add_zeros(chunk)?;
            return Ok(None);
        }
        self.part.file().write_all_at(&bytes, chunk.offset)?;
        self.sha.update(&bytes);
        self.done = chunk.end();
        Ok(None)
    }

    /// Adds a hole.
    fn add_zeros(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.part.file().set_len(chunk.end())?;
        let mut rest = chunk.length;
        while rest > 0 {
            let count = usize::try_from(rest).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
            self.sha.update(&ZEROS[..count]);
            rest -= count as u64;
        }
        self.done = chunk.end();
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::local("write", &self.part.path(), error)
    }
}

fn is_right(chunk: &Chunk, bytes: &[u8]) -> bool {
    match chunk.content {
        Content::Data(check) => Check::of(bytes) == check,
        Content::Zeros => bytes.iter().all(|byte| *byte == 0),
    }
}

/// The bytes that come over the network.
struct Received {
    received: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Received {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        if self.rest.len() >= length {
            return Some(self.rest.split_to(length));
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.rest.is_empty() {
                self.rest = self.received.blocking_recv()?;
            }
            let count = self.rest.len().min(length - bytes.len());
            bytes.extend_from_slice(&self.rest.split_to(count));
        }
        Some(bytes.into())
    }
}
