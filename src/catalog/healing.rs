//! Healing: what was found damaged is whole again, by bytes that have just come or as they lie. Finding damage, and
//! keeping it from clients, is the scrub's, in the room `upkeep`.

use uuid::Uuid;

use super::audit::{Entry, NOTHING};
use super::{Actor, Catalog, Result};
use crate::model::{Digest, File, Image, Revision, RevisionState};
use crate::storage::{Change, Tx};

impl Catalog {
    /// For a blob that has just come: files of the image with the same bytes, damaged, have it from now on. Says whether
    /// there were any; then the change is to be shown.
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

    /// Revisions with the blob, none of whose files are damaged any more, are what they were before.
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
    pub(crate) async fn show_change_of(&self, tx: &mut Tx, image: &Image) -> Result<()> {
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
