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

use super::backup::{Load, dump_to_file};
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{Digest, StoredBlob};
use crate::storage::blobs::Listing;
use crate::storage::blobs::verify::{Pace, Verdict};
use crate::storage::dump::TreeRows;
use crate::storage::{AuditHead, StorageError, Tx};

/// Copying everything once takes long, and what has come meanwhile little.
const PASSES: u32 = 3;

/// How long what was begun before the freeze may take to its end.
const SETTLING: Duration = Duration::from_secs(3);

/// What stands in the catalog while it is being moved, and for good afterwards.
const MOVING: &str = "it is being moved";
const MOVED: &str = "it has moved";

/// What was moved.
#[derive(Debug, Clone, Default)]
pub struct Moved {
    pub rows: u64,
    pub blobs: u64,
    pub copied_bytes: u64,
    /// Files that were damaged here, and are in quarantine there.
    pub lost: Vec<(Uuid, Digest)>,
    /// The keys of what was copied, or found there and read.
    seen: BTreeSet<String>,
}

/// Which parts are the same on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    pub store: bool,
    pub tree: bool,
}

/// What becomes of a catalog that is to take changes again although its move came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfMoved {
    /// It takes none: they would be lost to the new place.
    #[default]
    Refuse,
    /// It takes them: the new place is not used.
    GoOnHere,
}

impl Catalog {
    /// Moves to `target`, whose catalog is empty, or has these very rows from a run that was cut off at its end.
    pub async fn move_to(&self, target: &Self, shared: Shared, scratch: &Path) -> Result<Moved> {
        // A disk that is not mounted has nothing to move.
        self.check_owner().await?;
        let frozen = self.db.look().await?.frozen().await?;
        if frozen.as_deref() == Some(MOVED) {
            return Err(unusable(
                "the catalog has moved already, and is used at its new place".to_owned(),
            ));
        }
        let identity = self.identity().await?;
        if frozen.as_deref() == Some(MOVING) && self.has_come_to(target).await? {
            self.freeze(MOVED).await?;
            return Ok(Moved::default());
        }
        if !shared.store && self.blobs.is_same_as(&target.blobs, self.ids.next()).await? {
            return Err(unusable(
                "both settings name the same store in different words: name it the same way in both (store.url and \
                 store.options)"
                    .to_owned(),
            ));
        }
        target.must_have_no_rows().await?;
        if !shared.tree {
            target.must_have_empty_tree().await?;
        }
        target.be_owned_by(identity, shared.store).await?;
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
                // Not where the rows have come after all, and only the answer was lost.
                if target.db.read().await?.is_blank().await? {
                    self.unfreeze(IfMoved::Refuse).await?;
                }
                Err(error)
            }
        }
    }

    /// Whether the target has this catalog's rows up to the newest, from a run that was cut off at its end. An older copy, of
    /// a backup say, has not.
    async fn has_come_to(&self, target: &Self) -> Result<bool> {
        let Some(head) = self.db.read().await?.audit_head().await? else { return Ok(false) };
        Ok(target.db.read().await?.has_audit_row(head.sequence, &head.hash).await?)
    }

    /// Before any row is there: killed in between, the store is no stranger's to the catalog.
    async fn be_owned_by(&self, identity: Uuid, is_shared: bool) -> Result<()> {
        match self.blobs.owner().await? {
            Some(owner) if owner == identity => Ok(()),
            Some(owner) => {
                Err(unusable(format!("the new store belongs to another catalog, {owner}")))
            }
            None if is_shared => Err(unusable(
                "the new settings' store is not this one, though its URL is the same".to_owned(),
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
        self.until_no_round_is_done().await?;
        moved.lost.clear();
        if !shared.store {
            self.copy_to(target, moved).await?;
        }
        let mut tx = self.db.read().await?;
        let tree = if shared.tree { TreeRows::Carried } else { TreeRows::LeftOut };
        let rows = dump_to_file(&mut tx, tree, scratch).await?;
        moved.blobs = tx.stored_blobs().await?.len() as u64;
        drop(tx);
        // Nothing is lost between here and there, so no number is left out.
        let load = Load { numbers_left_out: 0, were_bytes_read: !shared.store };
        moved.rows = target.load_rows(&rows, &moved.lost, load).await?;
        self.end_move(head.as_ref()).await
    }

    /// Copies what the target lacks; how many blobs.
    async fn copy_to(&self, target: &Self, moved: &mut Moved) -> Result<u64> {
        let blobs = self.db.read().await?.stored_blobs().await?;
        let there = target.blobs.list().await?;
        let keys: BTreeSet<_> = blobs.iter().map(|blob| &blob.key).collect();
        for stranger in there.keys().filter(|key| !keys.contains(key)) {
            if !moved.seen.remove(stranger) {
                // What was deleted here since an earlier attempt, or somebody else's.
                return Err(unusable(format!(
                    "the new store has {stranger}, which nobody here knows: empty it first"
                )));
            }
            // Copied by this run, and deleted here since.
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
            target.check_room(&mut target.db.read().await?, blob.size).await?;
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
                    moved.lost.push((blob.id, blob.digest));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(copied)
    }

    /// The old place is the old one from now on; unless somebody gave the move up meanwhile, or began another: then it has
    /// changes that have not come along.
    async fn end_move(&self, head: Option<&AuditHead>) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_audit().await?;
        if tx.frozen().await?.as_deref() != Some(MOVING) || tx.audit_head().await?.as_ref() != head
        {
            return Err(unusable(
                "the move was given up, or begun once more, while it was under way: what has come to the new place is \
                 not all. Empty the new place and begin anew"
                    .to_owned(),
            ));
        }
        self.freeze_by(tx, MOVED).await
    }

    /// From its commit on nothing is changed that callers ask for: each such change is chained into the audit, and that
    /// asks. Background work stops by itself (`job`).
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

    /// Takes changes again.
    pub async fn unfreeze(&self, if_moved: IfMoved) -> Result<()> {
        if if_moved == IfMoved::Refuse
            && self.db.look().await?.frozen().await?.as_deref() == Some(MOVED)
        {
            return Err(unusable(
                "the catalog has moved: changes here would be lost to the new place. --although-moved says that it is not used"
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

fn unusable(detail: String) -> Error {
    StorageError::Unusable(detail).into()
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
