//! Makes the files that are carried to keys which are kept elsewhere: the next root, and the targets that wait.
//!
//! Nothing of a file is kept here but the new keys of the server that it names. [`super::import`] takes the file back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::files::moment;
use super::refused::{Refused, nothing_signed};
use super::rotation::RotatedRole;
use super::signer::{Held, broken};
use super::signing::before as standing;
use super::targets::targets;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::snapshot::TreeEntry;
use crate::catalog::{Actor, Catalog, Snapshot};
use crate::storage::StorageError;
use crate::trust::carried::{Carried, Parts, Trouble};
use crate::trust::envelope::{self, Envelope};
use crate::trust::generation::{self, Signer};
use crate::trust::metadata::Root;
use crate::trust::{KeyId, KeyPair, PublicKey, RoleName};

/// The keys of a role in the next root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NewKeys {
    /// The same keys.
    #[default]
    Kept,
    /// One new key in the catalog.
    Here,
    /// Keys that are kept elsewhere.
    Elsewhere { keys: Vec<PublicKey>, threshold: u32 },
}

/// The change that the next root makes.
#[derive(Debug, Clone, Default)]
pub struct RootChange {
    pub root: NewKeys,
    pub targets: NewKeys,
}

/// The audit's record of a new root that waits for signatures.
#[derive(Serialize)]
struct Shown {
    root_version: i64,
    keys: Vec<KeyId>,
}

/// The state that a file is made from.
struct State {
    held: Held,
    snapshot: Arc<Snapshot>,
    before: Root,
}

impl Catalog {
    /// Returns the file with which the next root is signed: with other keys, or with the same for another time.
    pub async fn next_root(&self, actor: &Actor, change: RootChange) -> Result<Carried, Refused> {
        let state = self.trust_state().await?;
        let lives = self.rules().trust.lives();
        let mut next = state.before.renewed(moment(self.clock.now()).after(lives.root));
        let mut made = Vec::new();
        for (role, keys) in [(RoleName::Root, change.root), (RoleName::Targets, change.targets)] {
            match keys {
                NewKeys::Kept => {}
                NewKeys::Here => made.push(role),
                NewKeys::Elsewhere { keys, threshold } => {
                    must_be_possible(role, &keys, threshold)?;
                    next = next.with_keys(role, &keys, threshold);
                }
            }
        }
        let made = with_new_keys(&mut next, &made)?;
        self.prepare_root(actor, state, next, made).await
    }

    /// Returns the file with which a new key of the server is signed, where the root's keys are elsewhere.
    pub async fn next_key(&self, actor: &Actor, role: RotatedRole) -> Result<Carried, Refused> {
        let state = self.trust_state().await?;
        role.must_be_here(&state.before, &state.held)?;
        let lives = self.rules().trust.lives();
        let mut next = state.before.renewed(moment(self.clock.now()).after(lives.root));
        let made = with_new_keys(&mut next, role.roles())?;
        self.prepare_root(actor, state, next, made).await
    }

    /// Returns the file with which the targets are signed that wait for keys which are elsewhere.
    pub async fn trust_pending(&self) -> Result<Carried, Refused> {
        let state = self.trust_state().await?;
        let carried = self.carried(state, None).await?;
        if carried.files().is_empty() { Err(Refused::NothingToSign) } else { Ok(carried) }
    }

    async fn trust_state(&self) -> Result<State, Refused> {
        let held = Held::read(&mut self.db.read().await?).await?;
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let before = snapshot.trust.root()?.ok_or_else(nothing_signed)?;
        Ok(State { held, snapshot, before })
    }

    /// Keeps the new keys of the server, and makes the file that names them.
    async fn prepare_root(
        &self,
        actor: &Actor,
        mut state: State,
        next: Root,
        made: Vec<KeyPair>,
    ) -> Result<Carried, Refused> {
        let keys = made.iter().map(|key| key.id().clone()).collect();
        let shown = Shown { root_version: next.header.version, keys };
        let mut tx = self.db.write().await?;
        self.insert_trust_keys(&mut tx, &made).await?;
        let entry = Entry { action: "trust.prepare", subject: "trust".to_owned(), actor };
        self.audit(&mut tx, entry, NOTHING, Some(&shown));
        tx.commit().await?;
        state.held.keys.extend(made);
        self.carried(state, Some(next)).await
    }

    async fn carried(&self, state: State, next: Option<Root>) -> Result<Carried, Refused> {
        let (lives, now) = (self.rules().trust.lives(), moment(self.clock.now()));
        let made = tokio::task::spawn_blocking(move || {
            let root = next.as_ref().unwrap_or(&state.before);
            let signer = Signer { root, keys: &state.held.keys, lives, now };
            requested(&state, &signer, next.as_ref())
        });
        made.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }
}

/// Puts everything that has to be signed elsewhere into a file, with the signatures of the keys that are here.
fn requested(
    State { held, snapshot, before }: &State,
    signer: &Signer<'_>,
    next: Option<&Root>,
) -> Result<Carried, Refused> {
    let generation = generation::next(&standing(snapshot, held)?, &targets(snapshot), signer)
        .map_err(|error| broken(&error.to_string()))?;
    let in_force = |role| snapshot.trust.in_force(role).map(|file| &*file.content);
    let replaced = generation.unsigned.iter().map(|file| file.role);
    let replaced = replaced.filter_map(|role| Some((role, in_force(role)?)));
    let envelope = |next: &Root| {
        let mut file = Envelope::read(&envelope::sign(next, []))?;
        let asked = |key: &&KeyPair| {
            let roots = [before, next];
            roots.iter().any(|root| root.roles.root.keyids.contains(key.id()))
        };
        held.keys.iter().filter(asked).for_each(|key| file.add_signature(key));
        Ok::<_, Trouble>(file)
    };
    Ok(Carried::new(Parts {
        root_before: in_force(RoleName::Root).unwrap_or_default(),
        root: next.map(envelope).transpose()?,
        files: &generation.unsigned,
        replaced: replaced.collect(),
        documents: if generation.is_pending() { documents(snapshot) } else { BTreeMap::new() },
    })?)
}

/// Returns the documents that the targets describe.
fn documents(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let documents = snapshot.tree_entries().filter_map(|entry| {
        let TreeEntry::Document(offer, written) = entry else { return None };
        let text = String::from_utf8(written.content.to_vec()).ok()?;
        Some((written.document.path_in(&offer.channel.folder), text))
    });
    documents.collect()
}

/// Gives each of the roles a new key of the server.
fn with_new_keys(next: &mut Root, roles: &[RoleName]) -> Result<Vec<KeyPair>, Refused> {
    let mut made = Vec::new();
    for role in roles {
        let key = KeyPair::generate().map_err(|error| broken(&error.to_string()))?;
        *next = next.clone().with_key(*role, key.public());
        made.push(key);
    }
    Ok(made)
}

fn must_be_possible(role: RoleName, keys: &[PublicKey], threshold: u32) -> Result<(), Refused> {
    let distinct = keys.iter().map(PublicKey::id).collect::<BTreeSet<_>>().len();
    if distinct < keys.len() {
        return Err(Refused::Keys(format!("a key of the role {role} is named twice")));
    }
    if threshold == 0 || usize::try_from(threshold).is_ok_and(|threshold| threshold > distinct) {
        let detail =
            format!("the role {role} has {distinct} keys and cannot have {threshold} signatures");
        return Err(Refused::Keys(detail));
    }
    Ok(())
}
