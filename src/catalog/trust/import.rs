//! Takes back what keys that are kept elsewhere have signed, and puts it in force in one transaction.
//!
//! Nothing in the file is believed but its signatures. The state that they are for may be older than what the depot
//! offers now: it is taken if everything that it names can still be had, and the rest waits on. A state that names what
//! was revoked or taken back is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::files::moment;
use super::refused::{Refused, nothing_signed};
use super::rotation::unused;
use super::signer::Held;
use super::signing::{Signed, before};
use super::targets::targets;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Snapshot};
use crate::model::Digest;
use crate::storage::{StorageError, Tx};
use crate::trust::carried::Carried;
use crate::trust::generation::{self, SignedFile, Signer};
use crate::trust::role::BINS;
use crate::trust::{Moment, RoleName, Target};

/// The number of times that a signing is repeated if a server has signed meanwhile.
const TRIES: usize = 10;
const BETWEEN: Duration = Duration::from_millis(300);

/// The result, which is the audit's record of it, too.
#[derive(Debug, Serialize)]
pub struct Imported {
    pub root_version: i64,
    /// The files of the targets' roles that were taken.
    pub files: usize,
    /// True if the depot offers more by now, which waits to be signed.
    pub pending: bool,
}

/// Everything that is put in force.
struct Taken {
    signed: Signed,
    forgotten: Vec<String>,
    /// The documents as they were signed; none if they stay.
    documents: Option<BTreeMap<String, String>>,
    imported: Imported,
}

impl Catalog {
    /// Puts a file in force that was signed elsewhere.
    pub async fn import_signatures(
        &self,
        actor: &Actor,
        carried: &Carried,
    ) -> Result<Imported, Refused> {
        let mut tries = 1;
        loop {
            match self.import_once(actor, carried.clone()).await {
                Err(Refused::Catalog(Error::JobTaken)) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(BETWEEN).await;
                }
                done => return done,
            }
        }
    }

    async fn import_once(&self, actor: &Actor, carried: Carried) -> Result<Imported, Refused> {
        let held = Held::read(&mut self.db.read().await?).await?;
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let (lives, now) = (self.rules().trust.lives(), moment(self.clock.now()));
        let taking = tokio::task::spawn_blocking(move || {
            let root = carried.next_root().clone();
            let signer = Signer { root: &root, keys: &held.keys, lives, now };
            taken(&carried, &snapshot, &held, &signer)
        });
        let taken =
            taking.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        let mut tx = self.db.write().await?;
        self.write_taken(&mut tx, &taken).await?;
        let entry = Entry { action: "trust.import", subject: "trust".to_owned(), actor };
        self.audit(&mut tx, entry, NOTHING, Some(&taken.imported));
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(taken.imported)
    }

    async fn write_taken(&self, tx: &mut Tx, taken: &Taken) -> Result<(), Refused> {
        self.write_signed(tx, &taken.signed).await?;
        for key in &taken.forgotten {
            tx.forget_trust_secret(key).await?;
        }
        if let Some(documents) = &taken.documents {
            tx.clear_trust_documents().await?;
            for (path, content) in documents {
                tx.insert_trust_document(path, content).await?;
            }
        }
        Ok(())
    }
}

/// Verifies a file against the state of the depot, and signs what follows from it.
fn taken(
    carried: &Carried,
    snapshot: &Arc<Snapshot>,
    held: &Held,
    signer: &Signer<'_>,
) -> Result<Taken, Refused> {
    // The server's keys have signed when the file was made. If they signed again here, they would sign whatever somebody
    // has made of the file on its way.
    carried.must_be_complete()?;
    must_follow(carried, snapshot, signer.now)?;
    let files = carried.taken_files();
    let mut before = before(snapshot, held)?;
    for file in &files {
        if file.version <= before.highest.get(&file.role).copied().unwrap_or(0) {
            let detail = format!("another file with the number {} was signed", file.version);
            return Err(Refused::Stale(format!("{}: {detail} meanwhile", file.role)));
        }
        before.standing.insert(file.role, file.standing());
    }
    let generation = generation::next(&before, &targets(snapshot), signer).map_err(|error| {
        Refused::Stale(format!("{error}, because they were replaced since the file was made"))
    })?;
    if generation.is_pending() {
        must_be_whole(carried, snapshot)?;
    }
    let root = carried.taken_root();
    let imported = Imported {
        root_version: signer.root.header.version,
        files: files.len(),
        pending: generation.is_pending(),
    };
    let documents = (imported.files > 0 || held.can_sign(signer.root, RoleName::Targets))
        .then(|| carried.documents().clone());
    // Without a new root, keys that wait for one are needed.
    let forgotten = if root.is_some() { unused(signer.root, &held.keys) } else { Vec::new() };
    let files: Vec<SignedFile> = root.into_iter().chain(files).chain(generation.files).collect();
    let expected = held.number(RoleName::Timestamp);
    let all = Signed { files, new_keys: Vec::new(), expected };
    Ok(Taken { signed: all, forgotten, documents, imported })
}

/// Fails if the file was made for another state of the keys, or too long ago.
fn must_follow(carried: &Carried, snapshot: &Snapshot, now: Moment) -> Result<(), Refused> {
    let root = snapshot.trust.root()?.ok_or_else(nothing_signed)?;
    if carried.root_before() != &root {
        let (now, then) = (root.header.version, carried.root_before().header.version);
        let detail = if now == then {
            "the file is of another depot".to_owned()
        } else {
            format!("root {now} is in force by now, and the file was made when root {then} was")
        };
        return Err(Refused::Stale(detail));
    }
    // A root that stays may have expired.
    let root = carried.taken_root().map(|file| file.expires);
    let files = carried.files().values().map(|file| file.header.expires);
    if root.into_iter().chain(files).any(|at| at <= now) {
        return Err(Refused::Stale("what was signed has expired by now".to_owned()));
    }
    Ok(())
}

/// Fails if a state that is older than what the depot offers names something that cannot be had any more, or if it lacks
/// files that new keys have to sign. That the server has signed a newer one is noticed by its numbers.
fn must_be_whole(carried: &Carried, snapshot: &Snapshot) -> Result<(), Refused> {
    let before = carried.root_before();
    if before.roles.targets != carried.next_root().roles.targets && carried.files().len() <= BINS {
        let detail = "files are missing that the new targets' keys have to sign";
        return Err(Refused::Stale(detail.to_owned()));
    }
    for file in carried.files().values() {
        for (path, target) in &file.targets {
            if !can_be_had(path, target, carried, snapshot) {
                let detail = format!("{path} was signed, and the depot does not offer it any more");
                return Err(Refused::Stale(detail));
            }
        }
    }
    Ok(())
}

fn can_be_had(path: &str, target: &Target, carried: &Carried, snapshot: &Snapshot) -> bool {
    let Some(digest) = target.digest() else { return false };
    let document = carried.documents().get(path);
    document.is_some_and(|text| Digest::of(text.as_bytes()) == digest)
        || snapshot.has_file(path, digest)
}
