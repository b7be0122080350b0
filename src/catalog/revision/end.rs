//! The end of a revision: it is revoked, which takes it out of use, or deleted, which leaves a tombstone with its
//! number.

use chrono::{DateTime, Utc};

use super::{RevisionDetails, locked_details};
use crate::catalog::audit::NOTHING;
use crate::catalog::channel::locked_channel;
use crate::catalog::{Actor, Catalog, ChangeContext, Error, Result};
use crate::model::{ChannelName, Image, ImageName, Revision, RevisionState};
use crate::storage::{Change, Tx};

/// The handling of channels to which a revision is assigned when it is to be revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfAssigned {
    /// The channels stay as they are, and nothing is revoked.
    #[default]
    Refuse,
    /// Each channel is rolled back. Nothing is revoked if one of them cannot be.
    RollBack,
    /// The image is withdrawn from each channel.
    Withdraw,
    /// Each channel is rolled back. If there is nothing to go back to, the image is withdrawn from it.
    RollBackOrWithdraw,
}

impl Catalog {
    /// Returns the time from which the bytes of something that is deleted now may be removed.
    pub(crate) fn after_safety(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let age = chrono::TimeDelta::from_std(self.rules().safety_age);
        let then = age.ok().and_then(|age| now.checked_add_signed(age));
        then.unwrap_or_else(end_of_time).min(end_of_time())
    }
}

/// Returns the last second of 9999. Later times have more digits, and `SQLite` compares times as text.
pub(crate) fn end_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Catalog {
    /// Takes a ready revision out of use and, if requested, out of the channels that it is assigned to, in one step.
    pub async fn revoke(
        &self,
        context: ChangeContext<'_>,
        name: &ImageName,
        number: i64,
        if_assigned: IfAssigned,
    ) -> Result<RevisionDetails> {
        let ChangeContext { actor, condition, execution } = context;
        let mut tx = self.db.write_to_free().await?;
        let mut details = locked_details(&mut tx, name, number).await?;
        condition.check(Some(&details.revision.tag()))?;
        let state = details.revision.state;
        if state != RevisionState::Ready {
            return Err(Error::RevisionNotReady { number, state });
        }
        let channels = tx.channels_assigned_to(details.revision.id).await?;
        if !channels.is_empty() && if_assigned == IfAssigned::Refuse {
            return Err(Error::RevisionAssigned { number, channels });
        }
        let before = details.shown();
        details.revision.state = RevisionState::Revoked;
        self.save(&mut tx, &mut details.revision).await?;
        let in_force = tx.channels_offering(details.revision.id).await?;
        let has_image = tx.assigned_everywhere(details.image.id).await?;
        for channel in tx.channels().await? {
            if in_force.contains(&channel.name) {
                self.leave(&mut tx, actor, &details, &channel.name, if_assigned).await?;
            } else if has_image.iter().any(|held| held.channel_id == channel.id) {
                // Its manifest tells clients to leave the revision.
                locked_channel(&mut tx, &channel.name).await?;
                tx.raise_channel_sequence(channel.id, self.clock.now()).await?;
            }
        }
        self.discard_transfer_files(&mut tx, details.revision.id).await?;
        let entry = details.entry("revision.revoke", actor);
        self.audit(&mut tx, entry, Some(&before), Some(&details.shown()));
        tx.raise_catalog_version(Change::Image(details.image.id)).await?;
        if execution.is_dry_run() {
            return Ok(details);
        }
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(details)
    }

    /// Takes a revision, which was revoked before in the same transaction, out of a channel.
    async fn leave(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        RevisionDetails { image, revision, .. }: &RevisionDetails,
        channel: &ChannelName,
        if_assigned: IfAssigned,
    ) -> Result<()> {
        let note = format!("revision {} was revoked", revision.number);
        match if_assigned {
            IfAssigned::Refuse | IfAssigned::RollBack => {
                self.roll_back_within(tx, actor, image, channel, &note).await
            }
            IfAssigned::Withdraw => self.withdraw_within(tx, actor, image, channel, &note).await,
            IfAssigned::RollBackOrWithdraw => {
                match self.roll_back_within(tx, actor, image, channel, &note).await {
                    Err(Error::NothingToRollBackTo) => {
                        self.withdraw_within(tx, actor, image, channel, &note).await
                    }
                    rolled_back => rolled_back,
                }
            }
        }
    }

    /// Deletes a revision. A tombstone keeps its number. Publishers may only delete their own drafts.
    pub async fn delete_revision(
        &self,
        context: ChangeContext<'_>,
        name: &ImageName,
        number: i64,
    ) -> Result<()> {
        let ChangeContext { actor, condition, execution } = context;
        let mut tx = self.db.write_to_free().await?;
        let mut details = locked_details(&mut tx, name, number).await?;
        condition.check(Some(&details.revision.tag()))?;
        if !details.may_be_deleted_by(actor) {
            return Err(Error::Forbidden(
                "publishers may delete only their own drafts; other revisions need an admin",
            ));
        }
        let before = details.shown();
        let was_shown = details.revision.state == RevisionState::Revoked;
        self.make_tombstone(&mut tx, &mut details.revision).await?;
        self.audit(&mut tx, details.entry("revision.delete", actor), Some(&before), NOTHING);
        self.show_end_of(&mut tx, &details.image, was_shown).await?;
        if execution.is_dry_run() {
            return Ok(());
        }
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        self.sweep_is_due();
        Ok(())
    }

    /// Makes the end of a revision visible. Manifests name those that were revoked. Must be called at the end of the
    /// transaction, because it may lock channels.
    pub(crate) async fn show_end_of(
        &self,
        tx: &mut Tx,
        image: &Image,
        was_revoked: bool,
    ) -> Result<()> {
        if was_revoked {
            return self.show_change_of(tx, image).await;
        }
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        Ok(())
    }

    /// Turns a revision into a tombstone, and its bytes into garbage.
    pub(crate) async fn make_tombstone(&self, tx: &mut Tx, revision: &mut Revision) -> Result<()> {
        let channels = tx.channels_assigned_to(revision.id).await?;
        if !channels.is_empty() {
            return Err(Error::RevisionAssigned { number: revision.number, channels });
        }
        if revision.protected {
            return Err(Error::RevisionProtected(revision.number));
        }
        for blob in tx.delete_uploads_of(revision.id).await? {
            tx.discard_arriving(blob, self.clock.now()).await?;
        }
        let now = self.clock.now();
        // No client could fetch a revision that was never sealed, and nobody needs it back.
        let remove_after = if revision.sealed_at.is_some() { self.after_safety(now) } else { now };
        for file in tx.files_of(revision.id).await? {
            tx.delete_file(revision.id, file.role).await?;
            tx.discard_blob(file.blob_id, now, remove_after).await?;
            // Nothing is left to be healed.
            tx.end_rescue(file.blob_id).await?;
        }
        self.discard_transfer_files(tx, revision.id).await?;
        tx.end_quarantine(revision.id).await?;
        revision.state = RevisionState::Deleted;
        self.save(tx, revision).await
    }
}
