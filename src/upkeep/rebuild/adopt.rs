//! Turns published files into stored bytes again: by a hard link if possible, else by a copy.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::survey::{FoundFile, Place, Survey};
use crate::catalog::{Catalog, Result};
use crate::model::{Digest, FileRole};
use crate::storage::blobs::Identities;
use crate::storage::blobs::verify::{ReadPace, digest_of};

/// The result of a rebuild.
#[derive(Debug, Clone, Default)]
pub struct Rebuilt {
    pub channels: usize,
    pub images: usize,
    pub revisions: usize,
    pub bytes: u64,
    /// Files that could not be used, and why. They stay where they are.
    pub left: Vec<String>,
}

/// A revision with its bytes in the store.
pub(super) struct AdoptedRevision {
    pub(super) id: Uuid,
    pub(super) image: usize,
    pub(super) number: i64,
    pub(super) files: Vec<Adopted>,
}

/// A file with its bytes in the store.
pub(super) struct Adopted {
    pub(super) blob: Uuid,
    pub(super) key: String,
    pub(super) role: FileRole,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) modified: DateTime<Utc>,
    /// The folders of the tree that contain it.
    pub(super) folders: Vec<String>,
}

impl Catalog {
    /// Adopts the files of every revision that is complete.
    pub(super) async fn adopt_all(
        &self,
        survey: &Survey,
        rebuilt: &mut Rebuilt,
    ) -> Result<Vec<AdoptedRevision>> {
        let mut wholes: Vec<AdoptedRevision> = Vec::new();
        let (known, mut blobs) = (self.blobs.identities().await?, HashMap::new());
        for ((image, number, role), file) in survey.files() {
            let Some(adopted) = self.adopt(*role, file, (&known, &mut blobs), rebuilt).await?
            else {
                continue;
            };
            rebuilt.bytes += adopted.size;
            match wholes.last_mut() {
                Some(whole) if (whole.image, whole.number) == (*image, *number) => {
                    whole.files.push(adopted);
                }
                _ => {
                    let (id, files) = (self.ids.next(), vec![adopted]);
                    wholes.push(AdoptedRevision { id, image: *image, number: *number, files });
                }
            }
        }
        wholes.retain(|whole| {
            let image = &survey.images[whole.image];
            let roles = image.kind.roles();
            let is_whole =
                roles.iter().all(|role| whole.files.iter().any(|file| file.role == *role));
            if !is_whole {
                rebuilt.left.push(format!(
                    "{} revision {}: some of its files are missing or damaged",
                    image.name, whole.number
                ));
            }
            is_whole
        });
        Ok(wholes)
    }

    /// Adopts the first of the file's places that has the right bytes. Returns none if no place has.
    async fn adopt(
        &self,
        role: FileRole,
        file: &FoundFile,
        (known, blobs): (&Identities, &mut HashMap<String, Uuid>),
        rebuilt: &mut Rebuilt,
    ) -> Result<Option<Adopted>> {
        for place in &file.places {
            let reader = match self.tree.reader(&place.path, place.size).await {
                Ok(reader) => reader,
                Err(error) => {
                    rebuilt.left.push(format!("{}: {error}", place.path));
                    continue;
                }
            };
            let found = match digest_of(&reader, &mut ReadPace::new(None)).await {
                Ok(found) => found,
                Err(error) => {
                    rebuilt.left.push(format!("{}: {error}", place.path));
                    continue;
                }
            };
            if let Some(expected) = file.digest.filter(|expected| *expected != found) {
                let path = &place.path;
                rebuilt
                    .left
                    .push(format!("{path}: damaged, it has the digest {found}, not {expected}"));
                continue;
            }
            let key = self.make_blob(place, &found, known).await?;
            // A revision that was made from another one shares its files.
            let blob = *blobs.entry(key.clone()).or_insert_with(|| self.ids.next());
            return Ok(Some(Adopted {
                blob,
                key,
                role,
                size: place.size,
                digest: found,
                modified: place.modified,
                folders: file.places.iter().map(|place| place.folder.clone()).collect(),
            }));
        }
        Ok(None)
    }

    async fn make_blob(
        &self,
        place: &Place,
        digest: &Digest,
        known: &Identities,
    ) -> Result<String> {
        if let Some(key) = place.identity.and_then(|identity| known.get(&identity)) {
            return Ok(key.clone());
        }
        let key = self.ids.blob_key();
        if let Some(path) = self.tree.local_path(&place.path)
            && let Some(read) = &place.read
            && self.blobs.link(&path, &key, read).await?
        {
            return Ok(key);
        }
        let reader = self.tree.reader(&place.path, place.size).await?;
        self.blobs.put_whole(&key, &reader, digest).await?;
        Ok(key)
    }
}
