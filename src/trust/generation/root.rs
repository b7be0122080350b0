//! The root: the first one, and those that follow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SignedFile;
use crate::model::Digest;
use crate::trust::canonical::canonical;
use crate::trust::envelope;
use crate::trust::key::{KeyId, KeyPair, PublicKey};
use crate::trust::metadata::{Header, RoleKeys, Root, RootRoles};
use crate::trust::moment::Moment;
use crate::trust::role::RoleName;

/// The times for which files are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    pub root: Duration,
    pub targets: Duration,
    pub snapshot: Duration,
    pub timestamp: Duration,
}

impl Lives {
    pub const fn of(&self, role: RoleName) -> Duration {
        match role {
            RoleName::Root => self.root,
            RoleName::Targets | RoleName::Bin(_) => self.targets,
            RoleName::Snapshot => self.snapshot,
            RoleName::Timestamp => self.timestamp,
        }
    }
}

/// The public keys of each role, all of which have a threshold of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    pub root: PublicKey,
    pub targets: PublicKey,
    pub snapshot: PublicKey,
    pub timestamp: PublicKey,
}

impl Root {
    /// Returns the first root.
    pub fn first(keys: &RootKeys, expires: Moment) -> Self {
        let only = |key: &PublicKey| RoleKeys { keyids: vec![key.id()], threshold: 1 };
        let RootKeys { root, targets, snapshot, timestamp } = keys;
        let all = [root, targets, snapshot, timestamp];
        Self {
            header: Header::of::<Self>(1, expires),
            consistent_snapshot: true,
            keys: all.map(|key| (key.id(), key.clone())).into(),
            roles: RootRoles {
                root: only(root),
                targets: only(targets),
                snapshot: only(snapshot),
                timestamp: only(timestamp),
            },
        }
    }

    /// Returns the next root, with the same keys.
    #[must_use]
    pub fn renewed(&self, expires: Moment) -> Self {
        Self { header: Header::of::<Self>(self.header.version + 1, expires), ..self.clone() }
    }

    /// Gives a role one new key. Keys that no role has any more are left out.
    #[must_use]
    pub fn with_key(self, role: RoleName, key: &PublicKey) -> Self {
        self.with_keys(role, std::slice::from_ref(key), 1)
    }

    /// Replaces the keys of a role, and the number of them that have to sign.
    #[must_use]
    pub fn with_keys(mut self, role: RoleName, new: &[PublicKey], threshold: u32) -> Self {
        self.keys.extend(new.iter().map(|key| (key.id(), key.clone())));
        let keys = match role {
            RoleName::Root => &mut self.roles.root,
            RoleName::Targets | RoleName::Bin(_) => &mut self.roles.targets,
            RoleName::Snapshot => &mut self.roles.snapshot,
            RoleName::Timestamp => &mut self.roles.timestamp,
        };
        *keys = RoleKeys { keyids: new.iter().map(PublicKey::id).collect(), threshold };
        let RootRoles { root, targets, snapshot, timestamp } = &self.roles;
        let used: Vec<&KeyId> = [root, targets, snapshot, timestamp]
            .into_iter()
            .flat_map(|role| &role.keyids)
            .collect();
        let keys: BTreeMap<_, _> =
            self.keys.into_iter().filter(|(id, _)| used.contains(&id)).collect();
        Self { keys, ..self }
    }

    /// Signs the root with the keys of the root before, if there is one, and with its own. Returns none if too few of
    /// either are at hand.
    pub fn sign(&self, before: Option<&Self>, keys: &[KeyPair]) -> Option<SignedFile> {
        let asked: Vec<&RoleKeys> =
            before.into_iter().chain([self]).map(|root| &root.roles.root).collect();
        let pairs: Vec<&KeyPair> = keys
            .iter()
            .filter(|pair| asked.iter().any(|role| role.keyids.contains(pair.id())))
            .collect();
        let enough = |role: &&RoleKeys| {
            let at_hand = pairs.iter().filter(|pair| role.keyids.contains(pair.id())).count();
            at_hand >= usize::try_from(role.threshold).unwrap_or(usize::MAX)
        };
        let all = asked.iter().all(enough);
        all.then(|| self.file(envelope::sign(self, pairs.iter().copied())))
    }

    /// Returns the file of this root, which was signed so.
    pub(super) fn file(&self, bytes: Vec<u8>) -> SignedFile {
        SignedFile {
            role: RoleName::Root,
            version: self.header.version,
            expires: self.header.expires,
            meaning: Digest::of(&canonical(&(&self.keys, &self.roles))),
            bytes,
        }
    }
}
