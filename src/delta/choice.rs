//! Makes one piece in the way that takes the fewest bytes.

use super::base_index::BaseIndex;
use super::difference::{Step, steps};
use super::error::Error;
use super::frame::{Effort, compress};
use super::gather::gather;
use super::piece::Method;
use super::ranges::{Range, Ranges};
use super::read_at::ReadAt;
use super::recipe::Recipe;
use super::zeros::is_zero;
use super::{LONGEST_PAYLOAD, PIECE};

/// A way to make a piece, with the payload.
#[derive(Debug)]
pub(super) enum Choice {
    Zeros,
    Made(Method, Vec<u8>),
}

/// From so many new bytes in a recipe on, other ways may be smaller.
const MUCH_NEW: usize = 64 << 10;
/// A frame that saves less than a sixteenth is not made anew with more effort.
const WORTH_EFFORT: usize = 16;

/// The base as it is used for pieces.
pub(super) struct Base<'a, B: ?Sized> {
    pub file: &'a B,
    pub size: u64,
    pub index: &'a BaseIndex,
    /// The ranges of the piece at work.
    pub buffer: Vec<u8>,
}

impl<B: ReadAt + ?Sized> Base<'_, B> {
    /// Chooses the way to make the piece at this offset.
    pub(super) fn choose(&mut self, piece: &[u8], offset: u64) -> Result<Choice, Error> {
        if is_zero(piece) {
            return Ok(Choice::Zeros);
        }
        if let Some(ranges) = self.same_place(piece, offset)? {
            return Ok(Choice::Made(Method::Copy(ranges), Vec::new()));
        }
        if let Some(ranges) = gather(self.index, piece, offset, self.size) {
            return self.compare(piece, ranges);
        }
        let (method, frame) = alone(piece, Effort::Thorough)?;
        Ok(Choice::Made(method, frame))
    }

    /// Returns the range at the same offset if the piece is there, as in images that were changed in place.
    fn same_place(&mut self, piece: &[u8], offset: u64) -> Result<Option<Ranges>, Error> {
        let length = u32::try_from(piece.len()).unwrap_or(0);
        if offset + u64::from(length) > self.size {
            return Ok(None);
        }
        let Some(ranges) = Ranges::new(vec![Range { offset, length }]) else { return Ok(None) };
        ranges.read(self.file, &mut self.buffer)?;
        Ok((self.buffer == piece).then_some(ranges))
    }

    fn compare(&mut self, piece: &[u8], ranges: Ranges) -> Result<Choice, Error> {
        ranges.read(self.file, &mut self.buffer)?;
        let old = self.buffer.as_slice();
        let steps = steps(old, piece);
        let recipe = Recipe::of(&steps, old, piece);
        if recipe.only_copies()
            && let Some(ranges) = copied(&steps, &ranges)
        {
            return Ok(Choice::Made(Method::Copy(ranges), Vec::new()));
        }
        let mut best = None;
        if let Some(bytes) = recipe.to_bytes() {
            let frame = thorough(&bytes, recipe.inserted() > PIECE / 2)?;
            let payload = length(&frame);
            best = smaller(best, Method::Recipe { payload, ranges: ranges.clone() }, frame);
        }
        if recipe.inserted() > MUCH_NEW {
            let frame = compress(piece, old, Effort::Quick)?;
            let payload = length(&frame);
            best = smaller(best, Method::Prefix { payload, ranges }, frame);
            let (method, frame) = alone(piece, Effort::Quick)?;
            best = smaller(best, method, frame);
        }
        let (method, frame) = match best {
            Some(best) => best,
            None => alone(piece, Effort::Quick)?,
        };
        Ok(Choice::Made(method, frame))
    }
}

/// Compresses a recipe. One that consists of new bytes is tried first: they may be compressed already.
fn thorough(recipe: &[u8], mostly_new: bool) -> Result<Vec<u8>, Error> {
    if mostly_new {
        let quick = compress(recipe, &[], Effort::Quick)?;
        if quick.len() > recipe.len() - recipe.len() / WORTH_EFFORT {
            return Ok(quick);
        }
    }
    compress(recipe, &[], Effort::Thorough)
}

/// A way to make a piece, with the payload.
type Way = (Method, Vec<u8>);

fn alone(piece: &[u8], effort: Effort) -> Result<Way, Error> {
    let frame = compress(piece, &[], effort)?;
    Ok((Method::Alone { payload: length(&frame) }, frame))
}

fn length(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).unwrap_or(u32::MAX)
}

/// Returns the smaller one of two ways; the first stays if both are alike.
fn smaller(best: Option<Way>, method: Method, frame: Vec<u8>) -> Option<Way> {
    match &best {
        Some((_, other)) if other.len() <= frame.len() => best,
        _ if length(&frame) > LONGEST_PAYLOAD => best,
        _ => Some((method, frame)),
    }
}

/// Returns the ranges of the base that the steps copy, if they are not too many.
fn copied(steps: &[Step], ranges: &Ranges) -> Option<Ranges> {
    let mut copied: Vec<Range> = Vec::new();
    for step in steps {
        let (mut skip, mut left) = (step.old as u64, step.add as u64);
        for range in ranges.list() {
            let length = u64::from(range.length);
            let taken = length.saturating_sub(skip).min(left);
            let offset = range.offset + skip.min(length);
            skip = skip.saturating_sub(length);
            left -= taken;
            let taken = u32::try_from(taken).ok()?;
            match copied.last_mut() {
                _ if taken == 0 => {}
                Some(last) if last.offset + u64::from(last.length) == offset => {
                    last.length += taken;
                }
                _ => copied.push(Range { offset, length: taken }),
            }
        }
    }
    Ranges::new(copied)
}
