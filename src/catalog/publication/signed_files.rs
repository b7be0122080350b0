//! The signed metadata in the tree. It is written after everything else, and no file before those that it names: a reader
//! of a static copy never meets a snapshot whose files are not there.
//!
//! All files but the timestamp's have names that are used once, so a file that is there is right if its size is. Their
//! list is in the catalog; no record of this place is needed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::inventory::within_its_second;
use crate::catalog::trust::files::{TrustFile, TrustFiles};
use crate::catalog::{Catalog, Result, Snapshot};
use crate::model::publication::{CACHE_FOR_A_MOMENT, CACHE_IMMUTABLE, ServedAs, in_folder};
use crate::storage::StorageError;
use crate::storage::tree::Entries;
use crate::trust::envelope::Envelope;
use crate::trust::metadata::Timestamp;
use crate::trust::role::{FOLDER, FileName, RoleName};

/// Returns the headers of a file of the metadata.
pub fn served_as(name: FileName) -> ServedAs {
    let cache_control = match name {
        FileName::Versioned(..) => CACHE_IMMUTABLE,
        FileName::Timestamp => CACHE_FOR_A_MOMENT,
    };
    ServedAs { content_type: "application/json", cache_control }
}

/// Reports whether the tree has the metadata. A channel from before it existed may have its folder.
pub fn has_signed_files(snapshot: &Snapshot) -> bool {
    let mut channels = snapshot.channels();
    !channels.any(|offer| offer.channel.folder.eq_ignore_ascii_case(FOLDER))
}

impl Catalog {
    /// Writes what is missing and removes what nobody asks for any more. Returns the time from which the timestamp may
    /// be written, if that has to wait for the next second.
    pub(super) async fn write_signed_files(&self) -> Result<Option<DateTime<Utc>>> {
        let snapshot = self.snapshot().clone();
        let files = &snapshot.trust;
        let Some(newest) = files.in_force(RoleName::Timestamp) else { return Ok(None) };
        if !has_signed_files(&snapshot) {
            return Ok(None);
        }
        let there = self.tree.list(FOLDER).await?;
        let found = self.tree.read(&path_of(FileName::Timestamp)).await?;
        if found.as_deref().is_some_and(|found| !is_timestamp(found)) {
            let path = path_of(FileName::Timestamp);
            tracing::error!(
                tree.path = path,
                "a file that imagedepot did not make blocks the signed metadata; move it"
            );
            return Ok(None);
        }
        self.write_missing(files, &there).await?;
        if found.as_deref() != Some(&*newest.content) {
            let last = there.get(&FileName::Timestamp.to_string());
            if let Some(end) = last.and_then(|entry| within_its_second(entry, self.clock.now())) {
                return Ok(Some(end));
            }
            self.write_signed_file(newest).await?;
        }
        self.remove_old(files, &there).await?;
        Ok(None)
    }

    /// Writes the files that never change, in groups: each group is complete before the next one names its files.
    async fn write_missing(&self, files: &TrustFiles, there: &Entries) -> Result<()> {
        let is_missing = |file: &TrustFile| {
            let found = there.get(&file.name().to_string());
            found.is_none_or(|entry| entry.size() != file.content.len() as u64)
        };
        let newest_root = files.in_force(RoleName::Root).map_or(0, |root| root.version);
        let name_of_root = |version| RoleName::Root.file(version).to_string();
        if (1..=newest_root).any(|version| !there.contains_key(&name_of_root(version))) {
            for row in self.db.read().await?.trust_roots().await? {
                self.write_signed_file(&TrustFile::of(row)?).await?;
            }
        }
        let group = |role: RoleName| match role {
            RoleName::Bin(_) => Some(0),
            RoleName::Targets => Some(1),
            RoleName::Snapshot => Some(2),
            RoleName::Root | RoleName::Timestamp => None,
        };
        for number in 0..3 {
            let of_group = files.iter().filter(|file| group(file.role) == Some(number));
            let missing: Vec<_> = of_group.filter(|file| is_missing(file)).cloned().collect();
            stream::iter(missing)
                .map(Ok)
                .try_for_each_concurrent(self.tree.writes_at_once(), |file| async move {
                    self.write_signed_file(&file).await
                })
                .await?;
        }
        Ok(())
    }

    async fn write_signed_file(&self, file: &TrustFile) -> Result<()> {
        let name = file.name();
        let content = file.content.clone();
        Ok(self.tree.write_document(&path_of(name), served_as(name), content).await?)
    }

    /// Removes superseded files that the catalog has forgotten.
    async fn remove_old(&self, files: &TrustFiles, there: &Entries) -> Result<()> {
        let is_old = |name: &FileName| match name {
            FileName::Versioned(RoleName::Root, _) | FileName::Timestamp => false,
            FileName::Versioned(role, version) => {
                files.in_force(*role).is_none_or(|file| *version < file.version)
            }
        };
        let ours = there.keys().filter_map(|name| name.parse::<FileName>().ok());
        let old: Vec<FileName> = ours.filter(is_old).collect();
        if old.is_empty() {
            return Ok(());
        }
        let known = self.db.read().await?.trust_file_names().await?;
        let known: BTreeSet<String> =
            known.into_iter().map(|(role, version)| format!("{version}.{role}.json")).collect();
        let forgotten = old.into_iter().filter(|name| !known.contains(&name.to_string()));
        stream::iter(forgotten.map(Ok::<_, StorageError>))
            .try_for_each_concurrent(self.tree.writes_at_once(), |name| async move {
                self.tree.remove(&path_of(name)).await
            })
            .await?;
        Ok(())
    }

    /// Removes all signed files from a tree whose keys are lost.
    pub(crate) async fn remove_signed_files(&self) -> Result<()> {
        let there = self.tree.list(FOLDER).await?;
        for name in there.keys().filter_map(|name| name.parse::<FileName>().ok()) {
            self.tree.remove(&path_of(name)).await?;
        }
        Ok(())
    }
}

fn path_of(name: FileName) -> String {
    in_folder(FOLDER, &name.to_string())
}

fn is_timestamp(bytes: &[u8]) -> bool {
    Envelope::read(bytes).is_ok_and(|envelope| envelope.content::<Timestamp>().is_ok())
}
