//! The removal of bytes that nothing refers to: after an upload has ended, and by the sweep and the garbage collection
//! of the module `upkeep`, which decide what these bytes are.

use super::{Catalog, Result};
use crate::model::Blob;

/// The number of blobs that are removed in one sweep.
const AT_ONCE: i64 = 500;

/// The number of consecutive failures after which the store counts as unreachable, and the other blobs have to wait.
const FAILURES_UNTIL_UNREACHABLE: usize = 2;

impl Catalog {
    /// Removes the bytes of blobs that nothing refers to, in a bucket including their parts. A blob that cannot be
    /// removed is left for the next sweep; it prevents neither the removal of the others nor the start of the server.
    pub(crate) async fn remove_garbage(&self) -> Result<()> {
        let now = self.clock.now();
        let garbage = self.db.read().await?.removable_blobs(now, AT_ONCE).await?;
        let mut failures = 0;
        for blob in garbage {
            failures = if self.remove_or_postpone(&blob).await? { 0 } else { failures + 1 };
            if failures == FAILURES_UNTIL_UNREACHABLE {
                break;
            }
        }
        Ok(())
    }

    /// Removes a blob and reports whether it is gone. If it is not, it comes last from now on.
    pub(crate) async fn remove_or_postpone(&self, blob: &Blob) -> Result<bool> {
        let Err(error) = self.remove_blob(blob).await else { return Ok(true) };
        if error.is_database_unreachable() {
            return Err(error);
        }
        tracing::warn!(%error, blob.key = blob.key, "garbage could not be removed; the next sweep tries again");
        let mut tx = self.db.write_to_free().await?;
        tx.postpone_garbage(blob.id, self.clock.now()).await?;
        tx.commit().await?;
        Ok(false)
    }

    /// Removes the bytes, then the row. If the server is killed in between, the row makes the sweep try again.
    async fn remove_blob(&self, blob: &Blob) -> Result<()> {
        self.blobs.remove(&blob.key, blob.multipart.as_deref()).await?;
        let mut tx = self.db.write_to_free().await?;
        tx.delete_blob(blob.id).await?;
        Ok(tx.commit().await?)
    }
}
