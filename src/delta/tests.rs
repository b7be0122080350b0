//! Deltas from end to end: whatever was done to a file, the delta brings the new one; whatever was done to the delta, no
//! wrong file comes out.

mod hostile;
mod plans;
mod round_trips;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use super::{Applied, Delta, Error, Input, Made, Unpaced, apply, make};

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn input(bytes: &[u8]) -> Input<'_, [u8]> {
    Input { file: bytes, size: bytes.len() as u64 }
}

/// The delta that turns one into the other.
fn delta(old: &[u8], new: &[u8]) -> (Vec<u8>, Made) {
    let to = tempfile::tempfile().unwrap();
    let made = make(&input(old), &input(new), &to, u64::MAX, &mut Unpaced).unwrap();
    let bytes = bytes_of(&to);
    assert_eq!(bytes.len() as u64, made.size);
    (bytes, made)
}

fn applied_to(old: &[u8], delta: &[u8], to: &File) -> Result<Applied, Error> {
    let delta = Delta::open(delta, delta.len() as u64, &mut Unpaced)?;
    apply(old, old.len() as u64, &delta, to, &mut Unpaced)
}

fn applied(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, Error> {
    let to = tempfile::tempfile().unwrap();
    applied_to(old, delta, &to).map(|_| bytes_of(&to))
}

/// Bytes that look random and are the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, u64, usize),
    Remove(usize, usize),
    Overwrite(usize, u64, usize),
    Zeros(usize, usize),
    /// Single bytes, so far apart.
    Scatter(usize, usize),
    Swap(usize),
}

fn edit(bytes: &mut Vec<u8>, edit: &Edit) {
    let at = |place: usize| place % (bytes.len() + 1);
    let stretch = |place, length| at(place)..bytes.len().min(at(place) + length);
    match *edit {
        Edit::Insert(place, seed, length) => {
            let place = at(place);
            bytes.splice(place..place, noise(seed, length));
        }
        Edit::Remove(place, length) => drop(bytes.drain(stretch(place, length))),
        Edit::Overwrite(place, seed, length) => {
            let stretch = stretch(place, length);
            let new = noise(seed, stretch.len());
            bytes[stretch].copy_from_slice(&new);
        }
        Edit::Zeros(place, length) => {
            let place = at(place);
            bytes.splice(place..place, vec![0; length]);
        }
        Edit::Scatter(place, apart) => {
            let place = at(place);
            bytes[place..].iter_mut().step_by(apart).for_each(|byte| *byte = byte.wrapping_add(16));
        }
        Edit::Swap(place) => {
            let place = at(place);
            bytes.rotate_left(place);
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = 0_usize..1 << 22;
    let length = prop_oneof![1_usize..100, 1_usize..200_000];
    let one = prop_oneof![
        (place.clone(), any::<u64>(), length.clone()).prop_map(|(at, s, n)| Edit::Insert(at, s, n)),
        (place.clone(), length.clone()).prop_map(|(at, length)| Edit::Remove(at, length)),
        (place.clone(), any::<u64>(), length.clone())
            .prop_map(|(at, s, n)| Edit::Overwrite(at, s, n)),
        (place.clone(), length).prop_map(|(at, length)| Edit::Zeros(at, length)),
        (place.clone(), 20_usize..5000).prop_map(|(at, apart)| Edit::Scatter(at, apart)),
        place.prop_map(Edit::Swap),
    ];
    prop::collection::vec(one, 0..6)
}

/// A file with data and zeros.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![Just(0), 1_usize..5000, 1_usize..1_300_000];
    (sizes, any::<u64>(), 0_usize..100_000).prop_map(|(size, seed, zeros)| {
        let mut bytes = noise(seed, size);
        let end = bytes.len().min(size / 3 + zeros);
        bytes[size / 3..end].fill(0);
        bytes
    })
}
