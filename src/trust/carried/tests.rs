//! Tests of the file that is carried: what it says, who may sign it, and what is refused.

use std::collections::BTreeMap;

use super::{By, Carried, Parts, Trouble};
use crate::trust::envelope::Envelope;
use crate::trust::generation::{Signer, next};
use crate::trust::key::KeyPair;
use crate::trust::metadata::Root;
use crate::trust::role::RoleName;
use crate::trust::test_depot::{DAY, TestDepot, lives};
use crate::trust::walk::Seen;

const PATH: &str = "win7_1.ckm";

fn keys(count: usize) -> Vec<KeyPair> {
    (0..count).map(|_| KeyPair::generate().unwrap()).collect()
}

fn publics(keys: &[KeyPair]) -> Vec<crate::trust::PublicKey> {
    keys.iter().map(|key| key.public().clone()).collect()
}

/// A request for a root with these keys, and for the targets' files that follow from it.
fn request(depot: &TestDepot, root: Option<&Root>) -> Carried {
    let signer = Signer {
        root: root.unwrap_or(&depot.root),
        keys: &depot.keys,
        lives: lives(),
        now: depot.now,
    };
    let generation = next(&depot.before, &depot.bins, &signer).unwrap();
    let newest = depot.root.header.version;
    let root_before = &depot.files[&format!("{newest}.root.json")];
    let replaced = generation.unsigned.iter().filter_map(|file| {
        let version = depot.before.standing.get(&file.role)?.version;
        Some((file.role, depot.files[&file.role.file(version).to_string()].as_slice()))
    });
    let envelope = |root: &Root| {
        let mut root = Envelope::read(&crate::trust::envelope::sign(root, [])).unwrap();
        root.add_signature(&depot.keys[0]);
        root
    };
    Carried::new(Parts {
        root_before,
        root: root.map(envelope),
        files: &generation.unsigned,
        replaced: replaced.collect(),
        documents: BTreeMap::new(),
    })
    .unwrap()
}

/// A depot whose root has two of three keys elsewhere, and whose targets have one, as far as the request is signed.
struct Elsewhere {
    depot: TestDepot,
    root: Vec<KeyPair>,
    targets: Vec<KeyPair>,
    next: Root,
}

impl Elsewhere {
    fn new() -> Self {
        let mut depot = TestDepot::new();
        depot.offer(PATH, b"bytes");
        depot.sign();
        let (root, targets) = (keys(3), keys(1));
        let next = depot
            .root
            .renewed(depot.now.after(365 * DAY))
            .with_keys(RoleName::Root, &publics(&root), 2)
            .with_keys(RoleName::Targets, &publics(&targets), 1);
        Self { depot, root, targets, next }
    }

    fn take(&mut self, carried: &Carried) {
        for file in carried.taken_root().iter().chain(&carried.taken_files()) {
            self.depot.take(file);
        }
        self.depot.root = carried.next_root().clone();
        self.depot.sign();
    }

    fn signed(&self) -> Carried {
        let mut carried = request(&self.depot, Some(&self.next));
        for key in [&self.root[0], &self.root[2], &self.targets[0]] {
            carried.sign(key).unwrap();
        }
        carried
    }
}

#[test]
fn keys_move_elsewhere_and_clients_follow() {
    let mut there = Elsewhere::new();
    let carried = there.signed();
    carried.must_be_complete().unwrap();
    let read = Carried::read(&carried.to_bytes().unwrap()).unwrap();
    there.take(&read);
    let walk = there.depot.walk(PATH, Seen::default()).unwrap();
    assert_eq!((walk.root_version(), walk.target(PATH).unwrap().length), (2, 5));
    // What is offered from now on waits for the key that is elsewhere.
    there.depot.offer("win7_2.ckm", b"more bytes");
    assert!(there.depot.sign().is_pending());
    let mut carried = request(&there.depot, None);
    assert_eq!(carried.sign(&there.targets[0]), Ok(vec![By::Targets]));
    there.take(&carried);
    assert!(
        there.depot.walk("win7_2.ckm", Seen::default()).unwrap().target("win7_2.ckm").is_some()
    );
}

#[test]
fn missing_signatures_are_counted_and_one_key_counts_once() {
    let there = Elsewhere::new();
    let mut carried = request(&there.depot, Some(&there.next));
    for _ in 0..2 {
        assert_eq!(carried.sign(&there.root[0]), Ok(vec![By::Root(2)]));
    }
    let missing: Vec<_> = carried.needs().iter().map(|need| (need.by, need.missing())).collect();
    assert_eq!(missing, [(By::RootBefore(1), 0), (By::Root(2), 1), (By::Targets, 1)]);
    let said = carried.must_be_complete().unwrap_err().to_string();
    assert!(
        said.contains("1 of 2 signatures by the root's keys of now (root 2); 1 more"),
        "{said}"
    );
    assert!(said.contains(&there.root[1].id().to_string()), "{said}");
    assert!(!said.contains(&there.root[0].id().to_string()), "{said}");
}

#[test]
fn signatures_on_two_copies_are_put_together() {
    let there = Elsewhere::new();
    let mut first = request(&there.depot, Some(&there.next));
    let mut second = first.clone();
    first.sign(&there.root[0]).unwrap();
    first.sign(&there.targets[0]).unwrap();
    second.sign(&there.root[1]).unwrap();
    first.merge(&second).unwrap();
    first.must_be_complete().unwrap();
    let other = Elsewhere::new();
    assert_eq!(first.merge(&request(&other.depot, Some(&other.next))), Err(Trouble::OtherCopy));
}

#[test]
fn a_key_that_is_not_asked_signs_nothing() {
    let there = Elsewhere::new();
    let mut carried = request(&there.depot, Some(&there.next));
    let stranger = KeyPair::generate().unwrap();
    assert_eq!(carried.sign(&stranger), Err(Trouble::NotAsked(stranger.id().clone())));
}

#[test]
fn a_file_that_was_changed_on_its_way_is_refused() {
    let there = Elsewhere::new();
    let text = String::from_utf8(there.signed().to_bytes().unwrap()).unwrap();
    // Another target: its signature does not fit any more.
    let changed = text.replace("\"length\":5", "\"length\":6");
    let read = Carried::read(changed.as_bytes());
    assert!(read.map_or(true, |read| read.must_be_complete().is_err()));
    // Another key in the delegations, which the signer would not see.
    let stranger = KeyPair::generate().unwrap();
    let changed = text.replace(there.targets[0].public().to_hex(), stranger.public().to_hex());
    assert!(changed != text && Carried::read(changed.as_bytes()).is_err());
    assert_eq!(Carried::read(b"{}").unwrap_err(), Trouble::NotCarried);
    assert_eq!(Carried::read(&there.depot.files["1.root.json"]).unwrap_err(), Trouble::NotCarried);
}

#[test]
fn the_summary_names_roles_and_what_changes() {
    let there = Elsewhere::new();
    let said = request(&there.depot, Some(&there.next)).summary().lines().join("\n");
    for part in ["the next root: version 2", "2 of 3 keys", "before: 1 of 1 keys", "257 files"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("1 targets (0 new, 0 changed, 0 gone)"), "{said}");
}
