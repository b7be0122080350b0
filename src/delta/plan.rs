//! Decides which bytes of a file have to be fetched if older files are at hand: a pure function of chunk lists.

use std::collections::HashMap;

use super::check::Check;
use super::chunks::{Chunk, ChunkList, Content};

/// The chunks that are at hand: those of files that a client has, by their checks.
///
/// The checks are those of files as they are now: whoever plans with the list of an older revision computes the chunks of
/// the file on the disk, or verifies each chunk while copying it.
#[derive(Debug, Default)]
pub struct Seeds {
    /// The first place of each chunk, with its length.
    chunks: HashMap<Check, (Place, u64)>,
    count: usize,
}

/// A place in one of the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seed: usize,
    offset: u64,
}

/// The source of some bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// They are zeros: a hole.
    Zeros,
    /// They are in a seed, counted in the order in which the seeds were added, at this offset.
    Seed { seed: usize, offset: u64 },
    /// They are in the file itself, earlier, at this offset.
    Earlier { offset: u64 },
    /// They are fetched.
    Fetch,
}

/// Bytes of the file with one source. Successive bytes of a seed are one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub offset: u64,
    pub length: u64,
    pub source: Source,
}

/// The steps that make a file, from its start to its end, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
}

impl Seeds {
    /// Adds a file, and returns its number.
    pub fn add(&mut self, list: &ChunkList) -> usize {
        let seed = self.count;
        self.count += 1;
        for chunk in list.chunks() {
            if let Content::Data(check) = chunk.content {
                let place = Place { seed, offset: chunk.offset };
                self.chunks.entry(check).or_insert((place, chunk.length));
            }
        }
        seed
    }

    fn find(&self, check: &Check, length: u64) -> Option<Place> {
        self.chunks.get(check).filter(|(_, other)| *other == length).map(|(place, _)| *place)
    }
}

impl Step {
    const fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Takes the next step in if it goes on where this one ends, in the file and in the source.
    fn join(&mut self, next: &Self) -> bool {
        let goes_on = match (self.source, next.source) {
            (Source::Zeros, Source::Zeros) | (Source::Fetch, Source::Fetch) => true,
            (Source::Seed { seed, offset }, Source::Seed { seed: other, offset: at }) => {
                seed == other && offset + self.length == at
            }
            (Source::Earlier { offset }, Source::Earlier { offset: at }) => {
                offset + self.length == at
            }
            _ => false,
        };
        if goes_on {
            self.length += next.length;
        }
        goes_on
    }
}

impl Plan {
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the ranges that are fetched, as offset and length: one request each.
    pub fn fetches(&self) -> impl Iterator<Item = (u64, u64)> {
        let is_fetched = |step: &&Step| step.source == Source::Fetch;
        self.steps.iter().filter(is_fetched).map(|step| (step.offset, step.length))
    }

    pub fn bytes_to_fetch(&self) -> u64 {
        self.fetches().map(|(_, length)| length).sum()
    }
}

/// Reports whether it is worth a request for each range to fetch so many bytes of a file of this size: at least a
/// sixteenth is saved. The whole file comes in one request that any cache can keep.
pub const fn is_worth_ranges(size: u64, bytes_to_fetch: u64) -> bool {
    bytes_to_fetch <= size - size / 16
}

/// Plans a file. Gaps between two fetched ranges that are shorter than `shortest_gap` are fetched as well, because a
/// request costs more than they do.
pub fn plan(target: &ChunkList, seeds: &Seeds, shortest_gap: u64) -> Plan {
    let mut own: HashMap<Check, u64> = HashMap::new();
    let mut steps: Vec<Step> = Vec::new();
    for chunk in target.chunks() {
        push(
            &mut steps,
            Step {
                offset: chunk.offset,
                length: chunk.length,
                source: source(chunk, seeds, &mut own),
            },
        );
    }
    Plan { steps: close_gaps(&steps, shortest_gap) }
}

fn source(chunk: &Chunk, seeds: &Seeds, own: &mut HashMap<Check, u64>) -> Source {
    let Content::Data(check) = chunk.content else { return Source::Zeros };
    if let Some(Place { seed, offset }) = seeds.find(&check, chunk.length) {
        return Source::Seed { seed, offset };
    }
    match own.entry(check) {
        std::collections::hash_map::Entry::Occupied(first) => {
            Source::Earlier { offset: *first.get() }
        }
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(chunk.offset);
            Source::Fetch
        }
    }
}

fn push(steps: &mut Vec<Step>, step: Step) {
    if !steps.last_mut().is_some_and(|last| last.join(&step)) {
        steps.push(step);
    }
}

/// Fetches short gaps between two fetches.
fn close_gaps(steps: &[Step], shortest_gap: u64) -> Vec<Step> {
    let mut closed: Vec<Step> = Vec::new();
    let mut gap: Vec<Step> = Vec::new();
    for step in steps {
        if step.source != Source::Fetch {
            gap.push(*step);
            continue;
        }
        let length: u64 = gap.iter().map(|step| step.length).sum();
        let is_between = closed.last().is_some_and(|last| last.source == Source::Fetch);
        for mut part in gap.drain(..) {
            if is_between && length < shortest_gap {
                part.source = Source::Fetch;
            }
            push(&mut closed, part);
        }
        push(&mut closed, *step);
    }
    closed.extend(gap);
    debug_assert_eq!(closed.last().map(Step::end), steps.last().map(Step::end));
    closed
}
