//! Quarantine: a revision with damaged bytes is kept from clients until it is healed.
//!
//! It stays assigned to its channels. Clients that already have it have it intact, because every client compares
//! digests; clients that ask for it are told to wait. Drafts have no quarantine: their damaged file is deleted, and has
//! to be uploaded again.

use serde_json::json;

use crate::catalog::audit::NOTHING;
use crate::catalog::events::News;
use crate::catalog::healing::entry;
use crate::catalog::{Actor, Catalog, Result};
use crate::model::event::EventPlace;
use crate::model::{EventType, Image, Revision, RevisionState, StoredBlob, metric};
use crate::storage::Tx;

/// The time for which copies in the tree are kept for [`rescue`](super::rescue): practically without limit, because it
/// reports itself when it is done.
const RESCUE: chrono::TimeDelta = chrono::TimeDelta::days(3650);

impl Catalog {
    /// Puts everything that has these bytes into quarantine. Doing it again changes nothing.
    pub(super) async fn quarantine(&self, blob: &StoredBlob, what: &str) -> Result<()> {
        let copies = self.copies_of(blob).await?;
        let now = self.clock.now();
        let mut tx = self.db.write_to_free().await?;
        let holders = tx.revisions_with_blob(blob.id).await?;
        let Some((first,)) = holders.first() else { return Ok(()) };
        // Only revisions of one image share bytes.
        let image_id = tx.lock_image_of(*first).await?;
        let Some(image) = tx.image_by_id(image_id).await? else { return Ok(()) };
        // They may have been deleted while this waited for the lock.
        let holders = tx.revisions_with_blob(blob.id).await?;
        if holders.is_empty() {
            return Ok(());
        }
        let rescue_until = (!copies.is_empty() && !blob.is_damaged).then(|| now + RESCUE);
        tx.insert_damage(blob.id, what, rescue_until, now).await?;
        tx.note_scrubbed(blob.id, now).await?;
        for (holder,) in holders {
            let Some(mut revision) = tx.revision_by_id(holder).await? else { continue };
            self.take_out_of_use(&mut tx, &image, &mut revision, blob, what).await?;
        }
        if tx.revisions_with_blob(blob.id).await?.is_empty() {
            // Only drafts had it.
            tx.delete_damage(blob.id).await?;
            tx.discard_blob(blob.id, now, now).await?;
        }
        if blob.is_damaged {
            // The damage is known, and was published when it was found.
            return Ok(tx.commit().await?);
        }
        let scrub = Actor::system("scrub");
        self.tell_readers(&mut tx, found(blob, &image, what, &scrub));
        self.show_change_of(&mut tx, &image).await?;
        tx.commit().await?;
        metric::SCRUB_DAMAGE_FOUND.increment(1);
        tracing::error!(blob.key = blob.key, image = %image.name, what, "stored bytes are damaged");
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }

    async fn take_out_of_use(
        &self,
        tx: &mut Tx,
        image: &Image,
        revision: &mut Revision,
        blob: &StoredBlob,
        what: &str,
    ) -> Result<()> {
        let now = self.clock.now();
        let files = tx.files_of(revision.id).await?;
        let roles: Vec<_> =
            files.iter().filter(|file| file.blob_id == blob.id).map(|file| file.role).collect();
        let action = match revision.state {
            RevisionState::Ready | RevisionState::Revoked => {
                tx.insert_quarantine(revision.id, revision.state, now).await?;
                revision.state = RevisionState::Quarantined;
                "revision.quarantine"
            }
            RevisionState::Draft => {
                for role in &roles {
                    tx.delete_file(revision.id, *role).await?;
                }
                "file.damaged"
            }
            RevisionState::Quarantined | RevisionState::Deleted => return Ok(()),
        };
        self.save(tx, revision).await?;
        let after = json!({"roles": roles, "digest": blob.digest.to_string(), "what": what});
        self.audit(
            tx,
            entry(action, image, revision, &Actor::system("scrub")),
            NOTHING,
            Some(&after),
        );
        Ok(())
    }

    /// Ends the quarantine of bytes that are intact again in their place.
    pub(super) async fn heal_in_place(&self, blob: &StoredBlob) -> Result<()> {
        let actor = Actor::system("scrub");
        let mut tx = self.db.write_to_free().await?;
        let holders = tx.revisions_with_blob(blob.id).await?;
        let Some((first,)) = holders.first() else { return Ok(()) };
        let image = tx.lock_image_of(*first).await?;
        let Some(image) = tx.image_by_id(image).await? else { return Ok(()) };
        tx.delete_damage(blob.id).await?;
        tx.note_scrubbed(blob.id, self.clock.now()).await?;
        self.release_healed(&mut tx, &actor, &image, blob.id).await?;
        self.show_change_of(&mut tx, &image).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }
}

fn found<'a>(blob: &StoredBlob, image: &Image, what: &str, actor: &'a Actor) -> News<'a> {
    News {
        kind: EventType::ScrubDamageFound,
        actor: &actor.name,
        subject: format!("images/{}", image.name),
        place: EventPlace { image: Some(image.name.to_string()), ..EventPlace::default() },
        data: json!({"digest": blob.digest.to_string(), "what": what}),
    }
}
