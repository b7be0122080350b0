//! Retention: deletes older revisions of images with `keep_revisions`.
//!
//! The newest ready revisions are kept, as many as the image says. Older ones are deleted, revoked ones too, unless
//! they are protected or clients may still fetch them: a channel is assigned to them or keeps them in its folder
//! (`keep_old`), or the tree still has them for their grace. Quarantined revisions stay until they are healed, because
//! nobody knows what a channel would keep of them. Deletion happens as if somebody had requested it, when
//! [`garbage`](super::garbage) runs every few hours. Anyone who changes `keep_revisions` therefore has time for a dry
//! run.

use std::collections::HashSet;

use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};
use crate::model::{Image, ImageName, RevisionState};
use crate::storage::{RetainedRevision, Scope, Tx};

/// The number of revisions deleted in one transaction. Other writers get their turn in between, and each transaction
/// determines again which revisions may be deleted.
const BATCH: usize = 500;

/// A revision beyond the number that its image keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    pub id: Uuid,
    pub image: ImageName,
    pub number: i64,
    /// The size of its files, which other revisions may share.
    pub bytes: u64,
}

/// Returns the revisions to delete, out of all sealed ones, newest first.
fn surplus(
    revisions: Vec<RetainedRevision>,
    keep: i64,
    offered: &HashSet<Uuid>,
) -> Vec<RetainedRevision> {
    let mut ready = 0;
    let is_surplus = |revision: &RetainedRevision| {
        let is_past = ready >= keep;
        if revision.state == RevisionState::Ready {
            ready += 1;
        }
        let may_be_healed = revision.state == RevisionState::Quarantined;
        is_past
            && !may_be_healed
            && !revision.protected
            && !revision.held
            && !offered.contains(&revision.id)
    };
    revisions.into_iter().filter(is_surplus).collect()
}

impl Catalog {
    /// Returns what [`Self::expire_revisions`] would delete now.
    pub(super) async fn surplus_revisions(&self) -> Result<Vec<Surplus>> {
        let mut tx = self.db.read().await?;
        let mut all = Vec::new();
        for (image,) in tx.images_with_surplus().await? {
            if let Some(image) = tx.image_by_id(image).await? {
                all.extend(surplus_of(&mut tx, &image).await?);
            }
        }
        Ok(all)
    }

    /// Deletes the revisions beyond the number that their images keep.
    pub(super) async fn expire_revisions(&self) -> Result<Vec<Surplus>> {
        let mut gone = Vec::new();
        for (image,) in self.db.read().await?.images_with_surplus().await? {
            loop {
                let batch = self.expire_some(image).await?;
                let is_last = batch.len() < BATCH;
                gone.extend(batch);
                if is_last {
                    break;
                }
            }
        }
        if !gone.is_empty() {
            self.refresh().await;
        }
        Ok(gone)
    }

    async fn expire_some(&self, image: Uuid) -> Result<Vec<Surplus>> {
        let actor = Actor::system("retention");
        let mut tx = self.db.write_to_free().await?;
        tx.lock_image(image).await?;
        // Read under the lock: the image may have been changed, or a revision promoted, since the list was read.
        let Some(image) = tx.image_by_id(image).await? else { return Ok(Vec::new()) };
        let mut batch = surplus_of(&mut tx, &image).await?;
        batch.truncate(BATCH);
        let mut was_revoked = false;
        for surplus in &batch {
            let Some(mut revision) = tx.revision_by_id(surplus.id).await? else { continue };
            was_revoked |= revision.state == RevisionState::Revoked;
            self.make_tombstone(&mut tx, &mut revision).await?;
            let subject = format!("images/{}/revisions/{}", image.name, revision.number);
            let entry = Entry { action: "revision.expire", subject, actor: &actor };
            self.audit(&mut tx, entry, NOTHING, NOTHING);
        }
        if !batch.is_empty() {
            self.show_end_of(&mut tx, &image, was_revoked).await?;
            tx.commit().await?;
        }
        Ok(batch)
    }
}

async fn surplus_of(tx: &mut Tx, image: &Image) -> Result<Vec<Surplus>> {
    let Some(keep) = image.keep_revisions.filter(|_| image.deleted_at.is_none()) else {
        return Ok(Vec::new());
    };
    let offered = tx.offered_files(Scope::Image(image.id)).await?;
    let offered = offered.into_iter().map(|file| file.revision_id).collect();
    let revisions = tx.retained_revisions(image.id).await?;
    let of = |revision: RetainedRevision| Surplus {
        id: revision.id,
        image: image.name.clone(),
        number: revision.number,
        bytes: revision.bytes,
    };
    Ok(surplus(revisions, keep, &offered).into_iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: i64, state: RevisionState) -> RetainedRevision {
        let id = Uuid::from_u128(number.unsigned_abs().into());
        RetainedRevision { id, number, state, protected: false, held: false, bytes: 1 }
    }

    fn numbers(revisions: Vec<RetainedRevision>, keep: i64, offered: &[u128]) -> Vec<i64> {
        let offered = offered.iter().map(|id| Uuid::from_u128(*id)).collect();
        surplus(revisions, keep, &offered).iter().map(|revision| revision.number).collect()
    }

    #[test]
    fn the_newest_ready_revisions_stay_and_what_is_older_goes() {
        use RevisionState::{Quarantined, Ready, Revoked};
        let states =
            [(6, Ready), (5, Revoked), (4, Ready), (3, Quarantined), (2, Ready), (1, Ready)];
        let all: Vec<_> = states.map(|(number, state)| revision(number, state)).into();
        // A revoked one does not count among those that are kept, and stays if an older one is kept.
        assert_eq!(numbers(all.clone(), 2, &[]), [2, 1]);
        assert_eq!(numbers(all.clone(), 1, &[]), [5, 4, 2, 1]);
        assert_eq!(numbers(all, 4, &[]), [0; 0]);
    }

    #[test]
    fn what_is_protected_or_somebody_may_fetch_stays() {
        let mut all: Vec<_> =
            (1..=5).rev().map(|number| revision(number, RevisionState::Ready)).collect();
        all[1].protected = true;
        all[2].held = true;
        assert_eq!(numbers(all, 1, &[2]), [1]);
    }
}
