//! The anchors of the base: where data that looks like a piece is found.

use super::anchors::{Anchors, Fingerprint};

/// The unit in which parts of the base are found and chosen.
pub(super) const BLOCK: usize = 32 << 10;
/// Anchors that are kept: 32 MiB of memory. Of a base with more of them each second, fourth, … is kept, chosen by its
/// fingerprint, so that pieces know which ones may be found.
const MOST: usize = 4 << 20;

/// An index that is being made.
#[derive(Debug)]
pub(super) struct Builder {
    anchors: Anchors,
    offset: u64,
    entries: Vec<Entry>,
    sampling: Sampling,
}

/// A fingerprint in the upper half, a block in the lower: they are sorted as one number.
type Entry = u64;

/// The index of a base.
#[derive(Debug)]
pub(super) struct BaseIndex {
    /// Sorted.
    entries: Vec<Entry>,
    sampling: Sampling,
}

/// The share of the anchors that is kept: those whose fingerprints end in so many zeros.
#[derive(Debug, Clone, Copy, Default)]
struct Sampling {
    zeros: u32,
}

impl Sampling {
    const fn keeps(self, fingerprint: Fingerprint) -> bool {
        fingerprint.trailing_zeros() >= self.zeros
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        let (anchors, sampling) = (Anchors::default(), Sampling::default());
        Self { anchors, offset: 0, entries: Vec::new(), sampling }
    }

    /// Takes the next bytes of the base.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Self { anchors, offset, entries, sampling } = self;
        anchors.through(bytes, |fingerprint, place| {
            if !sampling.keeps(fingerprint) {
                return;
            }
            let block = (*offset + place as u64) / BLOCK as u64;
            entries.push(u64::from(fingerprint) << 32 | block);
            if entries.len() >= MOST {
                sampling.zeros += 1;
                entries.retain(|entry| sampling.keeps(upper_half(*entry)));
            }
        });
        *offset += bytes.len() as u64;
    }

    pub(super) fn finish(mut self) -> BaseIndex {
        self.entries.sort_unstable();
        self.entries.dedup();
        BaseIndex { entries: self.entries, sampling: self.sampling }
    }
}

impl BaseIndex {
    /// Returns the blocks that have this anchor.
    pub(super) fn blocks(
        &self,
        fingerprint: Fingerprint,
    ) -> impl ExactSizeIterator<Item = u64> + Clone {
        let all = &self.entries;
        let first = if self.sampling.keeps(fingerprint) {
            all.partition_point(|entry| upper_half(*entry) < fingerprint)
        } else {
            all.len()
        };
        let equal = all[first..].iter().take_while(|entry| upper_half(**entry) == fingerprint);
        all[first..first + equal.count()].iter().map(|entry| entry & u64::from(u32::MAX))
    }
}

const fn upper_half(entry: Entry) -> Fingerprint {
    let [.., a, b, c, d] = entry.to_le_bytes();
    Fingerprint::from_le_bytes([a, b, c, d])
}
