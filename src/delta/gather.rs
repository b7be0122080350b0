//! Chooses the parts of the base that look most like a piece.
//!
//! Each anchor of the piece that the base has, too, votes for the blocks in which it lies. The blocks with the most votes
//! are taken, then their neighbours, until there is as much as a piece may use. So a piece finds its data also where
//! files were written in another order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::PIECE;
use super::anchors::Anchors;
use super::base_index::{BLOCK, BaseIndex};
use super::ranges::{Range, Ranges};

/// Blocks of a piece.
const MOST: usize = Ranges::LARGEST / BLOCK;
/// Anchors that lie in more blocks than this say nothing.
const COMMON: usize = 8;
/// The weight of an anchor, shared among the blocks in which it lies.
const VOTE: u64 = 64;
/// The share of its votes that a block gives to each neighbour.
const TO_NEIGHBOUR: u64 = 4;

/// Returns the ranges of a base of this size for a piece at this offset, or none if the base is empty.
pub(super) fn gather(
    index: &BaseIndex,
    piece: &[u8],
    offset: u64,
    base_size: u64,
) -> Option<Ranges> {
    let all = base_size.div_ceil(BLOCK as u64);
    let mut chosen: BTreeSet<u64> = BTreeSet::new();
    let mut ranked: Vec<_> = scores(index, piece, offset, all).into_iter().collect();
    ranked.sort_unstable_by_key(|(block, score)| (Reverse(*score), *block));
    chosen.extend(ranked.into_iter().take(MOST).map(|(block, _)| block));
    grow(&mut chosen, all);
    ranges(&chosen, base_size)
}

/// Returns the scores of blocks; `all` is the number of blocks of the base.
fn scores(index: &BaseIndex, piece: &[u8], offset: u64, all: u64) -> BTreeMap<u64, u64> {
    let mut votes: BTreeMap<u64, u64> = BTreeMap::new();
    Anchors::default().through(piece, |fingerprint, _| {
        let blocks = index.blocks(fingerprint);
        let count = blocks.len();
        if count <= COMMON {
            for block in blocks {
                *votes.entry(block).or_default() += VOTE / count as u64;
            }
        }
    });
    // The same place is better than any other about which nothing is known.
    let here = offset / BLOCK as u64;
    for block in here..(here + (PIECE / BLOCK) as u64).min(all) {
        *votes.entry(block).or_default() += 1;
    }
    let mut scores = BTreeMap::new();
    for (block, votes) in votes {
        *scores.entry(block).or_default() += votes * TO_NEIGHBOUR;
        for neighbour in [block.checked_sub(1), Some(block + 1)].into_iter().flatten() {
            if neighbour < all {
                *scores.entry(neighbour).or_default() += votes;
            }
        }
    }
    scores
}

/// Adds neighbours of the chosen blocks until there are as many as a piece may have.
fn grow(chosen: &mut BTreeSet<u64>, all: u64) {
    let most = MOST.min(usize::try_from(all).unwrap_or(MOST));
    if chosen.is_empty() && all > 0 {
        chosen.insert(all - 1);
    }
    while chosen.len() < most {
        let neighbours = chosen.iter().flat_map(|block| [block.checked_sub(1), Some(block + 1)]);
        let new: BTreeSet<u64> =
            neighbours.flatten().filter(|block| *block < all && !chosen.contains(block)).collect();
        let room = most - chosen.len();
        chosen.extend(new.into_iter().take(room));
    }
}

/// Joins blocks that follow each other.
fn ranges(chosen: &BTreeSet<u64>, base_size: u64) -> Option<Ranges> {
    let mut joined: Vec<Range> = Vec::new();
    for block in chosen {
        let offset = block * BLOCK as u64;
        let length = u32::try_from((base_size - offset).min(BLOCK as u64)).ok()?;
        match joined.last_mut() {
            Some(last) if last.offset + u64::from(last.length) == offset => last.length += length,
            _ => joined.push(Range { offset, length }),
        }
    }
    Ranges::new(joined)
}
