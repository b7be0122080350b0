//! One type for a tree in a folder and a tree in a bucket, and the same methods on either.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use url::Url;

use super::bucket::TreeBucket;
use super::entry::{Entries, Entry, Original};
use super::folder::{self, TreeFolder};
use crate::model::publication::ServedAs;
use crate::storage::blobs::{BlobReader, Blobs, connect};
use crate::storage::error::StorageError;

/// The place of published files. Cheap to clone.
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

    /// Asks a bucket for the tag of an object whose listing shows another one than `tag`: some services write tags
    /// otherwise in listings, or leave them out.
    pub async fn confirm_tag(
        &self,
        path: &str,
        found: &mut Entry,
        tag: &str,
    ) -> Result<(), StorageError> {
        match (self, found) {
            (Self::Bucket(tree), Entry::Object { tag: listed, .. })
                if listed.as_deref() != Some(tag) =>
            {
                *listed = tree.tag(path).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Lists one folder of the tree, without the folders below it. A folder that does not exist is empty.
    pub async fn list(&self, folder: &str) -> Result<Entries, StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, folder) = (tree.clone(), folder.to_owned());
                let files = blocking(move || tree.list(&folder)).await?;
                Ok(files.into_iter().map(|(name, file)| (name, Entry::File(file))).collect())
            }
            Self::Bucket(tree) => tree.list(folder).await,
        }
    }

    /// Lists the folders below the root.
    pub async fn folders(&self) -> Result<Vec<String>, StorageError> {
        match self {
            Self::Folder(tree) => {
                let tree = tree.clone();
                blocking(move || tree.folders()).await
            }
            Self::Bucket(tree) => tree.folders().await,
        }
    }

    /// Returns the local path of a published file; none if the tree is a bucket.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(tree) => Some(tree.root().join(path)),
            Self::Bucket(_) => None,
        }
    }

    /// Reports whether a file found in the tree is a blob's published form. `tag` is what was recorded of its
    /// publication. Blocks to read a file's metadata if the tree is a folder.
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

    /// Makes a blob appear under `path`. Returns the tag to record, by which the copy is recognised; none in a folder,
    /// where the file itself shows it.
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
                tree.publish(path, original, &source).await.map(Some)
            }
        }
    }

    /// Opens a published file of `size` bytes.
    pub async fn reader(&self, path: &str, size: u64) -> Result<BlobReader, StorageError> {
        match self {
            Self::Folder(tree) => {
                let path = tree.root().join(path);
                let opened = blocking(move || {
                    std::fs::File::open(&path)
                        .map_err(|error| StorageError::file(path.display(), error))
                });
                Ok(BlobReader::local(Arc::new(opened.await?), size))
            }
            Self::Bucket(tree) => Ok(tree.reader(path, size)),
        }
    }

    /// Reports whether a published file has bytes of its own: a hard link is the blob itself.
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

    /// Returns the number of small files to write or remove at once: most of the time goes to waiting for the disk or the
    /// bucket. On a disk each takes a thread, whose memory an idle server would keep for a while.
    pub const fn writes_at_once(&self) -> usize {
        match self {
            Self::Folder(_) => 4,
            Self::Bucket(_) => 32,
        }
    }

    /// Writes a small file as a whole. A bucket stores its headers with it.
    pub async fn write_document(
        &self,
        path: &str,
        served_as: ServedAs,
        content: Bytes,
    ) -> Result<(), StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, path) = (tree.clone(), path.to_owned());
                blocking(move || tree.write_document(&path, &content)).await
            }
            Self::Bucket(tree) => tree.write_document(path, served_as, content).await,
        }
    }

    /// Reads a small file; none if it does not exist.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Folder(tree) => {
                let (tree, path) = (tree.clone(), path.to_owned());
                Ok(blocking(move || tree.read(&path)).await?.map(Bytes::from))
            }
            Self::Bucket(tree) => tree.read(path).await,
        }
    }

    /// Removes a file from the tree, and also its folder if nothing else is in it. A missing file is no error.
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
            Self::Bucket(tree) => tree.remove(path).await,
        }
    }
}

fn elsewhere() -> StorageError {
    let detail = "tree.url and store.url must both be folders, or both be buckets of one service";
    StorageError::Unusable(detail.to_owned())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    spawn_blocking(work).await.map_err(|error| StorageError::Unavailable(error.to_string()))?
}
