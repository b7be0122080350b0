//! Orphans: blobs in the store that no row knows, left by a kill at the wrong moment or by a catalog that was set back.
//!
//! Servers insert a blob's row before its first byte and delete it after its last one. So a blob that was listed and
//! has no row afterwards belongs to nothing, however young it is. (An empty catalog is filled bytes first, but nothing
//! collects garbage there.) The opposite case needs care: if the store belongs to another catalog, or the catalog is
//! much older, the store is full of unknown blobs, and they may be the only copies.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use super::{Amount, CollectionOrder};
use serde_json::json;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::storage::StorageError;

/// The number of unknown blobs that counts as few, however many others there are.
const FEW: usize = 20;

/// A blob without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) key: String,
    pub(super) bytes: u64,
}

impl Catalog {
    /// Returns the catalog's identity. It is created once, and only read from then on.
    pub(in crate::upkeep) async fn identity(&self) -> Result<Uuid> {
        if let Some(identity) = self.db.look().await?.identity().await? {
            return Ok(identity);
        }
        let mut tx = self.db.write().await?;
        let identity = tx.identity_or(self.ids.next()).await?;
        tx.commit().await?;
        Ok(identity)
    }

    /// Records this catalog as the store's owner if the store has none. Must be called at startup.
    ///
    /// # Errors
    ///
    /// Fails if the catalog is new and the store belongs to another one.
    pub async fn claim_store(&self) -> Result<()> {
        let owner = self.blobs.owner().await?;
        if owner.is_some()
            && owner != self.db.look().await?.identity().await?
            && self.is_new().await?
        {
            return Err(lost());
        }
        let identity = self.identity().await?;
        // From now on, a store without its mark is a disk that is not mounted.
        self.shared.store_is_marked.store(true, Ordering::Relaxed);
        match owner {
            None if self.is_missing_its_store().await? => {
                tracing::error!(
                    "the store has none of the catalog's bytes and is not claimed: check that its disk is mounted and store.url is right"
                );
            }
            None => self.blobs.set_owner(identity).await?,
            Some(owner) if owner == identity => {}
            Some(_) => {
                tracing::error!(
                    "the store belongs to another catalog; blobs that this catalog does not know are not removed"
                );
            }
        }
        Ok(())
    }

    /// Reports whether the store should have bytes but has none: probably it is a disk that is not mounted.
    async fn is_missing_its_store(&self) -> Result<bool> {
        let known = self.db.read().await?.stored_blobs().await?;
        if known.is_empty() {
            return Ok(false);
        }
        let listing = self.blobs.list().await?;
        Ok(!known.iter().any(|blob| listing.contains_key(&blob.key)))
    }

    /// Compares store and catalog. Fails if anything indicates that nothing should be removed.
    pub(super) async fn find_orphans(&self, order: CollectionOrder) -> Result<Vec<Orphan>> {
        self.check_owner().await?;
        let mut tx = self.db.read().await?;
        let broken = tx.count_files_without_blob().await?;
        if broken > 0 {
            return Err(incomplete(format!("{broken} files have no record of their bytes")));
        }
        let before = tx.blob_keys().await?;
        drop(tx);
        let listing = self.blobs.list().await?;
        let after: HashMap<String, bool> =
            self.db.read().await?.blob_keys().await?.into_iter().collect();
        let lost = before.iter().filter(|(key, is_expected)| {
            *is_expected && after.get(key) == Some(&true) && !listing.contains_key(key)
        });
        let lost: Vec<_> = lost.collect();
        if let Some((key, _)) = lost.first() {
            let count = lost.len();
            return Err(incomplete(format!(
                "the store lacks the bytes of {count} files, such as {key}"
            )));
        }
        let known: HashSet<&String> =
            before.iter().map(|(key, _)| key).chain(after.keys()).collect();
        let all = listing.len();
        let orphans: Vec<Orphan> = listing
            .iter()
            .filter(|(key, _)| !known.contains(key))
            .map(|(key, stored)| Orphan { key: key.clone(), bytes: stored.bytes })
            .collect();
        let strangers = orphans.len();
        if strangers > FEW && strangers * 2 > all && !order.accept_orphans {
            return Err(incomplete(format!(
                "the catalog does not know {strangers} of the {all} blobs in the store"
            )));
        }
        Ok(orphans)
    }

    /// Fails if the store is not the catalog's, or is missing: the mount point of an unmounted disk is an empty folder.
    pub(in crate::upkeep) async fn check_owner(&self) -> Result<()> {
        let identity = self.identity().await?;
        match self.blobs.owner().await? {
            Some(owner) if owner == identity => Ok(()),
            Some(owner) => Err(incomplete(format!("the store belongs to the catalog {owner}"))),
            None => {
                Err(incomplete("the store does not say which catalog it belongs to".to_owned()))
            }
        }
    }

    /// Records the orphans as garbage.
    pub(super) async fn give_up_orphans(&self, orphans: &[Orphan]) -> Result<Amount> {
        let mut given_up = Amount::default();
        for some in orphans.chunks(100) {
            let now = self.clock.now();
            let remove_after = self.after_safety(now);
            let mut tx = self.db.write_to_free().await?;
            for orphan in some {
                let size = i64::try_from(orphan.bytes).unwrap_or(i64::MAX);
                let id = self.ids.next();
                if tx.insert_orphan(id, &orphan.key, size, now, remove_after).await? {
                    given_up.add(orphan.bytes);
                }
            }
            let actor = Actor::system("gc");
            let entry = Entry { action: "gc.orphans", subject: "gc".to_owned(), actor: &actor };
            let keys: Vec<_> = some.iter().map(|orphan| &orphan.key).collect();
            self.audit(&mut tx, entry, NOTHING, Some(&json!({ "given_up": keys })));
            tx.commit().await?;
        }
        Ok(given_up)
    }
}

fn lost() -> Error {
    let detail = "the catalog is empty, but the store belongs to another one. If that catalog's database was lost, recover it with \
                  `imagedepot restore` or `imagedepot catalog rebuild`; a new depot needs an empty store";
    StorageError::Unusable(detail.to_owned()).into()
}

fn incomplete(what: String) -> Error {
    Error::ReferencesIncomplete(what)
}
