//! Deltas of files that were changed in all kinds of ways.

use proptest::prelude::*;

use super::super::chunks::{ChunkList, WholeDigest};
use super::super::{Error, Next, PIECE, Progress, Unpaced, apply, chunks, make};
use super::{Edit, applied, applied_to, bytes_of, content, delta, edit, edits, input, noise};
use crate::delta::Delta;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn whatever_was_changed_the_delta_brings_it(old in content(), edits in edits()) {
        let mut new = old.clone();
        for change in &edits {
            edit(&mut new, change);
        }
        let (delta, made) = delta(&old, &new);
        prop_assert!(applied(&old, &delta).unwrap() == new);
        prop_assert!(made.size <= new.len() as u64 + new.len() as u64 / 100 + 1000);
    }

    #[test]
    fn a_list_is_read_back_and_covers_the_file(bytes in content()) {
        let mut list = Vec::new();
        let size = bytes.len() as u64;
        let made = chunks::make(&bytes[..], size, WholeDigest::Compute, &mut list, &mut Unpaced);
        let made = made.unwrap();
        prop_assert_eq!(made.list_size, list.len() as u64);
        prop_assert!(made.list_size <= ChunkList::largest(size));
        let read = ChunkList::read(&list).unwrap();
        let kept = chunks::list_of(&bytes[..], size, &mut Unpaced).unwrap();
        prop_assert_eq!(read.chunks(), kept.chunks());
        prop_assert_eq!((read.digest(), read.chunks().len() as u64), (made.digest, made.count));
    }
}

#[test]
fn what_stays_costs_next_to_nothing() {
    let old = noise(1, 3 * PIECE + 1000);
    for (what, change, most) in [
        ("nothing", Edit::Remove(0, 0), 400),
        ("a shift", Edit::Insert(0, 7, 100), 1500),
        ("another order", Edit::Swap(PIECE + 77), 1500),
        ("zeros", Edit::Zeros(PIECE / 2, 2 * PIECE), 1500),
        ("scattered bytes", Edit::Scatter(0, 1000), 8000),
    ] {
        let mut new = old.clone();
        edit(&mut new, &change);
        let (delta, made) = delta(&old, &new);
        assert!(delta.len() < most, "{what}: {} bytes, {:?}", delta.len(), made.pieces);
        assert!(applied(&old, &delta).unwrap() == new, "{what}");
    }
}

#[test]
fn an_empty_file_is_a_base_and_a_result() {
    let some = noise(2, 5000);
    for (old, new) in [(&some[..], &[][..]), (&[], &some), (&[], &[])] {
        let (delta, _) = delta(old, new);
        assert_eq!(applied(old, &delta).unwrap(), new);
    }
}

#[test]
fn zeros_become_holes() {
    use std::os::unix::fs::MetadataExt as _;

    let mut new = vec![0; 5 * PIECE];
    new[2 * PIECE..2 * PIECE + 10].fill(1);
    let (delta, made) = delta(b"something", &new);
    assert!(delta.len() < 300, "{}", delta.len());
    assert_eq!(made.pieces.zeros, 4);
    let to = tempfile::tempfile().unwrap();
    applied_to(b"something", &delta, &to).unwrap();
    assert!(bytes_of(&to) == new);
    assert!(to.metadata().unwrap().blocks() * 512 <= 64 << 10);
}

#[test]
fn an_interrupted_attempt_goes_on_and_trusts_nothing() {
    let old = noise(3, 4 * PIECE);
    let mut new = old.clone();
    edit(&mut new, &Edit::Scatter(0, 5000));
    edit(&mut new, &Edit::Zeros(PIECE, PIECE));
    let (delta, _) = delta(&old, &new);
    let opened = Delta::open(&delta[..], delta.len() as u64, &mut Unpaced).unwrap();
    let to = tempfile::tempfile().unwrap();
    let mut stop = |progress: Progress| {
        if progress.done >= 3 * PIECE as u64 { Next::Stop } else { Next::GoOn }
    };
    let stopped = apply(&old[..], old.len() as u64, &opened, &to, &mut stop);
    assert!(matches!(stopped, Err(Error::Canceled)), "{stopped:?}");
    let again = applied_to(&old, &delta, &to).unwrap();
    assert_eq!(again.kept, 3 * PIECE as u64);
    assert!(bytes_of(&to) == new);
    // Bytes that a crash has lost, and more than there should be.
    std::os::unix::fs::FileExt::write_all_at(&to, &[0; 9], PIECE as u64 / 2).unwrap();
    to.set_len(9 * PIECE as u64).unwrap();
    assert_eq!(applied_to(&old, &delta, &to).unwrap().kept, 0);
    assert!(bytes_of(&to) == new);
    assert_eq!(applied_to(&old, &delta, &to).unwrap().payload, 0);
}

#[test]
fn making_can_be_stopped() {
    let (old, new) = (noise(4, 3 * PIECE), noise(5, 3 * PIECE));
    for stop_after in 0..6 {
        let mut asked = 0;
        let mut pace = |_: Progress| {
            asked += 1;
            if asked > stop_after { Next::Stop } else { Next::GoOn }
        };
        let made =
            make(&input(&old), &input(&new), &tempfile::tempfile().unwrap(), u64::MAX, &mut pace);
        assert!(matches!(made, Err(Error::Canceled)), "{stop_after}");
    }
}

#[test]
fn a_delta_that_would_be_too_large_is_not_made() {
    let (old, new) = (noise(6, 3 * PIECE), noise(7, 3 * PIECE));
    let made_with_at_most = |largest| {
        let to = tempfile::tempfile().unwrap();
        make(&input(&old), &input(&new), &to, largest, &mut Unpaced)
    };
    assert!(matches!(made_with_at_most(PIECE as u64), Err(Error::NotWorthIt)));
    assert!(made_with_at_most(4 * PIECE as u64).is_ok());
}
