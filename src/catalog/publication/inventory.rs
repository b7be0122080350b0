//! The inventory: what the catalog wants in the tree, what it put there before, and what is there now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::apply::folder_of;
use super::plan::{self, Found, Known, Plan, WantedDocument, WantedFile};
use crate::catalog::snapshot::{ChannelOffer, Snapshot, Transfers};
use crate::catalog::{Catalog, Result};
use crate::model::channel::date_of_next;
use crate::model::publication::in_folder;
use crate::model::{FileRole, FolderDocument, PublicationState};
use crate::storage::tree::{Entries, Entry, Original, Tree};
use crate::storage::{Blobs, KnownFile, OfferedFile, Scope, StorageError};

impl Catalog {
    /// Returns what [`Self::reconcile`] would do now.
    pub async fn plan(&self) -> Result<Plan> {
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let documents: BTreeMap<String, WantedDocument> = snapshot
            .channels()
            .flat_map(|offer| wanted_documents(&snapshot, offer))
            .map(|wanted| (wanted.path.clone(), wanted))
            .collect();
        let PlanRows { wanted, known, documents: known_documents, held } =
            self.read_plan_rows(&snapshot).await?;
        let paths = wanted
            .keys()
            .chain(known.iter().map(|file| &file.publication.path))
            .chain(documents.keys())
            .chain(&known_documents);
        let tags: BTreeMap<_, _> = known.iter().filter_map(tag_of).collect();
        let mut folders = self.look_into_folders_of(paths).await?;
        self.confirm_tags(&mut folders, &tags).await?;
        let view = TreeView { folders, tags, blobs: self.blobs.clone() };
        let now = self.clock.now();
        let grace =
            chrono::TimeDelta::from_std(self.rules().grace).unwrap_or(chrono::TimeDelta::MAX);
        let looked = tokio::task::spawn_blocking(move || {
            let wanted =
                wanted.into_iter().map(|(path, wanted)| view.wanted(path, wanted)).collect();
            let known = known.into_iter().map(|file| view.known(file)).collect();
            (plan::plan(wanted, known, now, grace), view)
        });
        let (mut plan, view) =
            looked.await.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let stale = known_documents.iter().filter(|path| !documents.contains_key(*path));
        plan.remove_documents(stale.cloned());
        for wanted in documents.into_values() {
            match self.tree.read(&wanted.path).await? {
                Some(found) if found == wanted.content => {}
                Some(_) if !known_documents.contains(&wanted.path) => {
                    plan.report_conflict(wanted.path);
                }
                _ => {
                    match view.entry(&wanted.path).and_then(|entry| within_its_second(entry, now)) {
                        Some(end) => plan.write_later(end),
                        None => plan.write_document(wanted),
                    }
                }
            }
        }
        plan.ours.extend(held);
        plan.foreign = view.others(&plan);
        Ok(plan)
    }

    /// Returns the contents of the folders of these paths. Each folder is read once.
    async fn look_into_folders_of(
        &self,
        paths: impl Iterator<Item = &String>,
    ) -> Result<BTreeMap<String, Entries>, StorageError> {
        let names: BTreeSet<&str> = paths.map(|path| folder_of(path)).collect();
        let mut folders = BTreeMap::new();
        for folder in names {
            folders.insert(folder.to_owned(), self.tree.list(folder).await?);
        }
        Ok(folders)
    }

    /// Corrects the tags of published objects that the listing shows otherwise.
    async fn confirm_tags(
        &self,
        folders: &mut BTreeMap<String, Entries>,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        for (path, tag) in tags {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let found = folders.get_mut(folder).and_then(|entries| entries.get_mut(name));
            if let Some(found) = found {
                self.tree.confirm_tag(path, found, tag).await?;
            }
        }
        Ok(())
    }

    async fn read_plan_rows(&self, snapshot: &Snapshot) -> Result<PlanRows> {
        let mut tx = self.db.read().await?;
        let channels: BTreeMap<_, _> =
            tx.channels().await?.into_iter().map(|channel| (channel.id, channel.folder)).collect();
        let names: BTreeMap<_, _> =
            tx.offered_images().await?.into_iter().map(|image| (image.id, image.name)).collect();
        let mut wanted = BTreeMap::new();
        let offered = tx.offered_files(Scope::All).await?;
        let newest = newest_in_folders(&offered);
        let transfers = Transfers::read(&mut tx, Scope::All).await?;
        for file in offered {
            // A pinned revision is not put into the folder above the others: readers take the highest number there.
            let place = (file.image_id, file.channel_id);
            if !file.in_folder && newest.get(&place).is_none_or(|newest| file.revision > *newest) {
                continue;
            }
            let (Some(folder), Some(image)) =
                (channels.get(&file.channel_id), names.get(&file.image_id))
            else {
                continue;
            };
            let name =
                self.rules().pattern.file_name(image, file.revision, &file.extension, file.role);
            let path = in_folder(folder, &name);
            for transfer in transfers.beside(&file) {
                let wanted_beside = WantedFile::of_transfer(transfer, &file);
                wanted.insert(transfer.kind().beside(&path), wanted_beside);
            }
            wanted.insert(path, WantedFile::of(file));
        }
        let documents = tx.known_documents().await?.into_iter().map(|(path,)| path).collect();
        let (held, known) = tx
            .known_files()
            .await?
            .into_iter()
            .partition::<Vec<_>, _>(|file| is_held(file, snapshot, &wanted, &newest));
        let held = held.into_iter().map(|file| file.publication.path).collect();
        Ok(PlanRows { wanted, known, documents, held })
    }
}

/// The rows that a plan is made of.
struct PlanRows {
    wanted: BTreeMap<String, WantedFile>,
    known: Vec<KnownFile>,
    /// The paths of the documents that imagedepot wrote.
    documents: BTreeSet<String>,
    /// The paths of files that stay until what replaces them is signed.
    held: Vec<String>,
}

/// Reports whether a file that is not wanted any more stays, because the signed metadata in force names it and keys that
/// are elsewhere have to sign the next one. What was taken back leaves at once; and so does the index of a revision above
/// those that are wanted, because other readers take the highest number.
fn is_held(
    file: &KnownFile,
    snapshot: &Snapshot,
    wanted: &BTreeMap<String, WantedFile>,
    newest: &BTreeMap<(Uuid, Uuid), i64>,
) -> bool {
    let publication = &file.publication;
    let newest = newest.get(&(file.image_id, publication.channel_id));
    !file.goes_at_once
        && !wanted.contains_key(&publication.path)
        && publication.state == PublicationState::Published
        && snapshot.trust.holds(&publication.path, publication.digest)
        && (publication.role != FileRole::Index || newest.is_some_and(|n| file.revision < *n))
}

/// Returns the highest revision that each folder holds of each image.
fn newest_in_folders(offered: &[OfferedFile]) -> BTreeMap<(Uuid, Uuid), i64> {
    let mut newest = BTreeMap::new();
    for file in offered.iter().filter(|file| file.in_folder) {
        let highest = newest.entry((file.image_id, file.channel_id)).or_insert(file.revision);
        *highest = file.revision.max(*highest);
    }
    newest
}

/// Returns the documents of a channel's folder. Those that wait to be signed elsewhere stay as they were signed.
fn wanted_documents(
    snapshot: &Snapshot,
    offer: &ChannelOffer,
) -> impl Iterator<Item = WantedDocument> {
    let folder = &offer.channel.folder;
    offer.documents.iter().map(move |written| WantedDocument {
        path: written.document.path_in(folder),
        document: written.document,
        content: snapshot.shown(folder, written).content.clone(),
    })
}

/// Returns the end of the second in which the entry was written, or none if that second is over. Two versions within
/// one second would have the same date, and nginx would give them the same tag if their sizes were equal.
pub(super) fn within_its_second(entry: &Entry, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let written = entry.modified()?;
    // A date in the future comes from another clock, and is not waited for.
    let end = date_of_next(written, written);
    (written <= now && now < end).then_some(end)
}

fn tag_of(file: &KnownFile) -> Option<(String, String)> {
    Some((file.publication.path.clone(), file.tag.clone()?))
}

/// The observed state of the tree.
struct TreeView {
    blobs: Blobs,
    folders: BTreeMap<String, Entries>,
    /// The tags that identify published objects, by path.
    tags: BTreeMap<String, String>,
}

impl TreeView {
    fn entry(&self, path: &str) -> Option<&Entry> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.folders.get(folder)?.get(name)
    }

    fn found(&self, path: &str, original: &Original) -> Found {
        let Some(entry) = self.entry(path) else { return Found::Nothing };
        let tag = self.tags.get(path).map(String::as_str);
        if Tree::is_published(entry, original, tag, &self.blobs) {
            Found::Right
        } else {
            Found::Other
        }
    }

    fn wanted(&self, path: String, wanted: WantedFile) -> (String, WantedFile, Found) {
        let found = self.found(&path, &wanted.original());
        (path, wanted, found)
    }

    fn known(&self, file: KnownFile) -> Known {
        let original = Original {
            blob_key: file.blob_key.clone(),
            size: file.size,
            digest: file.publication.digest,
            sealed_at: file.sealed_at,
        };
        let found = match self.found(&file.publication.path, &original) {
            // An object that was on its way when the server was killed, or whose copy the service completed after that.
            // It has no tag yet, and belongs to no one else. (One that is still wanted is published again.)
            Found::Other if self.was_on_its_way(&file) => Found::Right,
            found => found,
        };
        let KnownFile { publication, goes_at_once, rescue_until, .. } = file;
        Known { publication, found, goes_at_once, rescue_until }
    }

    fn was_on_its_way(&self, file: &KnownFile) -> bool {
        let publication = &file.publication;
        publication.state == PublicationState::Publishing
            && file.tag.is_none()
            && matches!(self.entry(&publication.path), Some(Entry::Object { .. }))
    }

    /// Returns the foreign files, which only concern their owners.
    fn others(&self, plan: &Plan) -> Vec<String> {
        let mut others = Vec::new();
        for (folder, files) in &self.folders {
            for name in files.keys() {
                let path = in_folder(folder, name);
                if FolderDocument::named(name).is_none() && !plan.ours.contains(&path) {
                    others.push(path);
                }
            }
        }
        others
    }
}
