//! A depot in memory for the unit tests: its keys, and the files that it has signed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::generation::{Before, Bins, Generation, Lives, RootKeys, SignedFile, Signer, next};
use super::key::KeyPair;
use super::metadata::{Root, Target};
use super::moment::Moment;
use super::role::RoleName;
use super::walk::{Refusal, Seen, Walk};
use crate::model::Digest;

pub const START: u64 = 1_767_607_200;
pub const DAY: Duration = Duration::from_hours(24);

pub struct TestDepot {
    pub keys: Vec<KeyPair>,
    pub root: Root,
    pub before: Before,
    pub files: BTreeMap<String, Vec<u8>>,
    pub bins: Bins,
    pub now: Moment,
}

pub fn lives() -> Lives {
    Lives { root: 365 * DAY, targets: 90 * DAY, snapshot: 30 * DAY, timestamp: 7 * DAY }
}

impl TestDepot {
    pub fn new() -> Self {
        Self::at(Moment::from_seconds(START))
    }

    pub fn at(now: Moment) -> Self {
        let keys: Vec<KeyPair> = (0..4).map(|_| KeyPair::generate().unwrap()).collect();
        let public = |index: usize| keys[index].public().clone();
        let root = Root::first(
            &RootKeys {
                root: public(0),
                targets: public(1),
                snapshot: public(2),
                timestamp: public(3),
            },
            now.after(365 * DAY),
        );
        let mut depot = Self {
            keys,
            root,
            before: Before::default(),
            files: BTreeMap::new(),
            bins: Bins::new(),
            now,
        };
        depot.write_root(None);
        depot
    }

    fn write_root(&mut self, before: Option<&Root>) {
        let file = self.root.sign(before, &self.keys).unwrap();
        self.files.insert(RoleName::Root.file(file.version).to_string(), file.bytes);
    }

    /// Replaces the key of a role, keeping the old one to sign the next root with.
    pub fn rotate(&mut self, role: RoleName) {
        let key = KeyPair::generate().unwrap();
        let before = self.root.clone();
        self.root = before.renewed(self.now.after(365 * DAY)).with_key(role, key.public());
        self.keys.push(key);
        self.write_root(Some(&before));
    }

    pub fn offer(&mut self, path: &str, content: &[u8]) {
        let target =
            Target::new(content.len() as u64, Digest::of(content), json!({"image": "win7"}));
        let bin = self.bins.entry(RoleName::bin_of(path)).or_default();
        bin.insert(path.to_owned(), target);
    }

    pub fn sign(&mut self) -> Generation {
        let signer = Signer { root: &self.root, keys: &self.keys, lives: lives(), now: self.now };
        let generation = next(&self.before, &self.bins, &signer).unwrap();
        for file in &generation.files {
            self.take(file);
        }
        generation
    }

    /// Puts a file in force.
    pub fn take(&mut self, file: &SignedFile) {
        self.before.standing.insert(file.role, file.standing());
        self.before.highest.insert(file.role, file.version);
        self.files.insert(file.role.file(file.version).to_string(), file.bytes.clone());
    }

    /// Walks from the first root to a target, and returns the walk after it.
    pub fn walk(&self, path: &str, seen: Seen) -> Result<Walk, Refusal> {
        let mut walk = Walk::new(&self.files["1.root.json"], seen, self.now)?;
        while let Some(root) = self.files.get(&walk.next_root().to_string()) {
            walk.add_root(root)?;
        }
        walk.add_timestamp(&self.files["timestamp.json"])?;
        walk.add_snapshot(&self.files[&walk.snapshot_file().unwrap().to_string()])?;
        walk.add_targets(&self.files[&walk.targets_file().unwrap().to_string()])?;
        walk.add_bin(path, &self.files[&walk.bin_file(path).unwrap().to_string()])?;
        Ok(walk)
    }
}
