//! Collects what the tree says by itself: its manifests, and the names of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::catalog::manifest::Manifest;
use crate::catalog::{Catalog, Result};
use crate::model::image::is_extension;
use crate::model::publication::in_folder;
use crate::model::revision::LARGEST_NUMBER;
use crate::model::{
    ChannelName, ClientTerms, Digest, FileRole, FolderDocument, ImageKind, ImageName, Labels,
    ReadAccess, TransferKind,
};
use crate::storage::blobs::ReadFile;
use crate::storage::tree::Entry;
use crate::trust::role::FOLDER;

/// The findings about the whole tree.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) channels: Vec<FoundChannel>,
    /// The images in the order in which they were found. Other types refer to them by index.
    pub(super) images: Vec<FoundImage>,
    files: BTreeMap<(usize, i64, FileRole), FoundFile>,
    pub(super) left: Vec<String>,
    /// The paths of chunk lists and deltas.
    pub(super) transfer_files: Vec<String>,
}

pub(super) struct FoundChannel {
    pub(super) name: ChannelName,
    pub(super) folder: String,
    /// The paths of the documents in the folder.
    pub(super) documents: Vec<String>,
    pub(super) sequence: i64,
    pub(super) issued: DateTime<Utc>,
    pub(super) read: Option<ReadAccess>,
    pub(super) assignments: Vec<FoundAssignment>,
}

pub(super) struct FoundAssignment {
    pub(super) image: usize,
    pub(super) revision: i64,
    pub(super) epoch: i64,
    pub(super) promotion: Uuid,
    pub(super) terms: ClientTerms,
}

pub(super) struct FoundImage {
    pub(super) name: ImageName,
    pub(super) kind: ImageKind,
    pub(super) extension: String,
    pub(super) labels: Labels,
    pub(super) revoked: BTreeSet<i64>,
}

/// A revision's file, which may be in several folders.
#[derive(Default)]
pub(super) struct FoundFile {
    pub(super) places: Vec<Place>,
    /// The digest from a manifest.
    pub(super) digest: Option<Digest>,
}

pub(super) struct Place {
    pub(super) folder: String,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified: DateTime<Utc>,
    /// The file's device and inode, and (`read`) its state when it was found; none in a bucket.
    pub(super) identity: Option<(u64, u64)>,
    pub(super) read: Option<ReadFile>,
    /// The bucket's `ETag` of the bytes.
    tag: Option<String>,
}

impl Survey {
    /// Returns all files. Those of one revision follow each other.
    pub(super) fn files(&self) -> impl Iterator<Item = (&(usize, i64, FileRole), &FoundFile)> {
        self.files.iter()
    }

    /// Returns every number of an image that occurs anywhere.
    pub(super) fn numbers_of(&self, image: usize) -> impl Iterator<Item = i64> {
        let of_files = self.files.keys().filter(move |key| key.0 == image).map(|key| key.1);
        let assignments = self.channels.iter().flat_map(|channel| &channel.assignments);
        let assigned = assignments.filter(move |assignment| assignment.image == image);
        let revoked = self.images[image].revoked.iter().copied();
        of_files.chain(assigned.map(|assignment| assignment.revision)).chain(revoked)
    }

    /// Returns the paths of a file in a channel's folder, with its tag there.
    pub(super) fn paths_in(
        &self,
        folder: &str,
        image: usize,
        revision: i64,
        role: FileRole,
    ) -> impl Iterator<Item = (&str, Option<&str>)> {
        let places = self.files.get(&(image, revision, role)).map(|file| file.places.as_slice());
        let in_folder =
            places.unwrap_or_default().iter().filter(move |place| place.folder == folder);
        in_folder.map(|place| (place.path.as_str(), place.tag.as_deref()))
    }

    fn image(&mut self, name: &ImageName, extension: &str) -> usize {
        if let Some(known) = self.images.iter().position(|image| image.name.key() == name.key()) {
            return known;
        }
        let kind = if extension == "ckm" { ImageKind::Medv } else { ImageKind::Single };
        self.images.push(FoundImage {
            name: name.clone(),
            kind,
            extension: extension.to_owned(),
            labels: Labels::new(),
            revoked: BTreeSet::new(),
        });
        self.images.len() - 1
    }

    fn has_channel(&self, manifest: &Manifest) -> bool {
        self.channels.iter().any(|channel| channel.name.key() == manifest.channel.key())
    }

    fn add_manifest(&mut self, folder: &str, manifest: Manifest) {
        let mut assignments = Vec::new();
        for image in manifest.images {
            let extension = image.files.iter().find_map(|file| {
                let name = file.path.strip_suffix(".index").unwrap_or(&file.path);
                name.rsplit_once('.').map(|(_, extension)| extension.to_owned())
            });
            // Anybody may have written the manifest, so the extension is checked.
            let extension = extension.filter(|extension| is_extension(extension));
            let index = self.image(&image.image, extension.as_deref().unwrap_or("ckm"));
            let revoked = image.revoked.into_iter();
            let possible = revoked.filter(|number| (1..=LARGEST_NUMBER).contains(number));
            self.images[index].revoked.extend(possible);
            for file in image.files {
                self.files.entry((index, image.revision, file.role)).or_default().digest =
                    Some(file.digest);
            }
            assignments.push(FoundAssignment {
                image: index,
                revision: image.revision,
                epoch: image.epoch,
                promotion: image.promotion,
                terms: image.terms,
            });
        }
        self.channels.push(FoundChannel {
            name: manifest.channel,
            folder: folder.to_owned(),
            documents: Vec::new(),
            sequence: manifest.sequence,
            issued: manifest.issued,
            read: manifest.read,
            assignments,
        });
    }
}

impl Catalog {
    /// Reads every folder of the tree: first the manifests, which say what the names mean.
    pub(super) async fn survey(&self) -> Result<Survey> {
        let mut survey = Survey::default();
        let mut folders = vec![String::new()];
        folders.extend(self.tree.folders().await?);
        for folder in folders {
            let path = FolderDocument::Manifest.path_in(&folder);
            let Some(text) = self.tree.read(&path).await? else {
                if !folder.is_empty() && folder != FOLDER {
                    let manifest = FolderDocument::Manifest.file_name();
                    survey.left.push(format!("{folder}/: a folder without {manifest}"));
                }
                continue;
            };
            match serde_json::from_slice::<Manifest>(&text) {
                Ok(manifest) if survey.has_channel(&manifest) => {
                    let channel = &manifest.channel;
                    survey
                        .left
                        .push(format!("{path}: the channel {channel} already has another folder"));
                }
                Ok(manifest) => survey.add_manifest(&folder, manifest),
                Err(error) => survey.left.push(format!("{path}: {error}")),
            }
        }
        for place in 0..survey.channels.len() {
            let folder = survey.channels[place].folder.clone();
            for (name, entry) in self.tree.list(&folder).await? {
                match FolderDocument::named(&name) {
                    Some(document) => {
                        survey.channels[place].documents.push(document.path_in(&folder));
                    }
                    None => self.add_file(&mut survey, &folder, &name, &entry),
                }
            }
        }
        Ok(survey)
    }

    fn add_file(&self, survey: &mut Survey, folder: &str, name: &str, entry: &Entry) {
        let path = in_folder(folder, name);
        let beside =
            TransferKind::of_name(name).and_then(|(file, _)| self.rules().pattern.read(file));
        if let Some(file) = beside
            && survey.images.iter().any(|image| image.name.key() == file.image.key())
        {
            survey.transfer_files.push(path);
            return;
        }
        let Some(named) = self.rules().pattern.read(name) else {
            return survey.left.push(format!("{path}: not the name of a published file"));
        };
        // A name alone does not make an image: the file may have nothing to do with the depot.
        let known = survey.images.iter().position(|image| image.name.key() == named.image.key());
        let Some(image) = known else {
            return survey.left.push(format!("{path}: no manifest has an image of this name"));
        };
        let role = role_of(named.is_index, &named.extension);
        let folder = folder.to_owned();
        let place = match entry {
            Entry::File(file) => Place {
                folder,
                path,
                size: file.len(),
                modified: file.modified().map_or(DateTime::UNIX_EPOCH, Into::into),
                identity: Some((file.dev(), file.ino())),
                read: Some(ReadFile::of(file)),
                tag: None,
            },
            Entry::Object { size, modified, tag } => Place {
                folder,
                path,
                size: *size,
                modified: *modified,
                identity: None,
                read: None,
                tag: tag.clone(),
            },
        };
        survey.files.entry((image, named.revision, role)).or_default().places.push(place);
    }
}

/// Returns the role of a published file by its name's ending.
pub(super) fn role_of(is_index: bool, extension: &str) -> FileRole {
    match (is_index, extension) {
        (true, _) => FileRole::Index,
        (false, "ckm") => FileRole::Ckm,
        (false, _) => FileRole::Image,
    }
}
