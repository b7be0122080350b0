//! Tests of what a client believes, and what it refuses.

use crate::trust::role::RoleName;
use crate::trust::test_depot::{DAY, TestDepot};
use crate::trust::walk::{Refusal, Seen};

const PATH: &str = "test/win7_1.ckm";

fn depot() -> TestDepot {
    let mut depot = TestDepot::new();
    depot.offer(PATH, b"bytes");
    depot.sign();
    depot
}

fn refusal(depot: &TestDepot, seen: Seen) -> Refusal {
    depot.walk(PATH, seen).unwrap_err()
}

#[test]
fn a_target_is_found_from_the_root_alone() {
    let depot = depot();
    let walk = depot.walk(PATH, Seen::default()).unwrap();
    assert_eq!(walk.target(PATH).unwrap().length, 5);
    assert_eq!(walk.target("test/win7_2.ckm"), None);
}

#[test]
fn a_changed_file_is_refused() {
    for role in [RoleName::Timestamp, RoleName::Snapshot, RoleName::Targets, RoleName::bin_of(PATH)]
    {
        let mut depot = depot();
        let file = role.file(1).to_string();
        let text = String::from_utf8(depot.files[&file].clone()).unwrap();
        let text = text.replace("\"expires\":\"2026", "\"expires\":\"2027");
        depot.files.insert(file.clone(), text.into_bytes());
        match refusal(&depot, Seen::default()) {
            Refusal::Changed { file: named } | Refusal::NotSigned { file: named, found: 0, .. } => {
                assert_eq!(named, file);
            }
            other => panic!("{file}: {other}"),
        }
    }
}

#[test]
fn an_older_state_is_refused_after_a_newer_one() {
    let mut depot = depot();
    let old = depot.files["timestamp.json"].clone();
    depot.offer(PATH, b"other bytes");
    depot.sign();
    let seen = depot.walk(PATH, Seen::default()).unwrap().seen().clone();
    depot.files.insert("timestamp.json".to_owned(), old);
    assert!(depot.walk(PATH, Seen::default()).is_ok(), "a mirror may be behind");
    let refused = refusal(&depot, seen);
    let older = Refusal::Older { file: "timestamp.json".to_owned(), found: 1, seen: 2 };
    assert_eq!(refused, older);
}

#[test]
fn a_frozen_state_is_refused_when_it_expires() {
    let mut depot = depot();
    depot.now = depot.now.after(DAY * 7);
    assert!(matches!(
        refusal(&depot, Seen::default()),
        Refusal::Expired { file, .. } if file == "timestamp.json"
    ));
    depot.now = depot.now.after(DAY * 360);
    assert!(matches!(
        refusal(&depot, Seen::default()),
        Refusal::Expired { file, .. } if file == "1.root.json"
    ));
}

#[test]
fn files_of_two_generations_are_refused() {
    let mut depot = depot();
    let bin = RoleName::bin_of(PATH);
    let old = depot.files[&bin.file(1).to_string()].clone();
    depot.offer(PATH, b"other bytes");
    depot.sign();
    depot.files.insert(bin.file(2).to_string(), old);
    assert!(matches!(
        refusal(&depot, Seen::default()),
        Refusal::Mixed { found: 1, expected: 2, .. }
    ));
}

#[test]
fn another_depot_is_refused() {
    let (mut depot, other) = (depot(), self::depot());
    depot.files.insert("timestamp.json".to_owned(), other.files["timestamp.json"].clone());
    assert!(matches!(
        refusal(&depot, Seen::default()),
        Refusal::NotSigned { found: 0, needed: 1, .. }
    ));
}

#[test]
fn a_snapshot_that_loses_a_role_is_refused() {
    let depot = depot();
    let mut seen = Seen::default();
    seen.roles.insert("another.json".to_owned(), 1);
    assert!(
        matches!(refusal(&depot, seen), Refusal::RoleLost { role, .. } if role == "another.json")
    );
}

#[test]
fn every_rotation_is_followed_from_the_first_root() {
    let mut depot = depot();
    let roles = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    for role in roles.into_iter().chain(roles) {
        depot.rotate(role);
        depot.sign();
    }
    let walk = depot.walk(PATH, Seen::default()).unwrap();
    assert_eq!(walk.root_version(), 9);
}

#[test]
fn a_root_that_the_one_before_did_not_sign_is_refused() {
    let (mut depot, mut other) = (depot(), self::depot());
    other.rotate(RoleName::Root);
    depot.files.insert("2.root.json".to_owned(), other.files["2.root.json"].clone());
    assert!(matches!(
        refusal(&depot, Seen::default()),
        Refusal::NotSigned { file, .. } if file == "2.root.json"
    ));
}

#[test]
fn versions_begin_anew_with_new_keys() {
    let mut depot = depot();
    let seen = Seen { timestamp: 1000, snapshot: 1000, ..Seen::default() };
    assert!(matches!(refusal(&depot, seen.clone()), Refusal::Older { .. }));
    depot.rotate(RoleName::Timestamp);
    depot.sign();
    assert!(depot.walk(PATH, seen).is_ok());
}
