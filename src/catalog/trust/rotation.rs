//! Replaces the key of a role by a new one, which a new root names. Clients follow the roots one by one.

use serde::Serialize;

use super::files::moment;
use super::refused::{Refused, nothing_signed};
use super::signer::{Held, broken};
use super::signing::sign;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog};
use crate::trust::generation::Signer;
use crate::trust::metadata::Root;
use crate::trust::{KeyPair, RoleName};

/// The roles whose keys can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RotatedRole {
    Root,
    Targets,
    /// With the timestamp's key: python-tuf refuses lower versions of the snapshot until that is new, too.
    Snapshot,
    Timestamp,
}

impl RotatedRole {
    pub(super) const fn roles(self) -> &'static [RoleName] {
        match self {
            Self::Root => &[RoleName::Root],
            Self::Targets => &[RoleName::Targets],
            Self::Snapshot => &[RoleName::Snapshot, RoleName::Timestamp],
            Self::Timestamp => &[RoleName::Timestamp],
        }
    }

    /// Fails if the keys of the role are elsewhere: the server cannot make one there.
    pub(super) fn must_be_here(self, root: &Root, held: &Held) -> Result<(), Refused> {
        let (Self::Root | Self::Targets) = self else { return Ok(()) };
        let is_elsewhere = |role: &&RoleName| !held.can_sign(root, **role);
        let Some(role) = self.roles().iter().find(is_elsewhere) else { return Ok(()) };
        Err(Refused::Elsewhere(format!(
            "the keys of the role {role} are kept elsewhere: make the new key there with `imagedepot trust keygen`, then \
             name all keys that the role is to have with `imagedepot trust init --{role} PUBLIC … --out FILE`"
        )))
    }
}

/// The audit's record of a rotation.
#[derive(Serialize)]
struct Shown {
    role: RotatedRole,
    root_version: i64,
    keys: Vec<String>,
}

impl Catalog {
    /// Gives a role a new key and signs everything that the key signs anew, all in one transaction. Returns the number
    /// of the new root.
    pub async fn rotate_trust_key(&self, actor: &Actor, role: RotatedRole) -> Result<i64, Refused> {
        let mut held = Held::read(&mut self.db.read().await?).await?;
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let before = snapshot.trust.root()?.ok_or_else(nothing_signed)?;
        role.must_be_here(&before, &held)?;
        let (lives, now) = (self.rules().trust.lives(), moment(self.clock.now()));
        let mut next = before.renewed(now.after(lives.root));
        let mut new_keys = Vec::new();
        for role in role.roles() {
            let key = KeyPair::generate().map_err(|error| broken(&error.to_string()))?;
            next = next.with_key(*role, key.public());
            new_keys.push(key.id().to_string());
            held.keys.push(key);
        }
        let file = next.sign(Some(&before), &held.keys).ok_or_else(keys_are_elsewhere)?;
        let with = Signer { root: &next, keys: &held.keys, lives, now };
        let mut signed = sign(&snapshot, &held, &with)?;
        signed.files.insert(0, file);
        let (fresh, old) =
            held.keys.into_iter().partition(|key| new_keys.contains(&key.id().to_string()));
        signed.new_keys = fresh;
        let shown = Shown { role, root_version: next.header.version, keys: new_keys };
        let mut tx = self.db.write().await?;
        self.write_signed(&mut tx, &signed).await?;
        for key in unused(&next, &old) {
            tx.forget_trust_secret(&key).await?;
        }
        let subject = "trust".to_owned();
        self.audit(
            &mut tx,
            Entry { action: "trust.rotate", subject, actor },
            NOTHING,
            Some(&shown),
        );
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(shown.root_version)
    }
}

/// Returns the keys that no role of a root has.
pub(super) fn unused(root: &Root, keys: &[KeyPair]) -> Vec<String> {
    let keys = keys.iter().filter(|key| !root.keys.contains_key(key.id()));
    keys.map(|key| key.id().to_string()).collect()
}

fn keys_are_elsewhere() -> Refused {
    let detail = "the root's keys are kept elsewhere: add --out FILE, have FILE signed there with `imagedepot trust sign`, \
         and take it back with `imagedepot trust import FILE`";
    Refused::Elsewhere(detail.to_owned())
}
