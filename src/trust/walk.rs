//! The client's side: the walk from a trusted root to a target, file by file, as the specification's client workflow
//! (section 5) has it. Each file that the walk names is given to it as bytes; it fetches nothing itself.
//!
//! It differs from `tough`'s loader in that it asks for the one bin of a target, and not for all.

mod refusal;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::refusal::Refusal;
pub use self::seen::Seen;
use super::envelope::Envelope;
use super::key::{KeyId, PublicKey};
use super::metadata::{
    Delegations, Meta, Metadata, RoleKeys, Root, Snapshot, Target, Targets, Timestamp,
};
use super::moment::Moment;
use super::role::{FileName, RoleName};

/// The number of new roots that one walk follows.
pub const MOST_ROOTS: usize = 256;

/// A walk. The steps have to be taken in their order: roots, timestamp, snapshot, targets, bins.
#[derive(Debug)]
pub struct Walk {
    root: Root,
    root_file: Vec<u8>,
    seen: Seen,
    now: Moment,
    snapshot_meta: Option<Meta>,
    /// The versions of the targets' roles.
    versions: BTreeMap<String, Meta>,
    delegations: Option<Delegations>,
    bins: BTreeMap<RoleName, BTreeMap<String, Target>>,
    /// The end of the shortest life of what was taken after the root.
    soonest: Option<Moment>,
}

impl Walk {
    /// Begins at a root that is trusted because it was carried here, or was seen before. It has to be signed by itself.
    pub fn new(root_file: &[u8], seen: Seen, now: Moment) -> Result<Self, Refusal> {
        let name = "the trusted root";
        let envelope = read(name, root_file)?;
        let root: Root = content(name, &envelope)?;
        must_be_signed(name, &envelope, &root.roles.root, &root.keys)?;
        Ok(Self {
            root,
            root_file: root_file.to_vec(),
            seen,
            now,
            snapshot_meta: None,
            versions: BTreeMap::new(),
            delegations: None,
            bins: BTreeMap::new(),
            soonest: None,
        })
    }

    /// Returns the newest root of this walk as it was signed, to be trusted from now on.
    pub fn root_file(&self) -> &[u8] {
        &self.root_file
    }

    pub const fn root_version(&self) -> i64 {
        self.root.header.version
    }

    /// Returns the versions that were seen, to be given to the next walk.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Returns the time from which something of what was taken is not believed any more.
    pub fn expires(&self) -> Moment {
        let root = self.root.header.expires;
        self.soonest.map_or(root, |soonest| soonest.min(root))
    }

    /// Returns the name of the next root. If there is no such file, this root is the newest.
    pub const fn next_root(&self) -> FileName {
        FileName::Versioned(RoleName::Root, self.root_version() + 1)
    }

    /// Takes the next root, which the keys of this one have to sign, and its own. It may have expired: only the last
    /// one must not.
    pub fn add_root(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let file = self.next_root().to_string();
        let envelope = read(&file, bytes)?;
        let next: Root = content(&file, &envelope)?;
        must_be_signed(&file, &envelope, &self.root.roles.root, &self.root.keys)?;
        must_be_signed(&file, &envelope, &next.roles.root, &next.keys)?;
        if next.header.version != self.root_version() + 1 {
            let (found, expected) = (next.header.version, self.root_version() + 1);
            return Err(Refusal::Mixed { file, found, expected });
        }
        // With new keys, versions begin anew: whoever had the old keys may have raised them without end.
        let is_other = |role| self.root.keys_of(role) != next.keys_of(role);
        if is_other(RoleName::Timestamp) || is_other(RoleName::Snapshot) {
            self.seen.forget();
        }
        self.root = next;
        self.root_file = bytes.to_vec();
        Ok(())
    }

    /// Takes the timestamp, after the last root.
    pub fn add_timestamp(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.root.header.expires <= self.now {
            let file = format!("{}.root.json", self.root_version());
            return Err(Refusal::Expired { file, at: self.root.header.expires });
        }
        let file = FileName::Timestamp.to_string();
        let timestamp: Timestamp = self.verified(RoleName::Timestamp, &file, bytes)?;
        let named = timestamp.meta.get(&RoleName::Snapshot.in_snapshot()).cloned();
        let named = named.ok_or_else(|| Refusal::malformed(&file, "it names no snapshot"))?;
        not_older(&file, timestamp.header.version, self.seen.timestamp)?;
        not_older("the snapshot", named.version, self.seen.snapshot)?;
        self.fresh(&file, &timestamp)?;
        self.seen.timestamp = timestamp.header.version;
        self.snapshot_meta = Some(named);
        Ok(())
    }

    /// Returns the name of the snapshot's file; none before the timestamp.
    pub fn snapshot_file(&self) -> Option<FileName> {
        let meta = self.snapshot_meta.as_ref()?;
        Some(FileName::Versioned(RoleName::Snapshot, meta.version))
    }

    pub fn add_snapshot(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(meta) = self.snapshot_meta.clone() else { return Err(Refusal::OutOfOrder) };
        let file = RoleName::Snapshot.file(meta.version).to_string();
        let snapshot: Snapshot = self.named(RoleName::Snapshot, &file, bytes, &meta)?;
        for (role, seen) in &self.seen.roles {
            let found = snapshot
                .meta
                .get(role)
                .ok_or_else(|| Refusal::RoleLost { file: file.clone(), role: role.clone() })?;
            not_older(role, found.version, *seen)?;
        }
        self.fresh(&file, &snapshot)?;
        self.seen.snapshot = meta.version;
        self.seen.roles =
            snapshot.meta.iter().map(|(role, meta)| (role.clone(), meta.version)).collect();
        self.versions = snapshot.meta;
        Ok(())
    }

    /// Returns the name of the targets' file; none before the snapshot.
    pub fn targets_file(&self) -> Option<FileName> {
        self.file_of(RoleName::Targets)
    }

    pub fn add_targets(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let targets = self.targets_of(RoleName::Targets, bytes)?;
        let file = RoleName::Targets.to_string();
        let delegations = targets.delegations;
        self.delegations =
            Some(delegations.ok_or_else(|| Refusal::malformed(&file, "it names no bins"))?);
        Ok(())
    }

    /// Returns the file of the bin that has to be fetched for a target; none if it was taken already.
    pub fn bin_file(&self, path: &str) -> Option<FileName> {
        self.file_of_bin(RoleName::bin_of(path))
    }

    /// Returns the file of a bin; none if it was taken already.
    pub fn file_of_bin(&self, bin: RoleName) -> Option<FileName> {
        if self.bins.contains_key(&bin) { None } else { self.file_of(bin) }
    }

    /// Takes the bin of a target.
    pub fn add_bin(&mut self, path: &str, bytes: &[u8]) -> Result<(), Refusal> {
        self.add_whole_bin(RoleName::bin_of(path), bytes)
    }

    /// Takes a bin. Targets that do not belong there are not taken: its keys are trusted for its own paths alone.
    pub fn add_whole_bin(&mut self, bin: RoleName, bytes: &[u8]) -> Result<(), Refusal> {
        let mut targets = self.targets_of(bin, bytes)?;
        targets.targets.retain(|path, _| RoleName::bin_of(path) == bin);
        self.bins.insert(bin, targets.targets);
        Ok(())
    }

    /// Returns a target, after its bin was taken; none if the depot does not offer it.
    pub fn target(&self, path: &str) -> Option<&Target> {
        self.bins.get(&RoleName::bin_of(path))?.get(path)
    }

    /// Returns the targets of a bin that was taken.
    pub fn targets_of_bin(&self, bin: RoleName) -> impl Iterator<Item = (String, Target)> {
        let targets = self.bins.get(&bin).into_iter().flatten();
        targets.map(|(path, target)| (path.clone(), target.clone()))
    }

    fn file_of(&self, role: RoleName) -> Option<FileName> {
        let meta = self.versions.get(&role.in_snapshot())?;
        Some(FileName::Versioned(role, meta.version))
    }

    fn targets_of(&mut self, role: RoleName, bytes: &[u8]) -> Result<Targets, Refusal> {
        let meta = self.versions.get(&role.in_snapshot()).ok_or(Refusal::OutOfOrder)?;
        let file = role.file(meta.version).to_string();
        let targets: Targets = self.named(role, &file, bytes, meta)?;
        self.fresh(&file, &targets)?;
        Ok(targets)
    }

    /// Verifies a file that another one names.
    fn named<M: Metadata>(
        &self,
        role: RoleName,
        file: &str,
        bytes: &[u8],
        meta: &Meta,
    ) -> Result<M, Refusal> {
        if !meta.fits(bytes) {
            return Err(Refusal::Changed { file: file.to_owned() });
        }
        let found: M = self.verified(role, file, bytes)?;
        if found.header().version != meta.version {
            let (found, expected) = (found.header().version, meta.version);
            return Err(Refusal::Mixed { file: file.to_owned(), found, expected });
        }
        Ok(found)
    }

    /// Verifies the signatures of a file.
    fn verified<M: Metadata>(
        &self,
        role: RoleName,
        file: &str,
        bytes: &[u8],
    ) -> Result<M, Refusal> {
        let envelope = read(file, bytes)?;
        if let RoleName::Bin(_) = role {
            let delegations = self.delegations.as_ref().ok_or(Refusal::OutOfOrder)?;
            let name = role.to_string();
            let delegated = delegations.roles.iter().find(|delegated| delegated.name == name);
            let prefix = name.trim_start_matches("bin-");
            let delegated = delegated
                .filter(|it| it.path_hash_prefixes.iter().any(|known| known == prefix))
                .ok_or_else(|| Refusal::malformed(file, "its role is not delegated to"))?;
            must_be_signed(file, &envelope, &delegated.keys, &delegations.keys)?;
        } else {
            must_be_signed(file, &envelope, self.root.keys_of(role), &self.root.keys)?;
        }
        content(file, &envelope)
    }

    fn fresh(&mut self, file: &str, metadata: &impl Metadata) -> Result<(), Refusal> {
        let at = metadata.header().expires;
        if at <= self.now {
            return Err(Refusal::Expired { file: file.to_owned(), at });
        }
        self.soonest = Some(self.soonest.map_or(at, |soonest| soonest.min(at)));
        Ok(())
    }
}

fn read(file: &str, bytes: &[u8]) -> Result<Envelope, Refusal> {
    Envelope::read(bytes).map_err(|error| Refusal::malformed(file, &error.to_string()))
}

fn content<M: Metadata>(file: &str, envelope: &Envelope) -> Result<M, Refusal> {
    envelope.content().map_err(|error| Refusal::malformed(file, &error.to_string()))
}

fn must_be_signed(
    file: &str,
    envelope: &Envelope,
    role: &RoleKeys,
    keys: &BTreeMap<KeyId, PublicKey>,
) -> Result<(), Refusal> {
    if envelope.is_signed_by(role, keys) {
        return Ok(());
    }
    let (found, needed) = (envelope.signers(role, keys), role.threshold);
    Err(Refusal::NotSigned { file: file.to_owned(), found, needed })
}

fn not_older(file: &str, found: i64, seen: i64) -> Result<(), Refusal> {
    if found < seen { Err(Refusal::Older { file: file.to_owned(), found, seen }) } else { Ok(()) }
}
