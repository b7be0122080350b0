//! The server's side: which metadata files have to be signed anew, and their bytes.
//!
//! All of it is a pure function of what stands, what is wanted, keys and time. A number that was given out is never
//! given out again: each file gets the next one after the highest of its role, whether or not that file still exists.

mod root;
mod taken;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::root::{Lives, RootKeys};
use super::canonical::canonical;
use super::envelope;
use super::key::KeyPair;
use super::metadata::{
    DelegatedRole, Delegations, Hashes, Header, Meta, Metadata, RoleKeys, Root, Snapshot, Target,
    Targets, Timestamp,
};
use super::moment::Moment;
use super::role::RoleName;
use crate::model::Digest;

/// The targets of each bin. A bin that is not named has none.
pub type Bins = BTreeMap<RoleName, BTreeMap<String, Target>>;

/// A metadata file that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFile {
    pub role: RoleName,
    pub version: i64,
    pub expires: Moment,
    /// Identifies what is said and which keys are to say it, but not the number and the expiry.
    pub meaning: Digest,
    pub bytes: Vec<u8>,
}

/// The newest file of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub version: i64,
    pub expires: Moment,
    pub meaning: Digest,
    /// The length of the file, and its digest.
    pub length: u64,
    pub digest: Digest,
}

impl SignedFile {
    pub fn standing(&self) -> Standing {
        let Self { version, expires, meaning, .. } = *self;
        let (length, digest) = (self.bytes.len() as u64, Digest::of(&self.bytes));
        Standing { version, expires, meaning, length, digest }
    }
}

/// The state before a generation.
#[derive(Debug, Clone, Default)]
pub struct Before {
    pub standing: BTreeMap<RoleName, Standing>,
    /// The highest number of each role that was ever given out.
    pub highest: BTreeMap<RoleName, i64>,
}

/// The keys at hand, the root that says what they are for, and how long files live.
#[derive(Debug)]
pub struct Signer<'a> {
    pub root: &'a Root,
    pub keys: &'a [KeyPair],
    pub lives: Lives,
    pub now: Moment,
}

/// The files to write, in the order in which readers may see them: no file is there before those that it names.
#[derive(Debug, Default)]
pub struct Generation {
    pub files: Vec<SignedFile>,
    /// The files of the targets' roles that wait for keys that are elsewhere, with the signatures of those at hand.
    pub unsigned: Vec<SignedFile>,
}

impl Generation {
    /// Reports whether there is something to sign whose keys are elsewhere.
    pub const fn is_pending(&self) -> bool {
        !self.unsigned.is_empty()
    }
}

/// The error for a role whose keys have to be here, because it is signed anew all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too few of the keys of the role {0} are in the catalog")]
pub struct KeysAreElsewhere(pub RoleName);

/// Returns the time from which a file has to be signed anew: when a third of its life is left.
pub fn due(expires: Moment, life: Duration) -> Moment {
    expires.before(life / 3)
}

/// Returns the files that follow from a change of the targets, of the keys or of the time.
pub fn next(
    before: &Before,
    wanted: &Bins,
    signer: &Signer<'_>,
) -> Result<Generation, KeysAreElsewhere> {
    let mut work =
        Work { before, signer, made: BTreeMap::new(), generation: Generation::default() };
    let none = BTreeMap::new();
    for bin in RoleName::bins() {
        let targets = wanted.get(&bin).unwrap_or(&none);
        work.sign_if_due(bin, targets, |header| Targets {
            header,
            targets: targets.clone(),
            delegations: None,
        });
    }
    let delegations = delegations(signer.root);
    work.sign_if_due(RoleName::Targets, &delegations, |header| Targets {
        header,
        targets: BTreeMap::new(),
        delegations: Some(delegations.clone()),
    });
    work.sign_snapshot_and_timestamp()
}

/// Returns the delegations to the bins: each has the paths whose digests begin with its number.
pub(super) fn delegations(root: &Root) -> Delegations {
    let keys = root.keys_of(RoleName::Targets);
    let role = |bin: RoleName| {
        let name = bin.to_string();
        let prefix = name.trim_start_matches("bin-").to_owned();
        DelegatedRole {
            name,
            keys: keys.clone(),
            terminating: true,
            path_hash_prefixes: vec![prefix],
        }
    };
    let known = root.keys.iter().filter(|(id, _)| keys.keyids.contains(id));
    Delegations {
        keys: known.map(|(id, key)| (id.clone(), key.clone())).collect(),
        roles: RoleName::bins().map(role).collect(),
    }
}

struct Work<'a> {
    before: &'a Before,
    signer: &'a Signer<'a>,
    /// The files of this generation by role.
    made: BTreeMap<RoleName, Standing>,
    generation: Generation,
}

impl Work<'_> {
    /// Returns the file of a role that is in force with this generation.
    fn in_force(&self, role: RoleName) -> Option<&Standing> {
        self.made.get(&role).or_else(|| self.before.standing.get(&role))
    }

    /// Signs a file if its meaning has changed or it becomes old. Reports whether its role could be signed for.
    fn sign_if_due<M: Metadata>(
        &mut self,
        role: RoleName,
        meaning: &impl serde::Serialize,
        content: impl FnOnce(Header) -> M,
    ) -> bool {
        let (root, now) = (self.signer.root, self.signer.now);
        let keys = root.keys_of(role);
        let meaning = meaning_of(meaning, keys);
        let life = self.signer.lives.of(role);
        let standing = self.before.standing.get(&role);
        if standing.is_some_and(|it| it.meaning == meaning && now < due(it.expires, life)) {
            return true;
        }
        let pairs: Vec<&KeyPair> =
            self.signer.keys.iter().filter(|pair| keys.keyids.contains(pair.id())).collect();
        let is_enough = pairs.len() >= usize::try_from(keys.threshold).unwrap_or(usize::MAX);
        let highest = self.before.highest.get(&role).copied().unwrap_or(0);
        let version = highest.max(standing.map_or(0, |it| it.version)) + 1;
        let expires = now.after(life);
        let bytes = envelope::sign(&content(Header::of::<M>(version, expires)), pairs);
        let file = SignedFile { role, version, expires, meaning, bytes };
        if is_enough {
            self.made.insert(role, file.standing());
            self.generation.files.push(file);
        } else {
            self.generation.unsigned.push(file);
        }
        is_enough
    }

    fn sign_snapshot_and_timestamp(mut self) -> Result<Generation, KeysAreElsewhere> {
        let mut versions = BTreeMap::new();
        for role in RoleName::bins().chain([RoleName::Targets]) {
            let Some(standing) = self.in_force(role) else {
                // The targets' keys are elsewhere and have never signed: there is nothing to tell yet.
                return Ok(Generation { files: Vec::new(), ..self.generation });
            };
            versions.insert(role.in_snapshot(), Meta::version(standing.version));
        }
        let signed = self.sign_if_due(RoleName::Snapshot, &versions, |header| Snapshot {
            header,
            meta: versions.clone(),
        });
        let Some(snapshot) = self.in_force(RoleName::Snapshot).filter(|_| signed) else {
            return Err(KeysAreElsewhere(RoleName::Snapshot));
        };
        let meta = BTreeMap::from([(
            RoleName::Snapshot.in_snapshot(),
            Meta {
                version: snapshot.version,
                length: Some(snapshot.length),
                hashes: Some(Hashes { sha256: snapshot.digest.to_hex() }),
            },
        )]);
        let signed = self.sign_if_due(RoleName::Timestamp, &meta, |header| Timestamp {
            header,
            meta: meta.clone(),
        });
        if !signed {
            return Err(KeysAreElsewhere(RoleName::Timestamp));
        }
        Ok(self.generation)
    }
}

fn meaning_of(meaning: &impl serde::Serialize, keys: &RoleKeys) -> Digest {
    Digest::of(&canonical(&(meaning, keys)))
}
