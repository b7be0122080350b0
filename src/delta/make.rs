//! Makes a delta.
//!
//! Takes two readings of the base (one for its anchors and its digest, one for the parts that pieces need) and one of the
//! result. Needs about 64 MiB of memory whatever the sizes, and besides that the index: some 30 bytes for each piece.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};

use sha2::{Digest as _, Sha256};

use super::base_index::{BaseIndex, Builder};
use super::check::Check;
use super::choice::{Base, Choice};
use super::error::{Action, Error, Place};
use super::header::{Header, Whole};
use super::pace::{Pace, Phase, Progress, ask};
use super::piece::{Entry, Method};
use super::read_at::ReadAt;
use super::{LARGEST, PIECE};
use crate::model::Digest;

/// The delta that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub header: Header,
    /// Bytes of the delta.
    pub size: u64,
    pub pieces: Pieces,
}

/// The number of pieces that are made in each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pieces {
    pub zeros: u64,
    pub copy: u64,
    pub alone: u64,
    pub prefix: u64,
    pub recipe: u64,
}

/// A file that is read at many places, and its size.
#[derive(Debug)]
pub struct Input<'a, F: ?Sized> {
    pub file: &'a F,
    /// In bytes.
    pub size: u64,
}

impl<'a> Input<'a, File> {
    /// Takes a local file as it is now.
    pub fn of(file: &'a File, place: Place) -> Result<Self, Error> {
        let size = file.metadata().map_err(Action::Read.on(place))?.len();
        Ok(Self { file, size })
    }
}

/// Writes the delta from `base` to `result` into an empty file. Neither of them may change meanwhile. Fails with
/// [`Error::NotWorthIt`] as soon as it is clear that it would have more than `largest` bytes.
pub fn make<B: ReadAt + ?Sized, R: ReadAt + ?Sized>(
    base: &Input<'_, B>,
    result: &Input<'_, R>,
    to: &File,
    largest: u64,
    pace: &mut dyn Pace,
) -> Result<Made, Error> {
    if base.size.max(result.size) > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    let (index, base_digest) = index(base, pace)?;
    let mut maker = Maker::begin(to, largest)?;
    let mut source = Base { file: base.file, size: base.size, index: &index, buffer: Vec::new() };
    let mut sha = Sha256::new();
    each_piece(result, Place::Result, |offset, piece| {
        ask(pace, Progress { phase: Phase::Making, done: offset, total: result.size })?;
        sha.update(piece);
        maker.add(source.choose(piece, offset)?, piece)
    })?;
    let result_digest = Digest::from_bytes(sha.finalize().into());
    let base = Whole { size: base.size, digest: base_digest };
    maker.end(base, Whole { size: result.size, digest: result_digest })
}

fn index<B: ReadAt + ?Sized>(
    base: &Input<'_, B>,
    pace: &mut dyn Pace,
) -> Result<(BaseIndex, Digest), Error> {
    let mut builder = Builder::new();
    let mut sha = Sha256::new();
    each_piece(base, Place::Base, |offset, bytes| {
        ask(pace, Progress { phase: Phase::Indexing, done: offset, total: base.size })?;
        sha.update(bytes);
        builder.push(bytes);
        Ok(())
    })?;
    Ok((builder.finish(), Digest::from_bytes(sha.finalize().into())))
}

/// Reads a file piece by piece.
fn each_piece<F: ReadAt + ?Sized>(
    input: &Input<'_, F>,
    place: Place,
    mut work: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while offset < input.size {
        let count = usize::try_from(input.size - offset).map_or(PIECE, |rest| rest.min(PIECE));
        let bytes = &mut buffer[..count];
        input.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Changed { file: place },
            _ => Action::Read.on(place)(error),
        })?;
        work(offset, bytes)?;
        offset += count as u64;
    }
    Ok(())
}

/// A delta that is being written.
struct Maker<'a> {
    to: BufWriter<&'a File>,
    offset: u64,
    index: Vec<u8>,
    /// Pieces of zeros that are not in the index yet.
    zeros: u64,
    pieces: Pieces,
    /// The bytes that the delta may have.
    largest: u64,
}

impl<'a> Maker<'a> {
    fn begin(to: &'a File, largest: u64) -> Result<Self, Error> {
        let mut to = BufWriter::with_capacity(1 << 20, to);
        // The header needs what is known at the end.
        to.write_all(&[0; Header::LENGTH]).map_err(write_error)?;
        let offset = Header::LENGTH as u64;
        let (index, pieces) = (Vec::new(), Pieces::default());
        Ok(Self { to, offset, index, zeros: 0, pieces, largest })
    }

    fn add(&mut self, choice: Choice, piece: &[u8]) -> Result<(), Error> {
        let Choice::Made(method, payload) = choice else {
            self.zeros += 1;
            self.pieces.zeros += 1;
            return Ok(());
        };
        self.end_zeros();
        match &method {
            Method::Copy(_) => self.pieces.copy += 1,
            Method::Alone { .. } => self.pieces.alone += 1,
            Method::Prefix { .. } => self.pieces.prefix += 1,
            Method::Recipe { .. } => self.pieces.recipe += 1,
        }
        Entry::Piece(method, Check::of(piece)).put(&mut self.index);
        self.offset += payload.len() as u64;
        if self.offset + self.index.len() as u64 > self.largest {
            return Err(Error::NotWorthIt);
        }
        self.to.write_all(&payload).map_err(write_error)
    }

    fn end_zeros(&mut self) {
        if self.zeros > 0 {
            Entry::Zeros(std::mem::take(&mut self.zeros)).put(&mut self.index);
        }
    }

    fn end(mut self, base: Whole, result: Whole) -> Result<Made, Error> {
        self.end_zeros();
        let index_length = self.index.len() as u64;
        let index_check = Check::of(&self.index);
        let header = Header { base, result, index_offset: self.offset, index_length, index_check };
        let mut write = || {
            self.to.write_all(&self.index)?;
            self.to.seek(SeekFrom::Start(0))?;
            self.to.write_all(&header.to_bytes())?;
            self.to.flush()
        };
        write().map_err(write_error)?;
        Ok(Made { header, size: header.index_offset + index_length, pieces: self.pieces })
    }
}

fn write_error(source: io::Error) -> Error {
    Action::Write.on(Place::Delta)(source)
}
