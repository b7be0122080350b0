//! The store of blobs: a local folder, S3, Azure or Google Cloud Storage behind one type.
//!
//! A blob lies under a random key from the first byte on, and its row holds the digest: naming it
//! after its content would need a rename when the digest is known, which object stores do not have.
//! Only this module knows where in the store a key lies.

mod appender;
pub mod reader;
pub mod running_hash;
mod staged_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::task::spawn_blocking;
use url::Url;

use super::error::StorageError;

use super::{disk, instance};
pub use appender::{Appender, Kept, Tail};
pub use reader::BlobReader;
pub use running_hash::RunningHash;

/// Where the bytes of all files lie.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: StorePath,
    /// The folder, where the store is one.
    folder: Option<PathBuf>,
}

impl Blobs {
    /// Opens `file:///…`, `s3://bucket/prefix`, `az://…` or `gs://…`; options are `object_store`'s own.
    pub fn open(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StorageError> {
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| {
                StorageError::Unusable(format!("store.url {url} is no path of this machine"))
            })?;
            return Self::open_folder(&folder);
        }
        let (store, prefix) = object_store::parse_url_opts(url, options)?;
        Ok(Self { store: Arc::from(store), prefix, folder: None })
    }

    /// A local folder, made if absent. Files and folders are synced before a write is acknowledged.
    pub fn open_folder(folder: &Path) -> Result<Self, StorageError> {
        instance::make_folder(folder, instance::PRIVATE)?;
        let folder =
            folder.canonicalize().map_err(StorageError::file(folder.display().to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: StorePath::default(), folder: Some(folder) })
    }

    /// Two letters of the key make a folder, so that none grows past what listing tools bear.
    fn location(&self, key: &str) -> StorePath {
        let shard = key.get(..2).unwrap_or("__");
        self.prefix.clone().join(shard).join(key)
    }

    /// The file that holds a blob, where the store is a folder.
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(key.get(..2).unwrap_or("__")).join(key))
    }

    /// Room for more, where the store can tell.
    pub fn free_bytes(&self) -> Result<Option<u64>, StorageError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let free =
            disk::free_bytes(folder).map_err(StorageError::file(folder.display().to_string()))?;
        Ok(Some(free))
    }

    /// Opens a stored blob for reading.
    pub async fn reader(&self, key: &str, size: u64) -> Result<BlobReader, StorageError> {
        let Some(path) = self.local_path(key) else {
            return Ok(BlobReader::remote(Arc::clone(&self.store), self.location(key), size));
        };
        let opened = spawn_blocking(move || {
            std::fs::File::open(&path).map_err(StorageError::file(path.display().to_string()))
        });
        let file = opened.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        Ok(BlobReader::local(Arc::new(file), size))
    }

    /// Opens a blob that is growing, at the end of what was kept of it.
    pub async fn appender(
        &self,
        key: &str,
        kept: Kept,
        size: u64,
        tail: Tail,
    ) -> Result<Appender, StorageError> {
        let path = self.local_path(key).ok_or_else(no_folder)?;
        Appender::open(staged_path(&path), path, kept, size, tail).await
    }

    /// Gives a blob that is complete and synced its final name. May be repeated.
    pub async fn complete(&self, key: &str) -> Result<(), StorageError> {
        let path = self.local_path(key).ok_or_else(no_folder)?;
        let named = spawn_blocking(move || staged_file::take_name(&staged_path(&path), &path));
        named.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }

    /// Removes a blob's bytes, finished or not. That there are none is fine.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        if let Some(path) = self.local_path(key) {
            remove_staged(&path)?;
        }
        match self.store.delete(&self.location(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Uploads go to a folder first.
fn no_folder() -> StorageError {
    StorageError::Unusable("uploads need a store.url that is a folder".to_owned())
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
