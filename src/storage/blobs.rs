//! The store of blobs: a local folder, S3, Azure or Google Cloud Storage behind one type.
//!
//! A blob lies under a random key from the first byte on, and its row holds the digest: naming it
//! after its content would need a rename when the digest is known, which object stores do not have.
//! Only this module knows where in the store a key lies.
//!
//! `appender` is how a blob grows in either place, `bucket` what is asked of an object store,
//! [`reader`] how a blob is read, [`listing`] what is there at all,
//! [`verify`] whether it still is what it was.

mod appender;
mod bucket;
pub mod listing;
pub mod reader;
pub mod running_hash;
mod staged_file;
#[cfg(test)]
pub(crate) mod test_bucket;
pub mod verify;
mod write_lease;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{Attributes, ObjectStore, ObjectStoreExt as _};
use tokio::task::spawn_blocking;
use url::Url;

pub use self::write_lease::Hold;
use super::error::StorageError;
use super::{copying, disk, instance};
use crate::model::Digest;
pub use appender::{Appender, Growing, Kept, Tail};
use bucket::Bucket;
pub(super) use bucket::client::{Answer, Client, Encryption, Service, connect};
pub use bucket::probe::Findings;
pub(super) use bucket::probe::unusable;
pub(super) use bucket::{COPYING, away, in_time, of_a_file, within};
pub use listing::{Identities, Listing, ReadFile, Stored};
pub use reader::BlobReader;
pub use running_hash::RunningHash;

/// Where the bytes of all files lie.
///
/// What goes to a bucket is boxed: the futures of its client are of several KiB, and would be part of
/// those of all requests.
#[derive(Clone)]
pub struct Blobs(Place);

#[derive(Clone)]
enum Place {
    Folder { path: PathBuf, store: Arc<dyn ObjectStore> },
    Bucket(Bucket),
}

/// The multipart upload as which a blob grows in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    pub id: String,
    /// Of all parts but the last, in bytes.
    pub part_size: u64,
}

/// A part that is in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// From 0.
    pub number: u64,
    /// Where in the blob it ends.
    pub end: u64,
    /// What the store calls it.
    pub id: String,
}

/// Where a bucket's service finds a blob that it is to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: String,
    pub location: StorePath,
}

/// A blob all of whose bytes are on stable storage.
#[derive(Debug, Clone)]
pub struct Complete {
    pub key: String,
    pub size: u64,
    pub multipart: Option<Multipart>,
    /// The numbers and ids of all of them, in their order.
    pub parts: Vec<(u64, String)>,
}

/// Whether a bucket's URL and options are understood. Nobody is asked.
pub fn check_bucket(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<(), StorageError> {
    connect(url, options).map(drop)
}

impl Blobs {
    /// Opens `file:///…`, `s3://bucket/prefix`, `az://…` or `gs://…`; options are `object_store`'s own.
    /// `spool` is a folder for what is on its way into a bucket. To be called within the runtime that
    /// lives as long as the server.
    pub fn open(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
        spool: &Path,
    ) -> Result<Self, StorageError> {
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| {
                StorageError::Unusable(format!("store.url {url} is no path of this machine"))
            })?;
            return Self::open_folder(&folder);
        }
        instance::make_folder(spool, instance::PRIVATE)?;
        Ok(Self(Place::Bucket(Bucket::open(url, options, spool.to_owned())?)))
    }

    /// A local folder, made if absent. Files and folders are synced before a write is acknowledged.
    pub fn open_folder(folder: &Path) -> Result<Self, StorageError> {
        instance::make_folder(folder, instance::PRIVATE)?;
        let path =
            folder.canonicalize().map_err(StorageError::file(folder.display().to_string()))?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(&path)?.with_fsync(true));
        Ok(Self(Place::Folder { path, store }))
    }

    /// Smaller parts than a bucket has otherwise, for tests.
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

    /// The file that holds a blob, where the store is a folder.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        match &self.0 {
            // Two letters of the key make a folder, so that none grows past what listing tools bear.
            Place::Folder { path, .. } => Some(path.join(key.get(..2).unwrap_or("__")).join(key)),
            Place::Bucket(_) => None,
        }
    }

    /// Where the blob is for the bucket's own service; none where the store is a folder.
    pub fn copy_source(&self, key: &str) -> Option<CopySource> {
        match &self.0 {
            Place::Folder { .. } => None,
            Place::Bucket(bucket) => Some(bucket.copy_source(key)),
        }
    }

    /// An address of the bucket's at which whoever has it may GET or HEAD the blob, for so long; none where the store is a
    /// folder.
    pub async fn signed_url(
        &self,
        key: &str,
        method: &str,
        good_for: Duration,
    ) -> Result<Option<Url>, StorageError> {
        match &self.0 {
            Place::Folder { .. } => Ok(None),
            Place::Bucket(bucket) => {
                Box::pin(bucket.signed_url(key, method, good_for)).await.map(Some)
            }
        }
    }

    /// Whether a growing blob has nothing past `received`. A bucket's writers keep apart what they have
    /// not sent.
    pub fn ends_at(&self, key: &str, received: u64) -> bool {
        let Some(path) = self.local_path(key) else { return true };
        let length = match std::fs::metadata(staged_path(&path)) {
            Ok(staged) => staged.len(),
            Err(_) => std::fs::metadata(path).map_or(0, |complete| complete.len()),
        };
        length == received
    }

    /// Tries what a bucket does, with a blob that is to be removed; none where the store is a folder.
    pub(super) async fn probe(
        &self,
        key: &str,
        bytes: &'static [u8],
    ) -> Result<Option<Findings>, StorageError> {
        match &self.0 {
            Place::Folder { .. } => Ok(None),
            Place::Bucket(bucket) => Box::pin(bucket.probe(key, bytes)).await.map(Some),
        }
    }

    /// Room for more, where the store can tell.
    pub fn free_bytes(&self) -> Result<Option<u64>, StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => free_bytes(path).map(Some),
            Place::Bucket(_) => Ok(None),
        }
    }

    /// What is left of the disk that appends write to.
    pub fn free_bytes_of_disk(&self) -> Result<u64, StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => free_bytes(path),
            Place::Bucket(bucket) => free_bytes(&bucket.spool),
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
            std::fs::File::open(&path).map_err(StorageError::file(path.display().to_string()))
        });
        let file = opened.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        Ok(BlobReader::local(Arc::new(file), size))
    }

    /// Begins the multipart upload of a blob where it needs one. To be noted before anything is
    /// appended; one that cannot be noted is to be [aborted](Self::abort_multipart).
    pub async fn begin_multipart(
        &self,
        key: &str,
        size: u64,
    ) -> Result<Option<Multipart>, StorageError> {
        match &self.0 {
            Place::Bucket(bucket) if size > 0 => Box::pin(bucket.begin(key, size)).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Takes a multipart upload away without the blob's other bytes.
    pub async fn abort_multipart(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => Box::pin(bucket.abort(key, multipart)).await,
            Place::Folder { .. } => Ok(()),
        }
    }

    /// Opens a blob that is growing, at the end of what was kept of it.
    pub async fn appender(&self, growing: Growing) -> Result<Appender, StorageError> {
        match &self.0 {
            Place::Folder { .. } => {
                let path = self.local_path(&growing.key).unwrap_or_default();
                Appender::in_folder(staged_path(&path), path, growing).await
            }
            Place::Bucket(bucket) => Box::pin(Appender::in_bucket(bucket.clone(), growing)).await,
        }
    }

    /// Gives a blob that is complete and synced its final name. May be repeated.
    pub async fn complete(&self, whole: &Complete) -> Result<(), StorageError> {
        let path = match &self.0 {
            Place::Bucket(bucket) => {
                Box::pin(bucket.complete(whole)).await?;
                return appender::spool::remove(&bucket.spool.join(&whole.key));
            }
            Place::Folder { .. } => self.local_path(&whole.key).unwrap_or_default(),
        };
        let named = spawn_blocking(move || staged_file::take_name(&staged_path(&path), &path));
        named.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }

    /// Writes a whole blob, compared with its digest: it is there with these bytes, or not at all.
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
        Box::pin(copying::copy(reader, &store, &location, digest, attributes)).await
    }

    /// The blobs by what their files are; nothing where the store is a bucket.
    pub async fn identities(&self) -> Result<Identities, StorageError> {
        let Place::Folder { path, .. } = &self.0 else { return Ok(Identities::new()) };
        let root = path.clone();
        let what = root.display().to_string();
        let found = spawn_blocking(move || listing::identities(&root)).await;
        let found = found.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        found.map_err(StorageError::file(what))
    }

    /// Makes a file of this machine a blob, by another name of the same file. False where the store is a bucket or on another
    /// disk, or the file is another's or has changed since it was read.
    pub async fn link(
        &self,
        file: &Path,
        key: &str,
        read: &ReadFile,
    ) -> Result<bool, StorageError> {
        let (Place::Folder { path, .. }, Some(blob)) = (&self.0, self.local_path(key)) else {
            return Ok(false);
        };
        let (root, file, what) = (path.clone(), file.to_owned(), file.display().to_string());
        let read = read.clone();
        let linked = spawn_blocking(move || listing::link(&root, &file, &blob, &read)).await;
        let linked = linked.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        linked.map_err(StorageError::file(what))
    }

    /// Removes a tail that another one or a whole part has replaced.
    pub async fn remove_tail(&self, key: &str, tail: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => Box::pin(bucket.remove_tail(key, tail)).await,
            Place::Folder { .. } => Ok(()),
        }
    }

    /// Removes a blob's bytes, finished or not. That there are none is fine.
    pub async fn remove(&self, key: &str, multipart: Option<&str>) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => {
                appender::spool::remove(&bucket.spool.join(key))?;
                Box::pin(bucket.remove(key, multipart)).await
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

    /// The blobs of which something is on its way through this machine.
    pub fn spooled(&self) -> Result<Vec<String>, StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => appender::spool::keys(&bucket.spool),
            Place::Folder { .. } => Ok(Vec::new()),
        }
    }

    /// Takes away what is on its way of a blob that goes on elsewhere, or not at all.
    pub fn clear_spool(&self, key: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => appender::spool::remove(&bucket.spool.join(key)),
            Place::Folder { .. } => Ok(()),
        }
    }
}

fn free_bytes(folder: &Path) -> Result<u64, StorageError> {
    disk::free_bytes(folder).map_err(StorageError::file(folder.display().to_string()))
}

/// Where a blob grows until it is complete.
fn staged_path(path: &Path) -> PathBuf {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".part");
    staged.into()
}

fn remove_staged(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(staged_path(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::file(path.display().to_string())(error))
        }
        _ => Ok(()),
    }
}
