//! The needs of a signing: the keys that are here, the numbers that were given out, the first root.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::catalog::Result;
use crate::storage::{StorageError, Tx};
use crate::trust::generation::{Lives, RootKeys, SignedFile};
use crate::trust::metadata::Root;
use crate::trust::{KeyPair, Moment, RoleName};

/// The keys and numbers of the catalog at one moment.
pub(super) struct Held {
    pub(super) keys: Vec<KeyPair>,
    pub(super) numbers: BTreeMap<RoleName, i64>,
}

impl Held {
    pub(super) async fn read(tx: &mut Tx) -> Result<Self> {
        let mut keys = Vec::new();
        for (id, secret) in tx.trust_secrets().await? {
            let secret = SecretString::from(secret);
            let key =
                KeyPair::from_secret(&secret).map_err(|error| broken(&format!("{id}: {error}")))?;
            keys.push(key);
        }
        let mut numbers = BTreeMap::new();
        for (role, version) in tx.trust_numbers().await? {
            numbers.insert(role.parse().map_err(|_| broken(&role))?, version);
        }
        Ok(Self { keys, numbers })
    }

    /// Reports whether as many keys of a role are here as have to sign.
    pub(super) fn can_sign(&self, root: &Root, role: RoleName) -> bool {
        let keys = root.keys_of(role);
        let here = self.keys.iter().filter(|key| keys.keyids.contains(key.id())).count();
        usize::try_from(keys.threshold).is_ok_and(|threshold| here >= threshold)
    }

    pub(super) fn number(&self, role: RoleName) -> Option<i64> {
        self.numbers.get(&role).copied()
    }
}

/// The first root, with a new key for each role.
pub(super) struct Beginning {
    pub(super) root: Root,
    pub(super) file: SignedFile,
    pub(super) keys: Vec<KeyPair>,
}

impl Beginning {
    pub(super) fn new(lives: Lives, now: Moment) -> Result<Self> {
        let new = || KeyPair::generate().map_err(|error| broken(&error.to_string()));
        let (root_key, targets, snapshot, timestamp) = (new()?, new()?, new()?, new()?);
        let public = RootKeys {
            root: root_key.public().clone(),
            targets: targets.public().clone(),
            snapshot: snapshot.public().clone(),
            timestamp: timestamp.public().clone(),
        };
        let root = Root::first(&public, now.after(lives.root));
        let keys = vec![root_key, targets, snapshot, timestamp];
        let file = root.sign(None, &keys).ok_or_else(|| broken("the first root has no keys"))?;
        Ok(Self { root, file, keys })
    }
}

pub(super) fn broken(what: &str) -> StorageError {
    StorageError::Unusable(format!("the keys of the tree's metadata cannot be used: {what}"))
}
