//! Reads the index of a delta entry by entry, in memory that does not depend on its length.

use super::PIECE;
use super::check::Check;
use super::error::{Action, Error, Place};
use super::header::Header;
use super::pace::{Pace, Phase, Progress, ask};
use super::piece::{Entry, Method};
use super::read_at::ReadAt;
use super::varint::Bytes;

const BUFFER: usize = 64 << 10;

/// A delta whose header and index have their digests.
#[derive(Debug)]
pub struct Delta<'a, D: ReadAt + ?Sized> {
    file: &'a D,
    header: Header,
}

/// A part of the result, and how it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Zeros { offset: u64, length: u64 },
    Piece { offset: u64, length: usize, method: Method, payload_offset: u64, check: Check },
}

impl<'a, D: ReadAt + ?Sized> Delta<'a, D> {
    /// Opens a delta of this size, and checks its header and the digest of its index.
    pub fn open(file: &'a D, size: u64, pace: &mut dyn Pace) -> Result<Self, Error> {
        let header = Header::read(file, size)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let (mut offset, total) = (header.index_offset, header.result.size);
        while offset < size {
            ask(pace, Progress { phase: Phase::Applying, done: 0, total })?;
            let count = usize::try_from(size - offset).map_or(BUFFER, |rest| rest.min(BUFFER));
            let bytes = &mut buffer[..count];
            file.read_exact_at(bytes, offset).map_err(Action::Read.on(Place::Delta))?;
            hasher.update(bytes);
            offset += count as u64;
        }
        if Check::from(&hasher.finalize()) != header.index_check {
            return Err(Error::damaged(Place::Delta, "the digest of its index is wrong"));
        }
        Ok(Self { file, header })
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) const fn file(&self) -> &D {
        self.file
    }

    /// Returns the parts of the result in their order. After an error there are none.
    pub fn parts(&self) -> Parts<'_, D> {
        Parts {
            delta: self,
            index_offset: self.header.index_offset,
            buffer: Vec::new(),
            used: 0,
            payload_offset: Header::LENGTH as u64,
            done: 0,
            state: State::Reading,
        }
    }
}

/// The parts that are not read yet.
#[derive(Debug)]
pub struct Parts<'a, D: ReadAt + ?Sized> {
    delta: &'a Delta<'a, D>,
    /// The place of the index from which the buffer is filled next.
    index_offset: u64,
    buffer: Vec<u8>,
    used: usize,
    payload_offset: u64,
    /// Bytes of the result.
    done: u64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
}

impl<D: ReadAt + ?Sized> Parts<'_, D> {
    fn read(&mut self) -> Result<Option<Part>, Error> {
        self.fill()?;
        let header = &self.delta.header;
        let damaged = |reason| Err(Error::damaged(Place::Delta, reason));
        let mut bytes = Bytes(&self.buffer[self.used..]);
        let rest = header.result.size - self.done;
        if rest == 0 {
            return if !bytes.is_empty() {
                damaged("its index goes on after the end")
            } else if self.payload_offset != header.index_offset {
                damaged("it has bytes that belong to no piece")
            } else {
                Ok(None)
            };
        }
        let Some(entry) = Entry::take(&mut bytes, header.base.size, rest) else {
            return damaged("an entry of its index cannot be");
        };
        self.used = self.buffer.len() - bytes.0.len();
        let offset = self.done;
        match entry {
            Entry::Zeros(count) => {
                let length = count.saturating_mul(PIECE as u64).min(rest);
                self.done += length;
                Ok(Some(Part::Zeros { offset, length }))
            }
            Entry::Piece(method, check) => {
                let payload_offset = self.payload_offset;
                self.payload_offset += u64::from(method.payload());
                if self.payload_offset > header.index_offset {
                    return damaged("a piece has more bytes than there are");
                }
                let length = usize::try_from(rest).map_or(PIECE, |rest| rest.min(PIECE));
                self.done += length as u64;
                Ok(Some(Part::Piece { offset, length, method, payload_offset, check }))
            }
        }
    }

    /// Makes sure that the buffer has a whole entry, or all that is left.
    fn fill(&mut self) -> Result<(), Error> {
        let header = &self.delta.header;
        let left = header.index_offset + header.index_length - self.index_offset;
        if self.buffer.len() - self.used >= Entry::LARGEST || left == 0 {
            return Ok(());
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let kept = self.buffer.len();
        let count = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        self.buffer.resize(kept + count, 0);
        let read = self.delta.file.read_exact_at(&mut self.buffer[kept..], self.index_offset);
        read.map_err(Action::Read.on(Place::Delta))?;
        self.index_offset += count as u64;
        Ok(())
    }
}

impl<D: ReadAt + ?Sized> Iterator for Parts<'_, D> {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let part = self.read().transpose();
        if !matches!(part, Some(Ok(_))) {
            self.state = State::Ended;
        }
        part
    }
}
