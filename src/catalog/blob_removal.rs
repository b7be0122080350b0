//! Bytes that nothing refers to are removed: after an upload that ended, and by the sweep and the garbage collection of the
//! room `upkeep`, which decide what that is.

use super::{Catalog, Result};
use crate::model::Blob;

/// So many blobs are removed in one sweep.
const AT_ONCE: i64 = 500;

/// So many blobs in a row that cannot be removed: the store is away, and the others can wait.
const STORE_IS_AWAY: usize = 2;

impl Catalog {
    /// Removes the bytes of every blob that nothing refers to, of a bucket also its parts. One that cannot be removed is left for
    /// the next sweep and keeps nobody from the others, nor the server from starting.
    pub(crate) async fn remove_garbage(&self) -> Result<()> {
        let now = self.clock.now();
        let garbage = self.db.read().await?.removable_blobs(now, AT_ONCE).await?;
        let mut failures = 0;
        for blob in garbage {
            failures = if self.remove_or_postpone(&blob).await? { 0 } else { failures + 1 };
            if failures == STORE_IS_AWAY {
                break;
            }
        }
        Ok(())
    }

    /// Says whether it is gone; else it comes last from now on.
    pub(crate) async fn remove_or_postpone(&self, blob: &Blob) -> Result<bool> {
        let Err(error) = self.remove_blob(blob).await else { return Ok(true) };
        if error.is_database_away() {
            return Err(error);
        }
        tracing::warn!(%error, blob.key = blob.key, "garbage stays until the next sweep");
        let mut tx = self.db.write_to_free().await?;
        tx.postpone_garbage(blob.id, self.clock.now()).await?;
        tx.commit().await?;
        Ok(false)
    }

    /// The bytes, then the row: killed in between, the row brings the sweep back.
    async fn remove_blob(&self, blob: &Blob) -> Result<()> {
        self.blobs.remove(&blob.key, blob.multipart.as_deref()).await?;
        let mut tx = self.db.write_to_free().await?;
        tx.delete_blob(blob.id).await?;
        Ok(tx.commit().await?)
    }
}
