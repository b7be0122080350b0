//! Finds equal bytes in the old data of a piece.
//!
//! Chains of all places with the same eight bytes, as compressors have them. A suffix array, which bsdiff uses, finds the
//! longest match always, but building it for 2 MiB costs more than everything else here, and what it finds in addition
//! saves next to nothing.

/// The length of what is looked up; shorter matches are not worth a step.
const KEY: usize = 8;
const TABLE_BITS: u32 = 20;
/// The number of places that are tried for one key.
const DEPTH: usize = 32;
/// A match of this length in line with the last one needs no search for a better one.
const LONG_ENOUGH: usize = 64;
/// Bytes that are compared for one piece at most. Data that repeats itself would take for ever otherwise; it is compared
/// in line with the last match alone, once this is used up.
const BUDGET: usize = 256 << 20;
const NOWHERE: u32 = u32::MAX;

/// A match: bytes of the old data that are equal to those that were looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Match {
    pub old: usize,
    pub length: usize,
}

/// The old data, prepared for searches.
pub(super) struct Matches<'a> {
    old: &'a [u8],
    /// The last place of each hash.
    last: Vec<u32>,
    /// The place before with the same hash, for each place.
    before: Vec<u32>,
    budget: usize,
}

impl<'a> Matches<'a> {
    pub(super) fn of(old: &'a [u8]) -> Self {
        let mut last = vec![NOWHERE; 1 << TABLE_BITS];
        let mut before = vec![NOWHERE; old.len()];
        for (place, (bytes, before)) in old.windows(KEY).zip(&mut before).enumerate() {
            let slot = &mut last[slot(key(bytes))];
            *before = std::mem::replace(slot, u32::try_from(place).unwrap_or(NOWHERE));
        }
        Self { old, last, before, budget: BUDGET }
    }

    /// Looks up the start of `new`. `in_line` is the place that continues the last match, if it is in the old data.
    pub(super) fn find(&mut self, new: &[u8], in_line: Option<usize>) -> Match {
        let mut best = Match::default();
        if let Some(old) = in_line {
            let length = common(&self.old[old..], new);
            if length > 0 {
                best = Match { old, length };
            }
        }
        if best.length >= LONG_ENOUGH || new.len() < KEY || self.budget == 0 {
            return best;
        }
        let wanted = key(new);
        let mut place = self.last[slot(wanted)];
        for _ in 0..DEPTH {
            let Some(bytes) = usize::try_from(place).ok().and_then(|at| self.old.get(at..)) else {
                break;
            };
            if key(bytes) == wanted {
                let length = common(bytes, new);
                self.budget = self.budget.saturating_sub(length);
                if length > best.length {
                    best = Match { old: self.old.len() - bytes.len(), length };
                }
            }
            place = self.before[self.old.len() - bytes.len()];
        }
        best
    }
}

/// The first eight bytes, or 0 if there are fewer.
fn key(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |key| u64::from_le_bytes(*key))
}

fn slot(key: u64) -> usize {
    let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - TABLE_BITS);
    usize::try_from(hash).unwrap_or(0)
}

/// Returns the number of equal bytes at the start.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let (words, others) = (one.as_chunks::<KEY>().0, other.as_chunks::<KEY>().0);
    let equal = words.iter().zip(others).take_while(|(one, other)| one == other).count() * KEY;
    let rest = one[equal..].iter().zip(&other[equal..]);
    equal + rest.take_while(|(one, other)| one == other).count()
}
