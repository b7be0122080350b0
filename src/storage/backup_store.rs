//! The place of backups and exports: a folder or a bucket. It holds each file once, named after its digest, and the
//! catalogs of several backups.
//!
//! `place` parses how a place is written, `layout` defines what is stored where, `leftovers` removes what killed
//! writers left, and `new_folders` removes folders that were created for nothing.

mod layout;
mod leftovers;
mod new_folders;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Attributes, ObjectStore, ObjectStoreExt as _};

use self::layout::BLOBS;
pub use self::layout::{Notes, note_name};
use self::new_folders::NewFolders;
pub use self::place::{Place, UnknownPlace};
use super::blobs::{BlobReader, connect};
use super::copying;
use super::error::StorageError;
use super::instance::{PRIVATE, make_folder};
use crate::file_system;
use crate::model::Digest;

/// A place of backups and exports. Cheap to clone.
#[derive(Clone)]
pub struct BackupStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder; none in a bucket.
    folder: Option<PathBuf>,
    made: NewFolders,
}

impl BackupStore {
    /// Opens a folder (created if absent, for its owner only), or `s3://…`, `az://…`, `gs://…` with the client's
    /// options.
    pub fn open(
        place: &Place,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StorageError> {
        match place {
            Place::Folder(folder) => Self::in_folder(folder),
            Place::Bucket(url) => {
                let client = connect(url, options)?;
                let (store, prefix) = (client.objects, client.prefix);
                Ok(Self { store, prefix, folder: None, made: NewFolders::default() })
            }
        }
    }

    /// Does the same as [`Self::open`], but refuses a folder to which nothing was written yet: a mistyped path would
    /// look like an empty place.
    pub fn open_existing(
        place: &Place,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StorageError> {
        if let Place::Folder(folder) = place
            && !folder.join(BLOBS).is_dir()
        {
            return Err(StorageError::Unusable(
                "there are no backups or exports at this place".to_owned(),
            ));
        }
        Self::open(place, options)
    }

    fn in_folder(folder: &std::path::Path) -> Result<Self, StorageError> {
        let made = NewFolders::before_making(folder);
        // The contents include password hashes and keys, so these folders are private even if the parent was created by
        // somebody else and others can read it.
        make_folder(folder, PRIVATE)?;
        for part in [BLOBS, Notes::Catalogs.name(), Notes::Exports.name()] {
            make_folder(&folder.join(part), PRIVATE)?;
        }
        let folder =
            folder.canonicalize().map_err(|error| StorageError::file(folder.display(), error))?;
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: Path::default(), folder: Some(folder), made })
    }

    /// Removes the folders that were created for this place and are empty, so that a failed run leaves none behind.
    pub fn remove_new_folders(&self) {
        if let Some(folder) = &self.folder {
            self.made.remove_empty(folder);
        }
    }

    /// Removes what was left by writers that were killed more than a day ago.
    pub async fn remove_leftovers(&self, now: DateTime<Utc>) {
        match self.remove_rows_without_note(now).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed the rows of incomplete backups"),
            Err(error) => {
                tracing::warn!(%error, "the rows of incomplete backups could not be removed");
            }
        }
        let Some(folder) = self.folder.clone() else { return };
        match tokio::task::spawn_blocking(move || leftovers::remove(&folder, now)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(files)) => tracing::info!(files, "removed files that killed backups left behind"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "files that killed backups left behind could not be removed");
            }
        }
    }

    /// Removes old rows without a note. Rows are written before their note, so such a backup was never completed, and
    /// rows contain password hashes and keys.
    async fn remove_rows_without_note(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        let listed = self.store.list(Some(&self.prefix.clone().join(Notes::Catalogs.name())));
        let found: Vec<_> = listed.try_collect().await?;
        let names: BTreeSet<_> =
            found.iter().filter_map(|object| object.location.filename()).collect();
        let mut removed = 0;
        for object in &found {
            let rows = object.location.filename().and_then(|name| name.strip_suffix(".jsonl"));
            let is_old = now - object.last_modified >= leftovers::ABANDONED_AFTER;
            if rows.is_some_and(|name| is_old && !names.contains(&*format!("{name}.json"))) {
                self.store.delete(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Returns the sizes of all stored files, by digest in hex.
    pub async fn blobs(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        let listed = self.store.list(Some(&self.prefix.clone().join(BLOBS)));
        let blobs = listed.try_filter_map(|object| async move {
            let is_hex = |name: &&str| {
                name.len() == 64
                    && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            };
            let name = object.location.filename().filter(is_hex);
            Ok(name.map(|name| (name.to_owned(), object.size)))
        });
        Ok(blobs.try_collect().await?)
    }

    /// Stores a file's bytes and compares them with their digest.
    pub async fn put_blob(&self, reader: &BlobReader, digest: &Digest) -> Result<(), StorageError> {
        copying::copy(reader, &self.store, &self.blob(digest), digest, Attributes::new()).await
    }

    pub fn reader(&self, digest: &Digest, size: u64) -> Result<BlobReader, StorageError> {
        let location = self.blob(digest);
        self.must_be_plain(&location)?;
        Ok(BlobReader::remote(Arc::clone(&self.store), location, size))
    }

    pub async fn remove_blob(&self, hex: &str) -> Result<(), StorageError> {
        let location = self.prefix.clone().join(BLOBS).join(hex.get(..2).unwrap_or("__")).join(hex);
        match self.store.delete(&location).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the size of a file's stored bytes, or none if they are not stored.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        match self.store.head(&self.blob(digest)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the names of all notes of a kind in their order.
    pub async fn names(&self, notes: Notes) -> Result<Vec<String>, StorageError> {
        let listed = self.store.list(Some(&self.prefix.clone().join(notes.name())));
        let names = listed.try_filter_map(|object| async move {
            Ok(object.location.filename().map(str::to_owned))
        });
        let mut names: Vec<_> = names.try_collect().await?;
        names.sort_unstable();
        Ok(names)
    }

    pub async fn put(&self, notes: Notes, name: &str, content: Bytes) -> Result<(), StorageError> {
        self.store.put(&self.on(notes, name), content.into()).await?;
        Ok(())
    }

    /// Stores a catalog's rows, which may be too large for memory, and compares them with their digest.
    pub async fn put_file(
        &self,
        name: &str,
        reader: &BlobReader,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        copying::copy(reader, &self.store, &self.catalog(name), digest, Attributes::new()).await
    }

    pub async fn get(&self, notes: Notes, name: &str) -> Result<Bytes, StorageError> {
        let location = self.on(notes, name);
        self.must_be_plain(&location)?;
        Ok(self.store.get(&location).await?.bytes().await?)
    }

    pub fn catalog_reader(&self, name: &str, size: u64) -> Result<BlobReader, StorageError> {
        let location = self.catalog(name);
        self.must_be_plain(&location)?;
        Ok(BlobReader::remote(Arc::clone(&self.store), location, size))
    }

    pub async fn remove(&self, name: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.catalog(name)).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Fails if the location in a folder is not a regular file: others may have put a link or a pipe there. A missing
    /// file is no error here, because the reader will notice it.
    fn must_be_plain(&self, location: &Path) -> Result<(), StorageError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        match file_system::must_be_regular_below(folder, std::path::Path::new(location.as_ref())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| {
                StorageError::file(folder.join(location.as_ref()).display(), error)
            }),
        }
    }

    fn blob(&self, digest: &Digest) -> Path {
        let hex = digest.to_hex();
        self.prefix.clone().join(BLOBS).join(&hex[..2]).join(hex)
    }

    fn catalog(&self, name: &str) -> Path {
        self.on(Notes::Catalogs, name)
    }

    fn on(&self, notes: Notes, name: &str) -> Path {
        self.prefix.clone().join(notes.name()).join(name)
    }
}
