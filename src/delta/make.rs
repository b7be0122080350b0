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
use super::read_at::fill_at;
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

/// How many pieces are made in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pieces {
    pub zeros: u64,
    pub copy: u64,
    pub alone: u64,
    pub prefix: u64,
    pub recipe: u64,
}

/// Writes the delta from `base` to `result` into an empty file. Neither of them may change meanwhile.
pub fn make(base: &File, result: &File, to: &File, pace: &mut dyn Pace) -> Result<Made, Error> {
    let base_size = size(base, Place::Base)?;
    let result_size = size(result, Place::Result)?;
    let (index, base_digest) = index(base, base_size, pace)?;
    let mut maker = Maker::begin(to)?;
    let mut source = Base { file: base, size: base_size, index: &index, buffer: Vec::new() };
    let mut sha = Sha256::new();
    each_piece(result, Place::Result, result_size, |offset, piece| {
        ask(pace, Progress { phase: Phase::Making, done: offset, total: result_size })?;
        sha.update(piece);
        maker.add(source.choose(piece, offset)?, piece)
    })?;
    let result_digest = Digest::from_bytes(sha.finalize().into());
    let base = Whole { size: base_size, digest: base_digest };
    maker.end(base, Whole { size: result_size, digest: result_digest })
}

fn size(file: &File, place: Place) -> Result<u64, Error> {
    let size = file.metadata().map_err(Action::Read.on(place))?.len();
    if size > LARGEST { Err(Error::TooLarge { limit: LARGEST }) } else { Ok(size) }
}

fn index(base: &File, size: u64, pace: &mut dyn Pace) -> Result<(BaseIndex, Digest), Error> {
    let mut builder = Builder::new();
    let mut sha = Sha256::new();
    each_piece(base, Place::Base, size, |offset, bytes| {
        ask(pace, Progress { phase: Phase::Indexing, done: offset, total: size })?;
        sha.update(bytes);
        builder.push(bytes);
        Ok(())
    })?;
    Ok((builder.finish(), Digest::from_bytes(sha.finalize().into())))
}

/// Reads a file piece by piece.
fn each_piece(
    file: &File,
    place: Place,
    size: u64,
    mut work: impl FnMut(u64, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while offset < size {
        let count = fill_at(file, &mut buffer, offset).map_err(Action::Read.on(place))?;
        if count as u64 != (size - offset).min(PIECE as u64) {
            return Err(Error::Changed { file: place });
        }
        work(offset, &buffer[..count])?;
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
}

impl<'a> Maker<'a> {
    fn begin(to: &'a File) -> Result<Self, Error> {
        let mut to = BufWriter::with_capacity(1 << 20, to);
        // The header needs what is known at the end.
        to.write_all(&[0; Header::LENGTH]).map_err(write_error)?;
        let offset = Header::LENGTH as u64;
        Ok(Self { to, offset, index: Vec::new(), zeros: 0, pieces: Pieces::default() })
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
