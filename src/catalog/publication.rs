//! Publication: the physical tree follows the catalog.
//!
//! One reconciler looks at what the catalog wants, what it put there before and what is there, makes
//! a [`plan`] and carries it out. It holds nothing in memory between runs, so a crash at any point is
//! repaired by the next run. Files appear complete, `.ckm` before `.ckm.index`; they go in the
//! reverse order, the `.ckm` after a grace. What is right is not touched, what is foreign not deleted.

pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::snapshot::ChannelOffer;
use super::{Catalog, Error, Result, manifest};
use crate::model::publication::in_folder;
use crate::model::{Publication, PublicationState};
use crate::storage::tree::{Original, TreeFolder};
use crate::storage::{Blobs, Change, KnownFile, Scope, StorageError};
use plan::{Found, Known, Manifest, Plan, Step, Wanted};

/// Without a bell the tree is looked at so often: somebody may have deleted a file.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// After a failure, such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Catalog {
    pub(super) fn tree_is_due(&self) {
        self.shared.tree_is_due.notify_one();
    }

    /// Keeps the tree up with the catalog, until cancelled.
    pub async fn keep_publishing(&self) {
        loop {
            let wait = match self.reconcile().await {
                Ok(plan) => self.until_next_withdrawal(&plan).min(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(%error, "the tree could not be brought up to date; trying again");
                    RETRY_AFTER
                }
            };
            let _either = tokio::time::timeout(wait, self.shared.tree_is_due.notified()).await;
        }
    }

    fn until_next_withdrawal(&self, plan: &Plan) -> Duration {
        let next =
            plan.next_withdrawal.map(|at| (at - self.clock.now()).to_std().unwrap_or_default());
        next.unwrap_or(LOOK_EVERY)
    }

    /// What there is in the tree by the catalog's own record, in the order of the paths.
    pub async fn publications(&self, after: &str, limit: i64) -> Result<Vec<Publication>> {
        Ok(self.db.read().await?.publications_after(after, limit).await?)
    }

    /// Makes the tree what the catalog says, and tells what was done. A file that cannot be made holds
    /// up what would speak of it and nothing else; the error is the first one met.
    pub async fn reconcile(&self) -> Result<Plan> {
        let _one_at_a_time = self.shared.reconciling.lock().await;
        let plan = self.plan().await?;
        let mut failed = Failed::default();
        for step in &plan.steps {
            if failed.holds_up(step) {
                continue;
            }
            match self.carry_out(step).await {
                Ok(()) => {}
                Err(error) if error.is_database_away() => return Err(error),
                Err(error) => failed.note(step, error),
            }
        }
        self.remove_files(&plan, &mut failed).await?;
        failed.first.map_or(Ok(plan), Err)
    }

    /// What [`Self::reconcile`] would do now.
    pub async fn plan(&self) -> Result<Plan> {
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let manifests: BTreeMap<String, Manifest> = snapshot
            .channels()
            .map(|offer| wanted_manifest(offer))
            .map(|wanted| (wanted.path.clone(), wanted))
            .collect();
        let (wanted, known, known_manifests) = self.read_plan_rows().await?;
        let (tree, blobs) = (self.tree.clone(), self.blobs.clone());
        let now = self.clock.now();
        let grace = chrono::TimeDelta::from_std(self.rules.grace).unwrap_or(chrono::TimeDelta::MAX);
        let looked = tokio::task::spawn_blocking(move || -> Result<Plan, StorageError> {
            let mut eye = Eye { tree: &tree, blobs: &blobs, folders: BTreeMap::new() };
            for path in wanted
                .keys()
                .chain(known.iter().map(|file| &file.publication.path))
                .chain(manifests.keys())
                .chain(&known_manifests)
            {
                eye.look_into_folder_of(path)?;
            }
            let wanted =
                wanted.into_iter().map(|(path, wanted)| eye.wanted(path, wanted)).collect();
            let known = known.into_iter().map(|file| eye.known(file)).collect();
            let mut plan = plan::plan(wanted, known, now, grace);
            let stale = known_manifests.iter().filter(|path| !manifests.contains_key(*path));
            plan.remove_manifests(stale.cloned());
            for wanted in manifests.into_values() {
                let found = tree.read(&wanted.path)?;
                match found {
                    Some(found) if found == wanted.content => {}
                    Some(_) if !known_manifests.contains(&wanted.path) => {
                        plan.report_conflict(wanted.path);
                    }
                    _ => plan.write_manifest(wanted),
                }
            }
            plan.foreign = eye.others(&plan);
            Ok(plan)
        });
        Ok(looked.await.map_err(|error| StorageError::Unavailable(error.to_string()))??)
    }

    async fn read_plan_rows(
        &self,
    ) -> Result<(BTreeMap<String, Wanted>, Vec<KnownFile>, BTreeSet<String>)> {
        let mut tx = self.db.read().await?;
        let channels: BTreeMap<_, _> =
            tx.channels().await?.into_iter().map(|channel| (channel.id, channel.folder)).collect();
        let names: BTreeMap<_, _> = tx.image_names().await?.into_iter().collect();
        let mut wanted = BTreeMap::new();
        for file in tx.offered_files(Scope::All).await? {
            let (Some(folder), Some(image)) =
                (channels.get(&file.channel_id), names.get(&file.image_id))
            else {
                continue;
            };
            let name =
                self.rules.pattern.file_name(image, file.revision, &file.extension, file.role);
            wanted.insert(in_folder(folder, &name), Wanted::of(file));
        }
        let manifests = tx.known_manifests().await?.into_iter().map(|(path,)| path).collect();
        Ok((wanted, tx.known_files().await?, manifests))
    }

    /// Does one step.
    async fn carry_out(&self, step: &Step) -> Result<()> {
        match step {
            Step::Publish { publication, wanted } => {
                self.note(publication, PublicationState::Publishing, None).await?;
                let (tree, blobs) = (self.tree.clone(), self.blobs.clone());
                let (path, wanted) = (publication.path.clone(), wanted.clone());
                on_disk(move || {
                    let blob = local_blob(&blobs, &wanted.blob_key)?;
                    tree.publish(
                        &path,
                        &Original { path: &blob, size: wanted.size, sealed_at: wanted.sealed_at },
                    )
                })
                .await?;
                self.note(publication, PublicationState::Published, None).await?;
                tracing::info!(tree.path = publication.path, "published");
            }
            Step::Acknowledge { publication } => {
                self.note(publication, PublicationState::Published, None).await?;
            }
            Step::WriteManifest(manifest) => {
                // The record first, or after a crash in between the file would pass for a foreign one.
                let mut tx = self.db.write().await?;
                tx.put_manifest(&manifest.path).await?;
                tx.commit().await?;
                let (tree, wanted) = (self.tree.clone(), manifest.clone());
                on_disk(move || tree.write(&wanted.path, &wanted.content)).await?;
            }
            Step::RemoveManifest { path } => {
                self.take_out(path).await?;
                let mut tx = self.db.write().await?;
                tx.delete_manifest(path).await?;
                tx.commit().await?;
            }
            Step::Withdraw { publication, at } => {
                self.note(publication, PublicationState::Withdrawing, Some(*at)).await?;
            }
            // Together at the end: see `remove_files`.
            Step::Remove { .. } => {}
            Step::Forget { publication } => self.forget(publication).await?,
            Step::Conflict { path } => {
                tracing::error!(
                    tree.path = path,
                    "a file that imagedepot did not make stands in the way; move it"
                );
            }
        }
        Ok(())
    }

    /// Takes files out of the tree whose time has come: first their HTTP names go, then the files,
    /// then the records, so that after a crash in between the next run goes on where this one was.
    async fn remove_files(&self, plan: &Plan, failed: &mut Failed) -> Result<()> {
        let due = plan.steps.iter().filter_map(|step| match step {
            Step::Remove { publication } => Some(publication),
            _ => None,
        });
        let due: Vec<&Publication> = due.collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        let mut images = BTreeSet::new();
        for publication in &due {
            images.insert(tx.lock_image_of(publication.revision_id).await?);
        }
        for publication in &due {
            let state = PublicationState::Removing;
            tx.put_publication(&Publication { state, ..Publication::clone(publication) }).await?;
        }
        for image in images {
            tx.raise_catalog_version(Change::Image(image)).await?;
        }
        tx.commit().await?;
        self.try_refresh().await?;
        for publication in due {
            match self.take_out(&publication.path).await {
                Ok(()) => {
                    self.forget(publication).await?;
                    tracing::info!(tree.path = publication.path, "withdrawn");
                }
                Err(error) => {
                    failed.note(&Step::Remove { publication: publication.clone() }, error);
                }
            }
        }
        self.sweep_is_due();
        Ok(())
    }

    async fn take_out(&self, path: &str) -> Result<()> {
        let (tree, path) = (self.tree.clone(), path.to_owned());
        on_disk(move || {
            tree.remove(&path)?;
            tree.remove_folder_if_empty(folder_of(&path));
            Ok(())
        })
        .await
    }

    async fn note(
        &self,
        publication: &Publication,
        state: PublicationState,
        withdraw_at: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let mut tx = self.db.write().await?;
        tx.put_publication(&Publication { state, withdraw_at, ..publication.clone() }).await?;
        Ok(tx.commit().await?)
    }

    async fn forget(&self, publication: &Publication) -> Result<()> {
        let mut tx = self.db.write().await?;
        tx.delete_publication(&publication.path).await?;
        Ok(tx.commit().await?)
    }
}

fn wanted_manifest(offer: &ChannelOffer) -> Manifest {
    Manifest {
        path: in_folder(&offer.channel.folder, manifest::FILE_NAME),
        content: offer.manifest.clone(),
    }
}

/// The steps of one reconciliation that failed, and what they hold up.
#[derive(Default)]
struct Failed {
    files: Vec<Publication>,
    first: Option<Error>,
}

impl Failed {
    fn note(&mut self, step: &Step, error: Error) {
        // At debug, for a store that is away fails every file: the first error is told by the caller.
        tracing::debug!(%error, tree.path = step.path(), step = step.verb(), "left for the next round");
        if let Step::Publish { publication, .. } = step {
            self.files.push(publication.clone());
        }
        self.first.get_or_insert(error);
    }

    /// An index, or a manifest, must not speak of a file that is not there.
    fn holds_up(&self, step: &Step) -> bool {
        self.files.iter().any(|failed| match step {
            Step::Publish { publication, .. } => {
                publication.revision_id == failed.revision_id
                    && publication.channel_id == failed.channel_id
            }
            Step::WriteManifest(manifest) => folder_of(&manifest.path) == folder_of(&failed.path),
            _ => false,
        })
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

async fn on_disk(work: impl FnOnce() -> Result<(), StorageError> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| StorageError::Unavailable(error.to_string()))??)
}

fn local_blob(blobs: &Blobs, key: &str) -> Result<std::path::PathBuf, StorageError> {
    blobs.local_path(key).ok_or_else(|| {
        StorageError::Unusable("a local tree is published from a local store only".to_owned())
    })
}

/// Looks at the tree, each folder once.
struct Eye<'a> {
    tree: &'a TreeFolder,
    blobs: &'a Blobs,
    folders: BTreeMap<String, BTreeMap<String, std::fs::Metadata>>,
}

impl Eye<'_> {
    fn look_into_folder_of(&mut self, path: &str) -> Result<(), StorageError> {
        let folder = folder_of(path);
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), self.tree.list(folder)?);
        }
        Ok(())
    }

    fn found(&self, path: &str, blob_key: &str, size: u64, sealed_at: DateTime<Utc>) -> Found {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(metadata) = self.folders.get(folder).and_then(|files| files.get(name)) else {
            return Found::Nothing;
        };
        let blob = self.blobs.local_path(blob_key).unwrap_or_default();
        if TreeFolder::is_published(metadata, &Original { path: &blob, size, sealed_at }) {
            Found::Right
        } else {
            Found::Other
        }
    }

    fn wanted(&self, path: String, wanted: Wanted) -> (String, Wanted, Found) {
        let found = self.found(&path, &wanted.blob_key, wanted.size, wanted.sealed_at);
        (path, wanted, found)
    }

    fn known(&self, file: KnownFile) -> Known {
        let found = self.found(&file.publication.path, &file.blob_key, file.size, file.sealed_at);
        Known { publication: file.publication, found }
    }

    /// The files that are nobody's business but their owner's.
    fn others(&self, plan: &Plan) -> Vec<String> {
        let mut others = Vec::new();
        for (folder, files) in &self.folders {
            for name in files.keys() {
                let path = in_folder(folder, name);
                if name != manifest::FILE_NAME && !plan.ours.contains(&path) {
                    others.push(path);
                }
            }
        }
        others
    }
}
