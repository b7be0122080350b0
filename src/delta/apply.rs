//! Applies a delta: makes the result from the base.
//!
//! The file of the result may already have pieces from an attempt that was interrupted: those that are right at its start
//! are kept, the rest is made anew. Nothing has to be remembered for that, and a crash that lost written bytes does no
//! harm. Needs about 16 MiB of memory whatever the sizes.

use std::fs::File;
use std::io;

use sha2::{Digest as _, Sha256};

use super::check::Check;
use super::entries::{Delta, Part};
use super::error::{Action, Error, Place};
use super::frame::decompress;
use super::pace::{Pace, Phase, Progress, ask};
use super::piece::Method;
use super::read_at::ReadAt;
use super::recipe::follow;
use super::zeros::{is_zero, write_sparse};
use super::{LONGEST_RECIPE, PIECE};
use crate::model::Digest;

/// The work that a delta took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Bytes of the result that an earlier attempt had made.
    pub kept: u64,
    /// Bytes of the delta that were read for pieces.
    pub payload: u64,
}

/// Makes the result in a file that is open for reading and writing. It is complete only if this returns `Ok`; the caller
/// syncs it. `base_size` is the size of the base.
pub fn apply<B: ReadAt + ?Sized, D: ReadAt + ?Sized>(
    base: &B,
    base_size: u64,
    delta: &Delta<'_, D>,
    to: &File,
    pace: &mut dyn Pace,
) -> Result<Applied, Error> {
    let header = delta.header();
    if header.base.size != base_size {
        return Err(Error::BaseSize { expected: header.base.size, actual: base_size });
    }
    let mut output = Output::open(to)?;
    let mut pieces = PieceMaker { base, delta: delta.file(), old: Vec::new(), payload: Vec::new() };
    let mut applied = Applied::default();
    for part in delta.parts() {
        match part? {
            Part::Zeros { offset, length } => {
                let end = offset + length;
                for offset in (offset..end).step_by(PIECE) {
                    let length = (end - offset).min(PIECE as u64);
                    output.zeros(
                        usize::try_from(length).unwrap_or(PIECE),
                        pace,
                        header.result.size,
                    )?;
                }
            }
            Part::Piece { offset, length, method, payload_offset, check } => {
                ask(
                    pace,
                    Progress { phase: Phase::Applying, done: offset, total: header.result.size },
                )?;
                if !output.has(length, |bytes| Check::of(bytes) == check)? {
                    let piece = pieces.make(&method, payload_offset, length)?;
                    let piece = piece.filter(|piece| Check::of(piece) == check);
                    output.write(&piece.ok_or(Error::Piece { piece: offset / PIECE as u64 })?)?;
                    applied.payload += u64::from(method.payload());
                }
            }
        }
    }
    applied.kept = output.kept;
    output.end(header.result.digest)?;
    Ok(applied)
}

/// Makes pieces from the base and their payloads.
struct PieceMaker<'a, B: ?Sized, D: ?Sized> {
    base: &'a B,
    delta: &'a D,
    old: Vec<u8>,
    payload: Vec<u8>,
}

impl<B: ReadAt + ?Sized, D: ReadAt + ?Sized> PieceMaker<'_, B, D> {
    /// Makes a piece; `None` if the payload is none for it.
    fn make(
        &mut self,
        method: &Method,
        payload_offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.payload.resize(usize::try_from(method.payload()).unwrap_or(0), 0);
        let read = self.delta.read_exact_at(&mut self.payload, payload_offset);
        read.map_err(Action::Read.on(Place::Delta))?;
        let payload = self.payload.as_slice();
        let piece = match method {
            Method::Copy(ranges) => {
                ranges.read(self.base, &mut self.old)?;
                Some(self.old.clone())
            }
            Method::Alone { .. } => decompress(payload, &[], length),
            Method::Prefix { ranges, .. } => {
                ranges.read(self.base, &mut self.old)?;
                decompress(payload, &self.old, length)
            }
            Method::Recipe { ranges, .. } => {
                ranges.read(self.base, &mut self.old)?;
                decompress(payload, &[], LONGEST_RECIPE)
                    .and_then(|recipe| follow(&recipe, &self.old, length))
            }
        };
        Ok(piece.filter(|piece| piece.len() == length))
    }
}

/// The file of the result.
struct Output<'a> {
    file: &'a File,
    /// Bytes that are right.
    done: u64,
    /// Bytes of an earlier attempt, as long as they were right.
    existing: u64,
    kept: u64,
    sha: Sha256,
    buffer: Vec<u8>,
}

impl<'a> Output<'a> {
    fn open(file: &'a File) -> Result<Self, Error> {
        let existing = file.metadata().map_err(write_error)?.len();
        let (sha, buffer) = (Sha256::new(), vec![0; PIECE]);
        Ok(Self { file, done: 0, existing, kept: 0, sha, buffer })
    }

    /// Reports whether the next bytes are there from an earlier attempt, and goes on behind them. If they are not right,
    /// all that follows is thrown away.
    fn has(&mut self, length: usize, is_right: impl Fn(&[u8]) -> bool) -> Result<bool, Error> {
        let end = self.done + length as u64;
        if self.existing >= end {
            let bytes = &mut self.buffer[..length];
            self.file.read_exact_at(bytes, self.done).map_err(write_error)?;
            if is_right(bytes) {
                self.sha.update(bytes);
                (self.done, self.kept) = (end, end);
                return Ok(true);
            }
        }
        if self.existing > 0 {
            self.existing = 0;
            self.file.set_len(self.done).map_err(write_error)?;
        }
        Ok(false)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sha.update(bytes);
        write_sparse(self.file, bytes, self.done).map_err(write_error)?;
        self.done += bytes.len() as u64;
        self.file.set_len(self.done).map_err(write_error)
    }

    fn zeros(&mut self, length: usize, pace: &mut dyn Pace, total: u64) -> Result<(), Error> {
        ask(pace, Progress { phase: Phase::Applying, done: self.done, total })?;
        if !self.has(length, is_zero)? {
            self.buffer[..length].fill(0);
            self.sha.update(&self.buffer[..length]);
            self.done += length as u64;
            self.file.set_len(self.done).map_err(write_error)?;
        }
        Ok(())
    }

    /// Cuts off what an earlier attempt had too much, and compares the whole.
    fn end(self, digest: Digest) -> Result<(), Error> {
        self.file.set_len(self.done).map_err(write_error)?;
        let found = Digest::from_bytes(self.sha.finalize().into());
        if found == digest {
            return Ok(());
        }
        // The next attempt would keep it.
        self.file.set_len(0).map_err(write_error)?;
        Err(Error::Result)
    }
}

fn write_error(source: io::Error) -> Error {
    Action::Write.on(Place::Result)(source)
}
