//! One type for a tree in a folder and a tree in a bucket, and the same methods on either.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use url::Url;

use super::bucket::TreeBucket;
use super::entry::{Entries, Entry, Original};
use super::folder::{self, TreeFolder};
use crate::model::FolderDocument;
use crate::storage::blobs::{BlobReader, Blobs, connect};
use crate::storage::error::StorageError;

/// Where published files lie. Cheap to clone.
#[derive(Clone)]
pub enum Tree {
    Folder(TreeFolder),
    Bucket(Box<TreeBucket>),
}

impl Tree {
    /// Opens a bucket, `s3://bucket/prefix` and the like; options are `object_store`'s own. Blobs above `copy_above`
    /// bytes are copied in parts.
    pub fn bucket(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
        copy_above: u64,
    ) -> Result<Self, StorageError> {
        let tree = TreeBucket::new(connect(url, options)?, copy_above)?;
        Ok(Self::Bucket(Box::new(tree)))
    }

    pub fn folder(path: &Path) -> Result<Self, StorageError> {
        TreeFolder::open(path).map(Self::Folder)
    }

    /// What is in one folder of the tree, without what is in folders below; one that is not there is empty.
    pub async fn list(&self, folder: &str) -> Result<Entries, StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, folder) = (tree.clone(), folder.to_owned());
                let files = blocking(move || tree.list(&folder)).await?;
                Ok(files.into_iter().map(|(name, file)| (name, Entry::File(file))).collect())
            }
            Self::Bucket(tree) => Box::pin(tree.list(folder)).await,
        }
    }

    /// The folders below the root.
    pub async fn folders(&self) -> Result<Vec<String>, StorageError> {
        match self {
            Self::Folder(tree) => {
                let tree = tree.clone();
                blocking(move || tree.folders()).await
            }
            Self::Bucket(tree) => Box::pin(tree.folders()).await,
        }
    }

    /// The file of a published file, where the tree is a folder.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(tree) => Some(tree.root().join(path)),
            Self::Bucket(_) => None,
        }
    }

    /// Whether a file found in the tree is a blob's published form. `tag` is what was kept of its publication. Blocks
    /// for some file's metadata where the tree is a folder.
    pub fn is_published(
        found: &Entry,
        original: &Original,
        tag: Option<&str>,
        blobs: &Blobs,
    ) -> bool {
        match found {
            Entry::File(found) => blobs
                .local_path(&original.blob_key)
                .is_some_and(|blob| TreeFolder::is_published(found, &blob, original)),
            Entry::Object { size, tag: found, .. } => {
                *size == original.size && tag.is_some() && found.as_deref() == tag
            }
        }
    }

    /// Makes a blob appear under `path`. What is to be kept of it, by which it is known again; none in a folder,
    /// where a file is known by itself.
    pub async fn publish(
        &self,
        path: &str,
        original: &Original,
        blobs: &Blobs,
    ) -> Result<Option<String>, StorageError> {
        match self {
            Self::Folder(tree) => {
                let blob = blobs.local_path(&original.blob_key).ok_or_else(elsewhere)?;
                let (tree, path, original) = (tree.clone(), path.to_owned(), original.clone());
                blocking(move || tree.publish(&path, &blob, &original)).await?;
                Ok(None)
            }
            Self::Bucket(tree) => {
                let source = blobs.copy_source(&original.blob_key).ok_or_else(elsewhere)?;
                Box::pin(tree.publish(path, original, &source)).await.map(Some)
            }
        }
    }

    /// Opens a published file of so many bytes.
    pub async fn reader(&self, path: &str, size: u64) -> Result<BlobReader, StorageError> {
        match self {
            Self::Folder(tree) => {
                let path = tree.root().join(path);
                let opened = blocking(move || {
                    std::fs::File::open(&path)
                        .map_err(StorageError::file(path.display().to_string()))
                });
                Ok(BlobReader::local(Arc::new(opened.await?), size))
            }
            Self::Bucket(tree) => Ok(tree.reader(path, size)),
        }
    }

    /// Whether a published file has bytes of its own: a hard link is the blob itself.
    pub async fn is_copy(
        &self,
        path: &str,
        blob_key: &str,
        blobs: &Blobs,
    ) -> Result<bool, StorageError> {
        match self {
            Self::Folder(tree) => {
                let (path, blob) = (tree.root().join(path), blobs.local_path(blob_key));
                blocking(move || Ok(folder::are_two_files(&path, blob.as_deref()))).await
            }
            Self::Bucket(_) => Ok(true),
        }
    }

    /// Writes a document of a channel's folder whole. A bucket keeps what is to be said of it with it.
    pub async fn write(
        &self,
        path: &str,
        document: FolderDocument,
        content: Bytes,
    ) -> Result<(), StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, path) = (tree.clone(), path.to_owned());
                blocking(move || tree.write(&path, &content)).await
            }
            Self::Bucket(tree) => Box::pin(tree.write(path, document, content)).await,
        }
    }

    /// Reads a small file, if it is there.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, path) = (tree.clone(), path.to_owned());
                Ok(blocking(move || tree.read(&path)).await?.map(Bytes::from))
            }
            Self::Bucket(tree) => Box::pin(tree.read(path)).await,
        }
    }

    /// Takes a file out of the tree, and its folder where nothing else is in it. That it is gone already is fine.
    pub async fn remove(&self, path: &str) -> Result<(), StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, path) = (tree.clone(), path.to_owned());
                blocking(move || {
                    tree.remove(&path)?;
                    tree.remove_folder_if_empty(
                        path.rsplit_once('/').map_or("", |(folder, _)| folder),
                    );
                    Ok(())
                })
                .await
            }
            // A bucket has no folders, only names with a slash in them.
            Self::Bucket(tree) => Box::pin(tree.remove(path)).await,
        }
    }
}

fn elsewhere() -> StorageError {
    let detail = "tree.url and store.url: both are folders, or both are buckets of one service";
    StorageError::Unusable(detail.to_owned())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    spawn_blocking(work).await.map_err(|error| StorageError::Unavailable(error.to_string()))?
}
