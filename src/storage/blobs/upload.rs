//! The operations that the catalog needs while a blob grows, from the start of the multipart upload to the final name.

use tokio::task::spawn_blocking;

use super::appender::{Appender, spool};
use super::growing::{Complete, Growing, Multipart};
use super::staged_file::{self, staged_path};
use super::store::{Blobs, Place};
use crate::storage::error::StorageError;

impl Blobs {
    /// Begins the multipart upload of a blob that needs one. The caller has to record it before anything is appended,
    /// and to [abort](Self::abort_multipart) one that cannot be recorded.
    pub async fn begin_multipart(
        &self,
        key: &str,
        size: u64,
    ) -> Result<Option<Multipart>, StorageError> {
        match &self.0 {
            Place::Bucket(bucket) if size > 0 => bucket.begin(key, size).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Aborts a multipart upload without deleting the blob's other bytes.
    pub async fn abort_multipart(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => bucket.abort(key, multipart).await,
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
            Place::Bucket(bucket) => Appender::in_bucket(bucket.clone(), growing).await,
        }
    }

    /// Gives a blob that is complete and synced its final name. May be repeated.
    pub async fn complete(&self, whole: &Complete) -> Result<(), StorageError> {
        let path = match &self.0 {
            Place::Bucket(bucket) => {
                bucket.complete(whole).await?;
                return spool::remove(&bucket.spool.join(&whole.key));
            }
            Place::Folder { .. } => self.local_path(&whole.key).unwrap_or_default(),
        };
        let named = spawn_blocking(move || staged_file::take_name(&staged_path(&path), &path));
        named.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }

    /// Deletes a tail that another one or a whole part has replaced.
    pub async fn remove_tail(&self, key: &str, tail: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => bucket.remove_tail(key, tail).await,
            Place::Folder { .. } => Ok(()),
        }
    }

    /// Reports whether a growing blob has nothing past `received`. Always true for a bucket, whose writers keep apart
    /// what they have not sent.
    pub fn ends_at(&self, key: &str, received: u64) -> bool {
        let Some(path) = self.local_path(key) else { return true };
        let length = match std::fs::metadata(staged_path(&path)) {
            Ok(staged) => staged.len(),
            Err(_) => std::fs::metadata(path).map_or(0, |complete| complete.len()),
        };
        length == received
    }

    /// Lists the keys of the blobs that have bytes on their way through this machine.
    pub fn spooled(&self) -> Result<Vec<String>, StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => spool::keys(&bucket.spool),
            Place::Folder { .. } => Ok(Vec::new()),
        }
    }

    /// Deletes the local bytes of a blob that continues on another server, or not at all.
    pub fn clear_spool(&self, key: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Bucket(bucket) => spool::remove(&bucket.spool.join(key)),
            Place::Folder { .. } => Ok(()),
        }
    }
}
