//! Quarantine: a revision with damaged bytes is kept from clients until it is healed.
//!
//! It keeps its channels. Who has it already has it whole, for every client compares digests; who asks for it is told to
//! wait. Drafts have no quarantine: their damaged file goes, and is to be uploaded again.

use serde_json::json;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};
use crate::model::{Digest, File, Image, Revision, RevisionState, StoredBlob};
use crate::storage::{Change, Tx};

/// How long copies in the tree are left for [`rescue`](super::rescue), which says itself when it is done: for good.
const RESCUE: chrono::TimeDelta = chrono::TimeDelta::days(3650);

impl Catalog {
    /// Keeps from clients whatever has these bytes. Done again, it changes nothing.
    pub(super) async fn quarantine(&self, blob: &StoredBlob, what: &str) -> Result<()> {
        let copies = self.copies_of(blob).await?;
        let (now, actor) = (self.clock.now(), Actor::system("scrub"));
        let mut tx = self.db.write().await?;
        let holders = tx.revisions_with_blob(blob.id).await?;
        let Some((first,)) = holders.first() else { return Ok(()) };
        // Only revisions of one image share bytes.
        let image_id = tx.lock_image_of(*first).await?;
        let Some(image) = tx.image_by_id(image_id).await? else { return Ok(()) };
        // Deleted while this waited for the lock.
        let holders = tx.revisions_with_blob(blob.id).await?;
        if holders.is_empty() {
            return Ok(());
        }
        let rescue_until = (!copies.is_empty() && !blob.is_damaged).then(|| now + RESCUE);
        tx.insert_damage(blob.id, what, rescue_until, now).await?;
        tx.note_scrubbed(blob.id, now).await?;
        for (holder,) in holders {
            let Some(mut revision) = tx.revision_by_id(holder).await? else { continue };
            self.take_out_of_use(&mut tx, &actor, &image, &mut revision, blob, what).await?;
        }
        if tx.revisions_with_blob(blob.id).await?.is_empty() {
            // It was drafts' alone.
            tx.delete_damage(blob.id).await?;
            tx.discard_blob(blob.id, now, now).await?;
        }
        if blob.is_damaged {
            // Seen before, and shown then.
            return Ok(tx.commit().await?);
        }
        self.show_change_of(&mut tx, &image).await?;
        tx.commit().await?;
        metrics::counter!("imagedepot_scrub_damage_found_total").increment(1);
        tracing::error!(blob.key = blob.key, image = %image.name, what, "stored bytes are damaged");
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }

    async fn take_out_of_use(
        &self,
        tx: &mut Tx,
        actor: &Actor,
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
        self.audit(tx, entry(action, image, revision, actor), NOTHING, Some(&after));
        Ok(())
    }

    /// The bytes are sound again where they lie.
    pub(super) async fn heal_in_place(&self, blob: &StoredBlob) -> Result<()> {
        let actor = Actor::system("scrub");
        let mut tx = self.db.write().await?;
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

    /// For a blob that has just come: files of the image with the same bytes, damaged, have it from now on. Says whether
    /// there were any; then the change is to be shown.
    pub(in crate::catalog) async fn heal_twins(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &Image,
        (blob, digest, size): (Uuid, &Digest, i64),
    ) -> Result<bool> {
        let twins = tx.damaged_twins(image.id, digest, size, blob).await?;
        let now = self.clock.now();
        for (twin,) in &twins {
            tx.replace_blob(*twin, blob).await?;
            tx.delete_damage(*twin).await?;
            tx.discard_blob(*twin, now, now).await?;
        }
        if !twins.is_empty() {
            self.release_healed(tx, actor, image, blob).await?;
            self.show_change_of(tx, image).await?;
        }
        Ok(!twins.is_empty())
    }

    /// Revisions with the blob, none of whose files are damaged any more, are what they were before.
    async fn release_healed(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &Image,
        blob: Uuid,
    ) -> Result<()> {
        for (holder,) in tx.revisions_with_blob(blob).await? {
            let Some(mut revision) = tx.revision_by_id(holder).await? else { continue };
            let is_healed = tx.count_damaged(holder).await? == 0;
            if revision.state != RevisionState::Quarantined || !is_healed {
                continue;
            }
            revision.state = tx.end_quarantine(holder).await?.unwrap_or(RevisionState::Ready);
            // What somebody else uploads to heal it has nowhere to go any more.
            for arriving in tx.delete_open_uploads_of(holder).await? {
                tx.discard_arriving(arriving, self.clock.now()).await?;
            }
            self.save(tx, &mut revision).await?;
            let entry = entry("revision.heal", image, &revision, actor);
            self.audit(tx, entry, NOTHING, Some(&revision.state));
            tracing::info!(image = %image.name, revision = revision.number, "healed");
        }
        Ok(())
    }

    /// To be called at the end of the transaction: channels are locked here.
    async fn show_change_of(&self, tx: &mut Tx, image: &Image) -> Result<()> {
        let held: Vec<_> =
            tx.assigned_everywhere(image.id).await?.iter().map(|held| held.channel_id).collect();
        // By their names, as all changes lock several channels.
        for channel in tx.channels().await? {
            if held.contains(&channel.id) {
                tx.raise_channel_sequence(channel.id, self.clock.now()).await?;
            }
        }
        Ok(tx.raise_catalog_version(Change::Image(image.id)).await?)
    }
}

/// Whether a sealed revision's file may be uploaded once more: to heal it, and with the same bytes.
pub(in crate::catalog) async fn is_to_be_healed(
    tx: &mut Tx,
    revision: &Revision,
    file: Option<&File>,
) -> Result<bool> {
    match file {
        Some(file) if revision.state == RevisionState::Quarantined => {
            Ok(tx.is_damaged(file.blob_id).await?)
        }
        _ => Ok(false),
    }
}

fn entry<'a>(
    action: &'static str,
    image: &Image,
    revision: &Revision,
    actor: &'a Actor,
) -> Entry<'a> {
    let subject = format!("images/{}/revisions/{}", image.name, revision.number);
    Entry { action, subject, actor }
}
