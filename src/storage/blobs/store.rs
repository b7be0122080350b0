//! The store itself: a folder or a bucket, the location of a key in it, and the operations on a whole blob.
//!
//! The operations on a growing blob are in `upload`, and the listing of what is stored is in
//! [`listing`](super::listing).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{Attributes, ObjectStore, ObjectStoreExt as _};
use tokio::task::spawn_blocking;
use url::Url;

use super::appender::spool;
use super::bucket::StoredObject;
use super::bucket::client::connect;
use super::bucket::probe::Findings;
use super::bucket::{Bucket, CopySource};
use super::reader::BlobReader;
use super::staged_file::remove_staged;
use crate::model::Digest;
use crate::storage::error::StorageError;
use crate::storage::{copying, disk, instance};

/// The store of the bytes of all files.
///
/// Futures for a bucket are boxed: those of its client have several KiB, and would be part of those of all requests.
#[derive(Clone)]
pub struct Blobs(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    Folder { path: PathBuf, store: Arc<dyn ObjectStore> },
    Bucket(Bucket),
}

/// Checks that a bucket's URL and options are understood. Sends no request.
pub fn check_bucket(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<(), StorageError> {
    connect(url, options).map(drop)
}

impl Blobs {
    /// Opens `file:///…`, `s3://bucket/prefix`, `az://…` or `gs://…`; options are `object_store`'s own. `spool` is a
    /// folder for parts on their way into a bucket. To be called within the runtime that lives as long as the server.
    pub fn open(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
        spool: &Path,
    ) -> Result<Self, StorageError> {
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| {
                StorageError::Unusable(format!("store.url {url} is not a path on this machine"))
            })?;
            return Self::open_folder(&folder);
        }
        instance::make_folder(spool, instance::PRIVATE)?;
        Ok(Self(Place::Bucket(Bucket::open(url, options, spool.to_owned())?)))
    }

    /// Opens a local folder, which is created if absent. Files and folders are synced before a write is acknowledged.
    pub fn open_folder(folder: &Path) -> Result<Self, StorageError> {
        instance::make_folder(folder, instance::PRIVATE)?;
        let path =
            folder.canonicalize().map_err(|error| StorageError::file(folder.display(), error))?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(&path)?.with_fsync(true));
        Ok(Self(Place::Folder { path, store }))
    }

    /// Sets a smaller part size for a bucket, for tests.
    #[cfg(test)]
    pub(crate) fn with_parts_of(mut self, bytes: u64) -> Self {
        if let Place::Bucket(bucket) = &mut self.0 {
            bucket.part_size = bytes;
        }
        self
    }

    pub const fn is_folder(&self) -> bool {
        matches!(self.0, Place::Folder { .. })
    }

    /// Returns the file that holds a blob; none if the store is a bucket.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        match &self.0 {
            // The first two letters of the key form a folder, so that no folder grows too large for listing tools.
            Place::Folder { path, .. } => Some(path.join(key.get(..2).unwrap_or("__")).join(key)),
            Place::Bucket(_) => None,
        }
    }

    /// Returns the location of the blob for the bucket's own service; none if the store is a folder.
    pub fn copy_source(&self, key: &str) -> Option<CopySource> {
        match &self.0 {
            Place::Folder { .. } => None,
            Place::Bucket(bucket) => Some(bucket.copy_source(key)),
        }
    }

    /// Returns a signed URL of the bucket with which anyone may GET or HEAD the blob for the given time; none if the
    /// store is a folder.
    pub async fn signed_url(
        &self,
        key: &str,
        method: &str,
        good_for: Duration,
    ) -> Result<Option<Url>, StorageError> {
        match &self.0 {
            Place::Folder { .. } => Ok(None),
            Place::Bucket(bucket) => bucket.signed_url(key, method, good_for).await.map(Some),
        }
    }

    /// Returns what the bucket reports of a blob; none if the store is a folder, or the object has no strong tag.
    pub async fn stored_object(&self, key: &str) -> Result<Option<StoredObject>, StorageError> {
        match &self.0 {
            Place::Folder { .. } => Ok(None),
            Place::Bucket(bucket) => bucket.stored_object(key).await,
        }
    }

    /// Tests a bucket with a blob that the caller has to remove; none if the store is a folder.
    pub(in crate::storage) async fn probe(
        &self,
        key: &str,
        bytes: &'static [u8],
    ) -> Result<Option<Findings>, StorageError> {
        match &self.0 {
            Place::Folder { .. } => Ok(None),
            Place::Bucket(bucket) => bucket.probe(key, bytes).await.map(Some),
        }
    }

    /// Returns the free space for more blobs; none if the store cannot tell.
    pub fn free_bytes(&self) -> Result<Option<u64>, StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => free_bytes(path).map(Some),
            Place::Bucket(_) => Ok(None),
        }
    }

    /// Returns the free space of the disk that appends write to.
    pub fn free_bytes_of_disk(&self) -> Result<u64, StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => free_bytes(path),
            Place::Bucket(bucket) => free_bytes(&bucket.spool),
        }
    }

    /// Returns a folder of this server for unnamed files that become blobs.
    pub fn scratch_folder(&self) -> &Path {
        match &self.0 {
            Place::Folder { path, .. } => path,
            Place::Bucket(bucket) => &bucket.spool,
        }
    }

    /// Opens a stored blob for reading.
    pub async fn reader(&self, key: &str, size: u64) -> Result<BlobReader, StorageError> {
        let path = match &self.0 {
            Place::Bucket(bucket) => {
                return Ok(BlobReader::remote(bucket.objects(), bucket.location(key), size));
            }
            Place::Folder { .. } => self.local_path(key).unwrap_or_default(),
        };
        let opened = spawn_blocking(move || {
            std::fs::File::open(&path).map_err(|error| StorageError::file(path.display(), error))
        });
        let file = opened.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        Ok(BlobReader::local(Arc::new(file), size))
    }

    /// Writes a whole blob and compares it with its digest: afterwards it is stored with these bytes, or not at all.
    pub async fn put_whole(
        &self,
        key: &str,
        reader: &BlobReader,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let (store, location, attributes) = match &self.0 {
            Place::Folder { store, .. } => {
                let shard = key.get(..2).unwrap_or("__");
                let location = StorePath::default().join(shard).join(key);
                (Arc::clone(store), location, Attributes::new())
            }
            Place::Bucket(bucket) => (bucket.objects(), bucket.location(key), bucket.attributes()),
        };
        copying::copy(reader, &store, &location, digest, attributes).await
    }

    /// Deletes a blob's bytes, complete or not. Missing ones are no error.
    pub async fn remove(&self, key: &str, multipart: Option<&str>) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => {
                spool::remove(&bucket.spool.join(key))?;
                bucket.remove(key, multipart).await
            }
            Place::Folder { store, .. } => {
                let path = self.local_path(key).unwrap_or_default();
                remove_staged(&path)?;
                let shard = key.get(..2).unwrap_or("__");
                match store.delete(&StorePath::default().join(shard).join(key)).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

fn free_bytes(folder: &Path) -> Result<u64, StorageError> {
    disk::free_bytes(folder).map_err(|error| StorageError::file(folder.display(), error))
}
