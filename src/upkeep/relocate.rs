//! Moves everything to another database, another store, or both, while servers keep answering.
//!
//! Bytes are copied first, however long that takes, and compared with their digests. Then the catalog takes no more
//! changes (callers are told to come back), and the last bytes and the rows follow. Update checks and downloads
//! continue all the while. If the move is interrupted, the same command continues it. If it is given up, the old place
//! is as it was before.
//!
//! Temporary state is not moved: uploads under way have to be started again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::backup::{Load, dump_to_file};
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{Digest, StoredBlob};
use crate::storage::blobs::Listing;
use crate::storage::blobs::verify::{ReadPace, Verdict};
use crate::storage::dump::TreeRows;
use crate::storage::{AuditHead, StorageError, Tx};

/// The number of copying passes before the freeze. The first one takes long, the later ones copy only what came
/// meanwhile.
const PASSES: u32 = 3;

/// The time for changes that began before the freeze to end.
const SETTLING: Duration = Duration::from_secs(3);

/// The catalog's mark while it is being moved, and its mark from then on.
const MOVING: &str = "it is being moved";
const MOVED: &str = "it has moved";

/// The result of a move.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    pub rows: u64,
    pub blobs: u64,
    pub copied_bytes: u64,
    /// Files that were damaged at the old place, and are in quarantine at the new one.
    pub lost: Vec<(Uuid, Digest)>,
    /// The keys of blobs that were copied, or were found at the new place and read.
    seen: BTreeSet<String>,
}

/// The parts that are the same on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    pub store: bool,
    pub tree: bool,
}

/// The treatment of a catalog that is to take changes again although its move is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfMoved {
    /// Refuses: the changes would be missing at the new place.
    #[default]
    Refuse,
    /// Takes changes again: the new place is not used.
    GoOnHere,
}

impl Catalog {
    /// Moves to `target`. Its catalog must be empty, or have exactly these rows from a run that was interrupted at its
    /// end.
    pub async fn move_to(&self, target: &Self, shared: Shared, scratch: &Path) -> Result<Moved> {
        // A disk that is not mounted has nothing to move.
        self.check_owner().await?;
        let frozen = self.db.look().await?.frozen().await?;
        if frozen.as_deref() == Some(MOVED) {
            return Err(unusable(
                "the catalog was moved already and is in use at its new place".to_owned(),
            ));
        }
        let identity = self.identity().await?;
        if frozen.as_deref() == Some(MOVING) && self.has_arrived_at(target).await? {
            self.freeze(MOVED).await?;
            return Ok(Moved::default());
        }
        if !shared.store && self.blobs.is_same_as(&target.blobs, self.ids.next()).await? {
            return Err(unusable(
                "both settings name the same store in different ways: use the same store.url and store.options in both"
                    .to_owned(),
            ));
        }
        target.must_have_no_rows().await?;
        if !shared.tree {
            target.must_have_empty_tree().await?;
        }
        target.set_store_owner(identity, shared.store).await?;
        let mut moved = Moved::default();
        if !shared.store {
            for _ in 0..PASSES {
                if self.copy_to(target, &mut moved).await? == 0 {
                    break;
                }
            }
        }
        self.freeze(MOVING).await?;
        match self.finish_move(target, shared, scratch, &mut moved).await {
            Ok(()) => Ok(moved),
            Err(error) => {
                // The catalog stays frozen if the rows have arrived after all, and only the answer was lost.
                if target.db.read().await?.is_blank().await? {
                    self.unfreeze(IfMoved::Refuse).await?;
                }
                Err(error)
            }
        }
    }

    /// Reports whether the target has this catalog's rows up to the newest, from a run that was interrupted at its end.
    /// An older copy, for example from a backup, does not.
    async fn has_arrived_at(&self, target: &Self) -> Result<bool> {
        let Some(head) = self.db.read().await?.audit_head().await? else { return Ok(false) };
        Ok(target.db.read().await?.has_audit_row(head.sequence, &head.hash).await?)
    }

    /// Records the store's owner before there are any rows, so that the catalog owns its store even if the process is
    /// killed in between.
    async fn set_store_owner(&self, identity: Uuid, is_shared: bool) -> Result<()> {
        match self.blobs.owner().await? {
            Some(owner) if owner == identity => Ok(()),
            Some(owner) => {
                Err(unusable(format!("the new store belongs to another catalog, {owner}")))
            }
            None if is_shared => Err(unusable(
                "the store of the new settings is another one, although its URL is the same"
                    .to_owned(),
            )),
            None => Ok(self.blobs.set_owner(identity).await?),
        }
    }

    async fn finish_move(
        &self,
        target: &Self,
        shared: Shared,
        scratch: &Path,
        moved: &mut Moved,
    ) -> Result<()> {
        let head = self.db.read().await?.audit_head().await?;
        tokio::time::sleep(SETTLING).await;
        if !self.until_no_round_is_done().await? {
            return Err(given_up());
        }
        moved.lost.clear();
        if !shared.store {
            self.copy_to(target, moved).await?;
        }
        let mut tx = self.db.read().await?;
        let tree = if shared.tree { TreeRows::Carried } else { TreeRows::LeftOut };
        let rows = dump_to_file(&mut tx, tree, scratch).await?;
        moved.blobs = tx.stored_blobs().await?.len() as u64;
        drop(tx);
        // Nothing is lost between the two places, so no number is skipped.
        let load = Load { numbers_left_out: 0, were_bytes_read: !shared.store };
        moved.rows = target.load_rows(&rows, &moved.lost, load).await?;
        self.end_move(head.as_ref()).await
    }

    /// Copies the blobs that the target lacks. Returns their number.
    async fn copy_to(&self, target: &Self, moved: &mut Moved) -> Result<u64> {
        let blobs = self.db.read().await?.stored_blobs().await?;
        let there = target.blobs.list().await?;
        let keys: BTreeSet<_> = blobs.iter().map(|blob| &blob.key).collect();
        for stranger in there.keys().filter(|key| !keys.contains(key)) {
            if !moved.seen.remove(stranger) {
                // A blob that was deleted here since an earlier attempt, or one of somebody else.
                return Err(unusable(format!(
                    "the new store contains {stranger}, which this catalog does not know: empty it first"
                )));
            }
            // This run copied it, and it was deleted here since.
            target.blobs.remove(stranger, None).await?;
        }
        let mut copied = 0;
        for blob in &blobs {
            let is_lost = moved.lost.iter().any(|(lost, _)| *lost == blob.id);
            if is_lost || moved.seen.contains(&blob.key) {
                continue;
            }
            if is_moved(target, blob, &there).await? {
                moved.seen.insert(blob.key.clone());
                continue;
            }
            target.check_free_space(&mut target.db.read().await?, blob.size).await?;
            let put = match self.blobs.reader(&blob.key, blob.size).await {
                Ok(reader) => target.blobs.put_whole(&blob.key, &reader, &blob.digest).await,
                Err(error) => Err(error),
            };
            match put {
                Ok(()) => {
                    copied += 1;
                    moved.seen.insert(blob.key.clone());
                    moved.copied_bytes += blob.size;
                    tracing::info!(blob.key = blob.key, bytes = blob.size, "moved a blob");
                }
                Err(error) if error.is_about_the_bytes() => {
                    tracing::error!(%error, blob.key = blob.key, "the blob is damaged and was not moved");
                    moved.lost.push((blob.id, blob.digest));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(copied)
    }

    /// Marks the old place as moved. Fails if the move was given up or started again meanwhile: then the old place has
    /// changes that were not moved.
    async fn end_move(&self, head: Option<&AuditHead>) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_audit().await?;
        if tx.frozen().await?.as_deref() != Some(MOVING) || tx.audit_head().await?.as_ref() != head
        {
            return Err(given_up());
        }
        self.freeze_by(tx, MOVED).await
    }

    /// Stops all changes that callers ask for, from this commit on: each of them is appended to the audit log, which
    /// checks for the freeze. Background work checks it too (`job`).
    async fn freeze(&self, why: &str) -> Result<()> {
        self.freeze_by(self.db.write_to_free().await?, why).await
    }

    async fn freeze_by(&self, mut tx: Tx, why: &str) -> Result<()> {
        let actor = Actor::system("move");
        let entry =
            Entry { action: "catalog.freeze", subject: "catalog".to_owned(), actor: &actor };
        self.audit(&mut tx, entry, NOTHING, Some(&why));
        tx.set_frozen(Some(why)).await?;
        Ok(tx.commit().await?)
    }

    /// Lets the catalog take changes again.
    pub async fn unfreeze(&self, if_moved: IfMoved) -> Result<()> {
        if if_moved == IfMoved::Refuse
            && self.db.look().await?.frozen().await?.as_deref() == Some(MOVED)
        {
            return Err(unusable(
                "the catalog was moved: changes here would be missing at the new place. Use --although-moved if that is not in use"
                    .to_owned(),
            ));
        }
        let actor = Actor::system("move");
        let mut tx = self.db.write_to_free().await?;
        let entry =
            Entry { action: "catalog.unfreeze", subject: "catalog".to_owned(), actor: &actor };
        self.audit(&mut tx, entry, NOTHING, NOTHING);
        tx.set_frozen(None).await?;
        Ok(tx.commit().await?)
    }
}

fn given_up() -> Error {
    unusable(
        "the move was given up or started again while it was running, so the new place is incomplete: empty it and \
         start again"
            .to_owned(),
    )
}

fn unusable(detail: String) -> Error {
    StorageError::Unusable(detail).into()
}

/// Reports whether the target has a blob with its bytes. They are read, because an earlier attempt may have ended
/// badly.
async fn is_moved(target: &Catalog, blob: &StoredBlob, there: &Listing) -> Result<bool> {
    if there.get(&blob.key).and_then(|stored| stored.size) != Some(blob.size) {
        return Ok(false);
    }
    let mut pace = ReadPace::new(None);
    let examined = target.blobs.examine(&blob.key, blob.size, &blob.digest, &mut pace).await?;
    Ok(examined == Verdict::Intact)
}
