//! Lists and deltas that are damaged, cut off or made to do harm.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::check::Check;
use super::super::chunks::{ChunkList, WholeDigest};
use super::super::header::Header;
use super::super::recipe::follow;
use super::super::{Error, PIECE, Unpaced, chunks};
use super::{Edit, applied, delta, edit, noise};

/// A base, a result with pieces of all kinds, and the delta.
fn sample() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let old = noise(1, PIECE + 100_000);
    let mut new = old[..PIECE].to_vec();
    edit(&mut new, &Edit::Scatter(0, 3000));
    new.resize(2 * PIECE, 0);
    new.extend_from_slice(&old[50_000..50_000 + PIECE]);
    new.extend_from_slice(&noise(2, 50_000));
    let (delta, _) = delta(&old, &new);
    (old, new, delta)
}

/// Makes the digests of header and index right again, as a hostile server would.
fn sign(delta: &mut [u8]) {
    if delta.len() < Header::LENGTH {
        return;
    }
    let number = |at: usize| u64::from_le_bytes(delta[at..at + 8].try_into().unwrap());
    let index = usize::try_from(number(88)).unwrap_or(usize::MAX);
    if let Some(index) = delta.get(index..) {
        let check = Check::of(index);
        delta[104..120].copy_from_slice(check.as_bytes());
    }
    let check = Check::of(&delta[..120]);
    delta[120..136].copy_from_slice(check.as_bytes());
}

fn damage(bytes: &mut [u8], places: &[(Index, u8)]) {
    for (place, value) in places {
        bytes[place.index(bytes.len())] ^= value;
    }
}

fn places() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec((any::<Index>(), 1_u8..), 1..4)
}

#[test]
fn damaged_deltas_never_make_a_wrong_file() {
    let (old, new, delta) = sample();
    let (header, index) = (
        Header::LENGTH,
        usize::try_from(u64::from_le_bytes(delta[88..96].try_into().unwrap())).unwrap(),
    );
    let config = ProptestConfig::with_cases(40);
    proptest!(config, |(where_to in 0..4, places in places(), cut in any::<Index>(), signed: bool)| {
        let mut bad = delta.clone();
        match where_to {
            0 => damage(&mut bad[..header], &places),
            1 => damage(&mut bad[header..index], &places),
            2 => damage(&mut bad[index..], &places),
            _ => bad.truncate(cut.index(delta.len())),
        }
        if signed {
            sign(&mut bad);
        }
        if let Ok(made) = applied(&old, &bad) {
            prop_assert!(made == new);
        }
    });
}

#[test]
fn another_base_is_refused() {
    let (mut old, _, delta) = sample();
    old[PIECE + 5] ^= 1;
    assert!(matches!(applied(&old, &delta), Err(Error::Piece { piece: 2 })));
    old.push(0);
    assert!(matches!(applied(&old, &delta), Err(Error::BaseSize { .. })));
}

#[test]
fn a_delta_that_was_cut_off_is_refused_before_anything_is_written() {
    let (old, _, delta) = sample();
    for length in [0, 10, Header::LENGTH, delta.len() / 2, delta.len() - 1] {
        let refused = applied(&old, &delta[..length]);
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{length}: {refused:?}");
    }
}

#[test]
fn a_wrong_whole_is_not_left_behind() {
    let (old, _, mut delta) = sample();
    delta[60] ^= 1;
    sign(&mut delta);
    let to = tempfile::tempfile().unwrap();
    let refused = super::applied_to(&old, &delta, &to);
    assert!(matches!(refused, Err(Error::Result)), "{refused:?}");
    assert_eq!(to.metadata().unwrap().len(), 0);
}

#[test]
fn a_delta_that_says_to_be_huge_costs_nothing() {
    let (_, _, mut delta) = sample();
    delta[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
    sign(&mut delta);
    assert!(matches!(applied(&noise(1, 100), &delta), Err(Error::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn recipes_of_any_bytes_are_harmless(recipe in prop::collection::vec(0_u8..40, 0..60)) {
        let old = noise(1, 100);
        if let Some(piece) = follow(&recipe, &old, 50) {
            prop_assert_eq!(piece.len(), 50);
        }
    }

    #[test]
    fn damaged_lists_are_refused(size in 0_usize..400_000, places in places(), cut in any::<Index>()) {
        let mut bytes = noise(1, size);
        bytes[size / 2..(size / 2 + 50_000).min(size)].fill(0);
        let mut list = Vec::new();
        chunks::make(&bytes[..], size as u64, WholeDigest::Compute, &mut list, &mut Unpaced).unwrap();
        prop_assert!(ChunkList::read(&list[..cut.index(list.len())]).is_err());
        let mut signed = list.clone();
        let content = list.len() - Check::LENGTH;
        damage(&mut signed[..content], &places);
        prop_assert!(signed == list || ChunkList::read(&signed).is_err());
        let check = Check::of(&signed[..content]);
        signed[content..].copy_from_slice(check.as_bytes());
        if let Ok(read) = ChunkList::read(&signed) {
            let mut end = 0;
            for chunk in read.chunks() {
                prop_assert!(chunk.offset == end && chunk.length > 0);
                end = chunk.end();
            }
            prop_assert_eq!(end, read.size());
        }
    }
}
