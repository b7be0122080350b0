//! Storing bytes that are complete already, such as those of an import or of a transfer file: room first, then the bytes.
//!
//! The row of the blob comes first and says that it is arriving. If the server is killed, the next start gives it up. The
//! caller settles the blob in the transaction that makes use of it.

use uuid::Uuid;

use super::{Catalog, Result};
use crate::model::Digest;
use crate::storage::blobs::BlobReader;

impl Catalog {
    /// Records a blob of `size` bytes that will arrive, and returns its id and its key. `needed` bytes of disk space must
    /// be free, and are reserved.
    pub(crate) async fn announce_blob(&self, size: u64, needed: u64) -> Result<(Uuid, String)> {
        let (blob, key) = (self.ids.next(), self.ids.blob_key());
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let mut tx = self.db.write().await?;
        if needed > 0 {
            tx.lock_reservations().await?;
            self.check_free_space(&mut tx, needed).await?;
        }
        tx.insert_arriving_blob(blob, &key, size, self.instance, self.clock.now()).await?;
        tx.commit().await?;
        Ok((blob, key))
    }

    /// Gives up blobs that were announced and are not used.
    pub(crate) async fn give_up_blobs(&self, blobs: impl IntoIterator<Item = Uuid>) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        for blob in blobs {
            tx.discard_arriving(blob, self.clock.now()).await?;
        }
        tx.commit().await?;
        self.sweep_is_due();
        Ok(())
    }

    /// Stores these bytes, whose digest is known, and returns the id of their blob. If that fails, nothing is left.
    pub(crate) async fn store_whole(&self, reader: &BlobReader, digest: &Digest) -> Result<Uuid> {
        let (blob, key) = self.announce_blob(reader.size(), reader.size()).await?;
        if let Err(error) = self.blobs.put_whole(&key, reader, digest).await {
            self.give_up_blobs([blob]).await?;
            return Err(error.into());
        }
        Ok(blob)
    }
}
