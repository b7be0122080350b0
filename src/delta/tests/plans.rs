//! Plans of what has to be fetched.

use super::super::chunks::ChunkList;
use super::super::{Seeds, Source, Unpaced, chunks, plan};
use super::noise;

fn list(bytes: &[u8]) -> ChunkList {
    chunks::list_of(bytes, bytes.len() as u64, &mut Unpaced).unwrap()
}

/// Makes the file as a client would, and returns it with the number of bytes that it fetches.
fn carried_out(new: &[u8], seeds: &[&[u8]], shortest_gap: u64) -> (Vec<u8>, u64) {
    let mut known = Seeds::default();
    for (number, seed) in seeds.iter().enumerate() {
        assert_eq!(known.add(&list(seed)), number);
    }
    let plan = plan(&list(new), &known, shortest_gap);
    let mut made = vec![0; new.len()];
    let mut end = 0;
    for step in plan.steps() {
        assert_eq!(step.offset, end, "a gap");
        end += step.length;
        let [from, length] = [step.offset, step.length].map(|n| usize::try_from(n).unwrap());
        let source = match step.source {
            Source::Zeros => continue,
            Source::Seed { seed, offset } => &seeds[seed][usize::try_from(offset).unwrap()..],
            Source::Earlier { offset } => {
                let offset = usize::try_from(offset).unwrap();
                made.copy_within(offset..offset + length, from);
                continue;
            }
            Source::Fetch => &new[from..],
        };
        made[from..from + length].copy_from_slice(&source[..length]);
    }
    assert_eq!(end, new.len() as u64);
    (made, plan.bytes_to_fetch())
}

#[test]
fn only_what_no_seed_has_is_fetched() {
    let (one, two) = (noise(1, 2_000_000), noise(2, 600_000));
    let fresh = noise(3, 100_000);
    let new = [&two[..], &vec![0; 300_000], &fresh, &one, &one].concat();
    let (made, fetched) = carried_out(&new, &[&one, &two], 64 << 10);
    assert!(made == new);
    assert!((100_000..1_000_000).contains(&fetched), "{fetched}");
    let (made, fetched) = carried_out(&new, &[&new], 64 << 10);
    assert!(made == new && fetched == 0);
    let (made, fetched) = carried_out(&new, &[], 0);
    assert!(made == new);
    // The chunks of the repetition fall into step after one or two of at most 256 KiB.
    assert!(
        fetched < new.len() as u64 - 1_700_000,
        "zeros and a repetition are not fetched: {fetched}"
    );
}

#[test]
fn short_gaps_are_fetched() {
    let old = noise(1, 3_000_000);
    let mut new = old.clone();
    for place in (0..new.len()).step_by(400_000) {
        new[place] ^= 1;
    }
    let requests = |shortest_gap| {
        let mut seeds = Seeds::default();
        seeds.add(&list(&old));
        let plan = plan(&list(&new), &seeds, shortest_gap);
        (plan.fetches().count(), plan.bytes_to_fetch())
    };
    let (exact, merged) = (requests(0), requests(1 << 20));
    assert!(merged.0 < exact.0 && merged.1 > exact.1, "{exact:?} {merged:?}");
    let (made, _) = carried_out(&new, &[&old], 1 << 20);
    assert!(made == new);
}
