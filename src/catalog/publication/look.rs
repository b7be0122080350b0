//! Looking: what the catalog wants in the tree, what it put there before, and what is there now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::carry_out::folder_of;
use super::plan::{self, Found, Known, Manifest, Plan, Wanted};
use crate::catalog::snapshot::ChannelOffer;
use crate::catalog::{Catalog, Result, manifest};
use crate::model::publication::in_folder;
use crate::storage::tree::{Original, TreeFolder};
use crate::storage::{Blobs, KnownFile, Scope, StorageError};

impl Catalog {
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
}

fn wanted_manifest(offer: &ChannelOffer) -> Manifest {
    Manifest {
        path: in_folder(&offer.channel.folder, manifest::FILE_NAME),
        content: offer.manifest.clone(),
    }
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
