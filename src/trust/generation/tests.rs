//! Tests of what is signed anew, and what stays.

use crate::trust::generation::{KeysAreElsewhere, Signer, next};
use crate::trust::role::{BINS, RoleName};
use crate::trust::test_depot::{DAY, TestDepot, lives};

fn roles(depot: &mut TestDepot) -> Vec<RoleName> {
    depot.sign().files.iter().map(|file| file.role).collect()
}

#[test]
fn the_first_generation_has_every_role_and_nothing_before_what_it_names() {
    let mut depot = TestDepot::new();
    let signed = roles(&mut depot);
    assert_eq!(signed.len(), BINS + 3);
    let end = [RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    assert_eq!(signed[BINS..], end);
}

#[test]
fn nothing_is_signed_while_nothing_changes() {
    let mut depot = TestDepot::new();
    depot.sign();
    assert!(depot.sign().files.is_empty());
}

#[test]
fn a_new_target_costs_one_bin_a_snapshot_and_a_timestamp() {
    let mut depot = TestDepot::new();
    depot.sign();
    depot.offer("win7_1.ckm", b"bytes");
    let bin = RoleName::bin_of("win7_1.ckm");
    assert_eq!(roles(&mut depot), [bin, RoleName::Snapshot, RoleName::Timestamp]);
    assert_eq!(depot.before.standing[&bin].version, 2);
}

#[test]
fn files_are_signed_again_when_a_third_of_their_life_is_left() {
    let mut depot = TestDepot::new();
    depot.sign();
    depot.now = depot.now.after(DAY * 4);
    assert!(depot.sign().files.is_empty());
    depot.now = depot.now.after(DAY);
    assert_eq!(roles(&mut depot), [RoleName::Timestamp]);
    depot.now = depot.now.after(DAY * 16);
    assert_eq!(roles(&mut depot), [RoleName::Snapshot, RoleName::Timestamp]);
    depot.now = depot.now.after(DAY * 40);
    assert_eq!(roles(&mut depot).len(), BINS + 3);
}

#[test]
fn new_keys_sign_their_files_anew() {
    let mut depot = TestDepot::new();
    depot.sign();
    depot.rotate(RoleName::Timestamp);
    assert_eq!(roles(&mut depot), [RoleName::Timestamp]);
    depot.rotate(RoleName::Targets);
    assert_eq!(roles(&mut depot).len(), BINS + 3);
    assert!(depot.walk("win7_1.ckm", crate::trust::walk::Seen::default()).is_ok());
}

#[test]
fn a_number_is_never_given_out_twice() {
    let mut depot = TestDepot::new();
    depot.sign();
    depot.before.standing.clear();
    depot.before.highest.insert(RoleName::Timestamp, 40);
    depot.sign();
    assert_eq!(depot.before.standing[&RoleName::Timestamp].version, 41);
    assert_eq!(depot.before.standing[&RoleName::Snapshot].version, 2);
}

#[test]
fn targets_wait_for_keys_that_are_elsewhere_and_the_rest_is_renewed() {
    let mut depot = TestDepot::new();
    depot.sign();
    let kept = depot.keys.remove(1);
    depot.offer("win7_1.ckm", b"bytes");
    let generation = depot.sign();
    assert!(generation.is_pending() && generation.files.is_empty());
    depot.now = depot.now.after(DAY * 5);
    assert_eq!(roles(&mut depot), [RoleName::Timestamp]);
    depot.keys.push(kept);
    assert_eq!(roles(&mut depot)[0], RoleName::bin_of("win7_1.ckm"));
}

#[test]
fn a_snapshot_cannot_wait_for_its_key() {
    let mut depot = TestDepot::new();
    depot.keys.remove(2);
    let signer = Signer { root: &depot.root, keys: &depot.keys, lives: lives(), now: depot.now };
    let error = next(&depot.before, &depot.bins, &signer).unwrap_err();
    assert_eq!(error, KeysAreElsewhere(RoleName::Snapshot));
}

#[test]
fn with_24000_targets_a_client_of_one_fetches_little() {
    let mut depot = TestDepot::new();
    for number in 0..24_000 {
        depot.offer(&format!("test/some-image-name-{number}_12.ckm.index"), b"bytes");
    }
    depot.sign();
    let largest = |prefix: &str| {
        let files = depot.files.iter().filter(|(name, _)| name.contains(prefix));
        files.map(|(_, bytes)| bytes.len()).max().unwrap()
    };
    // channel.json, an image and its index are three targets, and may be in three bins.
    let fetched = largest("root")
        + largest("timestamp")
        + largest("snapshot")
        + largest("targets")
        + 3 * largest("bin-");
    assert!(fetched < 200_000, "{fetched}");
    assert!(largest("timestamp") < 16_384);
}
