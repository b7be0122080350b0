//! Healing: damaged files become intact again, from bytes that have just arrived or because the stored bytes are intact
//! after all. The scrub in the module `upkeep` finds damage and keeps it from clients.

use uuid::Uuid;

use super::audit::{Entry, NOTHING};
use super::{Actor, Catalog, Result};
use crate::model::{Digest, File, Image, Revision, RevisionState};
use crate::storage::{Change, Tx};

impl Catalog {
    /// Heals files with a blob that has just arrived: damaged files of the image with the same bytes use it from now
    /// on. Reports whether there were any; if so, the caller refreshes the snapshot after the commit.
    pub(super) async fn heal_twins(
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

    /// Ends the quarantine of revisions that use the blob and have no damaged files any more. They return to their
    /// previous state.
    pub(crate) async fn release_healed(
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
            // Open uploads that were to heal it have no target any more.
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

    /// Makes a change of an image visible. Must be called at the end of the transaction, because it locks channels.
    pub(crate) async fn show_change_of(&self, tx: &mut Tx, image: &Image) -> Result<()> {
        let held: Vec<_> =
            tx.assigned_everywhere(image.id).await?.iter().map(|held| held.channel_id).collect();
        // In the order of their names, like all changes that lock several channels.
        for channel in tx.channels().await? {
            if held.contains(&channel.id) {
                tx.raise_channel_sequence(channel.id, self.clock.now()).await?;
            }
        }
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        Ok(())
    }
}

/// Reports whether a sealed revision's file may be uploaded again: to heal it, with the same bytes.
pub(super) async fn is_to_be_healed(
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

pub(crate) fn entry<'a>(
    action: &'static str,
    image: &Image,
    revision: &Revision,
    actor: &'a Actor,
) -> Entry<'a> {
    let subject = format!("images/{}/revisions/{}", image.name, revision.number);
    Entry { action, subject, actor }
}
