//! Moving everything elsewhere: to another database, another store, or both, while servers go on answering.
//!
//! Bytes are copied first, as long as that takes, and compared with their digests; then the catalog takes no more changes
//! (they are told to come back), the last bytes follow, and the rows. Update checks and downloads go on all the while. Cut off
//! anywhere, the same command goes on; given up, the old place is what it was.
//!
//! What is only of the moment does not move: uploads under way are begun anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::audit::{Entry, NOTHING};
use super::backup::{Load, dump_to_file};
use super::{Actor, Catalog, Result};
use crate::model::{Digest, StoredBlob};
use crate::storage::StorageError;
use crate::storage::blobs::Listing;
use crate::storage::blobs::examine::{Pace, Verdict};

/// Copying everything once takes long, and what has come meanwhile little.
const PASSES: u32 = 3;

/// How long what was begun before the freeze may take to its end.
const SETTLING: Duration = Duration::from_secs(3);

/// What was moved.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    pub rows: u64,
    pub blobs: u64,
    pub copied_bytes: u64,
    /// Files that were damaged here, and are in quarantine there.
    pub lost: Vec<Digest>,
    /// The keys of what was copied, or found there and read.
    seen: BTreeSet<String>,
}

/// Which parts are the same on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    pub store: bool,
    pub tree: bool,
}

impl Catalog {
    /// Moves to `target`, whose catalog is empty.
    pub async fn move_to(&self, target: &Self, shared: Shared, scratch: &Path) -> Result<Moved> {
        target.must_be_empty(shared.tree).await?;
        let mut moved = Moved::default();
        if !shared.store {
            for _ in 0..PASSES {
                if self.copy_to(target, &mut moved).await? == 0 {
                    break;
                }
            }
        }
        self.freeze("it is being moved").await?;
        let done = self.finish_move(target, shared, scratch, &mut moved).await;
        match done {
            Ok(()) => {
                self.freeze("it has moved").await?;
                Ok(moved)
            }
            Err(error) => {
                self.unfreeze().await?;
                Err(error)
            }
        }
    }

    async fn finish_move(
        &self,
        target: &Self,
        shared: Shared,
        scratch: &Path,
        moved: &mut Moved,
    ) -> Result<()> {
        tokio::time::sleep(SETTLING).await;
        moved.lost.clear();
        if !shared.store {
            self.copy_to(target, moved).await?;
        }
        let mut tx = self.db.read().await?;
        let rows = dump_to_file(&mut tx, shared.tree, scratch).await?;
        let blobs = tx.stored_blobs().await?;
        drop(tx);
        moved.blobs = blobs.len() as u64;
        let lost = blobs.iter().filter(|blob| moved.lost.contains(&blob.digest));
        let lost: Vec<(Uuid, Digest)> = lost.map(|blob| (blob.id, blob.digest)).collect();
        // Nothing is lost between here and there, so no number is left out.
        let load = Load { numbers_left_out: 0, were_bytes_read: !shared.store };
        moved.rows = target.load_rows(&rows, &lost, load).await?;
        target.claim_store().await
    }

    /// Copies what the target lacks; how many blobs.
    async fn copy_to(&self, target: &Self, moved: &mut Moved) -> Result<u64> {
        let blobs = self.db.read().await?.stored_blobs().await?;
        let there = target.blobs.list().await?;
        let keys: BTreeSet<_> = blobs.iter().map(|blob| &blob.key).collect();
        if let Some(stranger) = there.keys().find(|key| !keys.contains(key)) {
            // What was deleted here since an earlier attempt, or somebody else's.
            let detail =
                format!("the new store has {stranger}, which nobody here knows: empty it first");
            return Err(StorageError::Unusable(detail).into());
        }
        let mut copied = 0;
        for blob in &blobs {
            if moved.lost.contains(&blob.digest) || moved.seen.contains(&blob.key) {
                continue;
            }
            if is_moved(target, blob, &there).await? {
                moved.seen.insert(blob.key.clone());
                continue;
            }
            let put = match self.blobs.reader(&blob.key, blob.size).await {
                Ok(reader) => target.blobs.put_whole(&blob.key, &reader, &blob.digest).await,
                Err(error) => Err(error),
            };
            match put {
                Ok(()) => {
                    copied += 1;
                    moved.seen.insert(blob.key.clone());
                    moved.copied_bytes += blob.size;
                    tracing::info!(blob.key = blob.key, bytes = blob.size, "moved");
                }
                Err(error) if error.is_about_the_bytes() => {
                    tracing::error!(%error, blob.key = blob.key, "damaged here, and not moved");
                    moved.lost.push(blob.digest);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(copied)
    }

    /// From its commit on nothing is changed: every change is chained into the audit, and that asks.
    async fn freeze(&self, why: &str) -> Result<()> {
        let actor = Actor::system("move");
        let mut tx = self.db.write().await?;
        let entry =
            Entry { action: "catalog.freeze", subject: "catalog".to_owned(), actor: &actor };
        self.audit(&mut tx, entry, NOTHING, Some(&why));
        tx.set_frozen(Some(why)).await?;
        Ok(tx.commit().await?)
    }

    /// Takes changes again.
    pub async fn unfreeze(&self) -> Result<()> {
        let actor = Actor::system("move");
        let mut tx = self.db.write().await?;
        let entry =
            Entry { action: "catalog.unfreeze", subject: "catalog".to_owned(), actor: &actor };
        self.audit(&mut tx, entry, NOTHING, NOTHING);
        tx.set_frozen(None).await?;
        Ok(tx.commit().await?)
    }
}

/// Whether a blob is there with its bytes: they are read, for an earlier attempt may have come to a bad end.
async fn is_moved(target: &Catalog, blob: &StoredBlob, there: &Listing) -> Result<bool> {
    if there.get(&blob.key).and_then(|stored| stored.size) != Some(blob.size) {
        return Ok(false);
    }
    let mut pace = Pace::new(None);
    let examined = target.blobs.examine(&blob.key, blob.size, &blob.digest, &mut pace).await?;
    Ok(examined == Verdict::Sound)
}
