//! Recipes: the steps that make a piece from ranges of the base, as bytes.
//!
//! bsdiff stores the difference of each byte, which is nearly always 0, and leaves the zeros to the compressor. Here the
//! places and the values of the bytes that differ are stored, each kind of number in a sequence of its own: they are
//! smaller, and there is so little left to compress that the best level of zstd costs little. See [`super`] for the
//! bytes.

use super::LONGEST_RECIPE;
use super::difference::Step;
use super::varint::{Bytes, put, put_signed};

/// A recipe that is being written.
#[derive(Debug, Default)]
pub(super) struct Recipe {
    steps: u64,
    patches: u64,
    adds: Vec<u8>,
    inserts: Vec<u8>,
    seeks: Vec<u8>,
    gaps: Vec<u8>,
    lengths: Vec<u8>,
    values: Vec<u8>,
    inserted: Vec<u8>,
    /// Equal bytes since the last patch.
    gap: u64,
}

impl Recipe {
    /// Writes down the steps that turn `old` into `new`.
    pub(super) fn of(steps: &[Step], old: &[u8], new: &[u8]) -> Self {
        let mut recipe = Self::default();
        let mut rest = new;
        let mut end = 0;
        for step in steps {
            recipe.steps += 1;
            put(&mut recipe.adds, step.add as u64);
            put(&mut recipe.inserts, step.insert as u64);
            put_signed(&mut recipe.seeks, distance(end, step.old));
            end = step.old + step.add;
            let (added, after) = rest.split_at(step.add);
            recipe.patch(&old[step.old..end], added);
            let (inserted, after) = after.split_at(step.insert);
            recipe.inserted.extend_from_slice(inserted);
            rest = after;
        }
        recipe
    }

    fn patch(&mut self, mut old: &[u8], mut new: &[u8]) {
        loop {
            let equal = super::matches::common(old, new);
            self.gap += equal as u64;
            (old, new) = (&old[equal..], &new[equal..]);
            let differs = old.iter().zip(new).take_while(|(old, new)| old != new);
            let values = differs.map(|(old, new)| new.wrapping_sub(*old));
            let before = self.values.len();
            self.values.extend(values);
            let length = self.values.len() - before;
            if length == 0 {
                return;
            }
            self.patches += 1;
            put(&mut self.gaps, std::mem::take(&mut self.gap));
            put(&mut self.lengths, length as u64 - 1);
            (old, new) = (&old[length..], &new[length..]);
        }
    }

    /// Returns the number of bytes that are not taken from the base.
    pub(super) const fn inserted(&self) -> usize {
        self.inserted.len()
    }

    /// Reports whether all bytes are taken from the base as they are.
    pub(super) const fn only_copies(&self) -> bool {
        self.patches == 0 && self.inserted.is_empty()
    }

    /// Returns the bytes, unless they are more than a reader takes.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.steps);
        put(&mut bytes, self.patches);
        for part in [
            &self.adds,
            &self.inserts,
            &self.seeks,
            &self.gaps,
            &self.lengths,
            &self.values,
            &self.inserted,
        ] {
            bytes.extend_from_slice(part);
        }
        (bytes.len() <= LONGEST_RECIPE).then_some(bytes)
    }
}

fn distance(from: usize, to: usize) -> i64 {
    // Both are less than a few MiB.
    i64::try_from(to).unwrap_or(0) - i64::try_from(from).unwrap_or(0)
}

/// Makes a piece of this length by a recipe, or returns `None` if the recipe does not fit.
pub(super) fn follow(recipe: &[u8], old: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut rest = Bytes(recipe);
    let (steps, patches) = (rest.length()?, rest.length()?);
    let mut adds = rest.numbers(steps)?;
    let mut inserts = rest.numbers(steps)?;
    let mut seeks = rest.numbers(steps)?;
    let mut patches = Patches::take(&mut rest, patches)?;
    let mut piece = Vec::with_capacity(length);
    let mut end = 0_usize;
    for _ in 0..steps {
        let (add, insert) = (adds.length()?, inserts.length()?);
        let start = end.checked_add_signed(seeks.signed()?.try_into().ok()?)?;
        end = start.checked_add(add)?;
        let bytes = old.get(start..end)?;
        if add.checked_add(insert)? > length - piece.len() {
            return None;
        }
        let from = piece.len();
        piece.extend_from_slice(bytes);
        patches.apply(&mut piece[from..])?;
        piece.extend_from_slice(rest.take(insert)?);
    }
    (piece.len() == length && rest.is_empty() && patches.gap.is_none()).then_some(piece)
}

/// The differences that are not applied yet.
struct Patches<'a> {
    gaps: Bytes<'a>,
    lengths: Bytes<'a>,
    values: Bytes<'a>,
    /// Bytes that stay as they are before the next patch; none when there is no patch left.
    gap: Option<usize>,
}

impl<'a> Patches<'a> {
    fn take(rest: &mut Bytes<'a>, count: usize) -> Option<Self> {
        let mut gaps = rest.numbers(count)?;
        let lengths = rest.numbers(count)?;
        let mut total = 0_usize;
        let mut counted = lengths;
        while !counted.is_empty() {
            total = total.checked_add(counted.length()?)?.checked_add(1)?;
        }
        let values = Bytes(rest.take(total)?);
        let gap = if gaps.is_empty() { None } else { Some(gaps.length()?) };
        Some(Self { gaps, lengths, values, gap })
    }

    /// Changes what a step has taken from the old data.
    fn apply(&mut self, mut bytes: &mut [u8]) -> Option<()> {
        while let Some(gap) = self.gap {
            if gap >= bytes.len() {
                self.gap = Some(gap - bytes.len());
                return Some(());
            }
            let length = self.lengths.length()?.checked_add(1)?;
            let (patched, after) = bytes[gap..].split_at_mut_checked(length)?;
            for (byte, value) in patched.iter_mut().zip(self.values.take(length)?) {
                *byte = byte.wrapping_add(*value);
            }
            bytes = after;
            self.gap = if self.gaps.is_empty() { None } else { Some(self.gaps.length()?) };
        }
        Some(())
    }
}
