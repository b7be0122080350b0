//! Divides a stream of bytes into runs of zeros and content-defined chunks.

use fastcdc::v2020::FastCDC;

use super::{AVERAGE, LONGEST, SHORTEST, SHORTEST_ZEROS};
use crate::delta::zeros::{BLOCK, is_zero};

/// A part of the stream, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Zeros(u64),
    Data(&'a [u8]),
}

/// The stream so far.
#[derive(Debug, Default)]
pub(super) struct Chunker {
    /// Data that is not divided yet.
    data: Vec<u8>,
    /// Zeros after the data that are not known to be a run of their own yet.
    zeros: u64,
}

/// Data is divided when this much has come together.
const ENOUGH: usize = 1 << 20;

impl Chunker {
    /// Takes the next bytes; all but the last call bring a multiple of 4 KiB.
    pub(super) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        emit: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let zeros = blocks(bytes, is_zero);
            self.zeros += zeros as u64;
            bytes = &bytes[zeros..];
            let data = blocks(bytes, |block| !is_zero(block));
            if data > 0 {
                self.end_zeros(emit)?;
                self.data.extend_from_slice(&bytes[..data]);
                bytes = &bytes[data..];
            }
            if self.data.len() >= ENOUGH {
                self.divide(LONGEST, emit)?;
            }
        }
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish<E>(
        mut self,
        emit: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.end_zeros(emit)?;
        self.divide(0, emit)
    }

    /// Decides about the zeros, because something else follows.
    fn end_zeros<E>(&mut self, emit: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        let zeros = std::mem::take(&mut self.zeros);
        if zeros >= SHORTEST_ZEROS as u64 {
            self.divide(0, emit)?;
            return emit(Part::Zeros(zeros));
        }
        self.data.resize(self.data.len() + usize::try_from(zeros).unwrap_or(0), 0);
        Ok(())
    }

    /// Divides the data while more than `keep` of it is left: the end of a chunk depends on what follows.
    fn divide<E>(
        &mut self,
        keep: usize,
        emit: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let chunker = FastCDC::new(&self.data, SHORTEST, AVERAGE, LONGEST);
        let mut start = 0;
        while self.data.len() - start > keep {
            let (_, end) = chunker.cut(start, self.data.len() - start);
            emit(Part::Data(&self.data[start..end]))?;
            start = end;
        }
        self.data.drain(..start);
        Ok(())
    }
}

fn blocks(bytes: &[u8], is: impl Fn(&[u8]) -> bool) -> usize {
    bytes.chunks(BLOCK).take_while(|block| is(block)).map(<[u8]>::len).sum()
}
