//! Withdrawal: an image is taken out of a channel. The history records it as a promotion to nothing, with an epoch of
//! its own.
//!
//! A revision that was withdrawn counts as rolled back. Clients learn of it from the snapshot. The tree's folder keeps
//! nothing of the image, because without an assignment it keeps no earlier revisions either.

use super::{Place, PromotionOrder, Repeat, promotable_channel};
use crate::catalog::channel::locked_channel;
use crate::catalog::image::locked_image;
use crate::catalog::{Actor, Catalog, ChangeContext, Error, Result};
use crate::model::{
    ChannelName, Departure, Image, ImageName, Promotion, PromotionKind, Terms, metric,
};
use crate::storage::Tx;

impl Catalog {
    /// Takes the image out of the channel. When this returns, update checks report it. The files leave the tree
    /// gradually, or all of them at once together with their HTTP names.
    pub async fn withdraw(
        &self,
        context: ChangeContext<'_>,
        image: &ImageName,
        channel: &ChannelName,
        departure: Departure,
    ) -> Result<Promotion> {
        let mut tx = self.db.write_to_free().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, context.actor, channel).await?;
        let current = tx.assigned(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?;
        context.condition.check(Some(&current.tag()))?;
        let place = Place { actor: context.actor, image: &image, channel: &channel };
        let withdrawal = self.take_out(&mut tx, place, &current, departure, String::new()).await?;
        self.show(tx, image.id, context.execution).await?;
        if !context.execution.is_dry_run() {
            metric::PROMOTIONS.increment(1);
        }
        Ok(withdrawal)
    }

    /// Withdraws the image as part of a larger change, like [`Self::roll_back_within`](Catalog::roll_back_within).
    pub(in crate::catalog) async fn withdraw_within(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &Image,
        channel: &ChannelName,
        note: &str,
    ) -> Result<()> {
        let channel = locked_channel(tx, channel).await?;
        let current = tx.assigned(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?;
        let place = Place { actor, image, channel: &channel };
        self.take_out(tx, place, &current, Departure::default(), note.to_owned()).await?;
        Ok(())
    }

    async fn take_out(
        &self,
        tx: &mut Tx,
        place: Place<'_>,
        current: &Promotion,
        departure: Departure,
        note: String,
    ) -> Result<Promotion> {
        let Place { image, channel, .. } = place;
        let revision =
            tx.revision_by_id(current.revision_id).await?.ok_or(Error::NothingAssigned)?;
        tx.mark_rolled_back(image.id, channel.id, current.revision_id).await?;
        let terms = Terms { note, ..Terms::default() };
        let order = PromotionOrder { revision: revision.number, terms, repeat: Repeat::IsOne };
        let mut withdrawal = self.next_promotion(tx, place, &revision, order).await?;
        withdrawal.kind = PromotionKind::Withdraw;
        withdrawal.rolled_back = true;
        tx.withdraw(&withdrawal, departure).await?;
        if departure == Departure::AtOnce {
            // Everything that the folder held, not only what was assigned.
            tx.begin_removal(image.id, channel.id, withdrawal.created_at).await?;
        }
        self.tell(tx, place, Some(current), &withdrawal).await?;
        Ok(withdrawal)
    }
}
