//! Promotion: assigning a revision to a channel. Every promotion is kept, each with a higher epoch.

mod approval;
pub mod order;
pub mod outcome;
#[cfg(test)]
mod tests;
pub mod withdrawal;

pub use self::order::{NamedTerms, PromotionOrder, Repeat, RollbackOrder};
pub use self::outcome::{Pending, Promoted};
use chrono::DateTime;
use serde::Serialize;
use uuid::Uuid;

use super::audit::Entry;
use super::channel::{living_channel, locked_channel};
use super::image::{living_image, locked_image};
use super::revision::details;
use super::revision::end::end_of_time;
use super::rollout::check_terms;
use super::rollout::settle::settle;
use super::{Actor, Catalog, ChangeContext, Error, Execution, Result};
use crate::model::promotion::Progress;
use crate::model::{
    Assignment, Channel, ChannelName, Image, ImageName, Promotion, PromotionKind, Revision,
    RevisionState, Rollout, Terms, metric,
};
use crate::storage::{Change, HistoryPlace, Tx};

/// The audit's record of an assignment, or of its end.
#[derive(Serialize)]
struct Assigned {
    revision: Option<i64>,
    epoch: i64,
    mandatory: bool,
    rollout: Rollout,
}

impl From<&Promotion> for Assigned {
    fn from(promotion: &Promotion) -> Self {
        Self {
            revision: promotion.offered_revision(),
            epoch: promotion.epoch,
            mandatory: promotion.terms.for_clients.mandatory,
            rollout: promotion.terms.rollout.clone(),
        }
    }
}

/// The place where a promotion takes effect, and its actor. Image and channel are locked.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) actor: &'a Actor,
    pub(super) image: &'a Image,
    pub(super) channel: &'a Channel,
}

impl Catalog {
    /// Assigns a ready revision to a channel. When this returns, the update check and the tree's HTTP names show it;
    /// the physical tree follows. In a channel that asks for approvals, it waits for other people instead.
    pub async fn promote(
        &self,
        context: ChangeContext<'_>,
        image: &ImageName,
        channel: &ChannelName,
        order: PromotionOrder,
    ) -> Result<Promoted> {
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, context.actor, channel).await?;
        let current = tx.assigned(image.id, channel.id).await?;
        context.condition.check(current.as_ref().map(Promotion::tag).as_deref())?;
        let revision = ready_revision(&mut tx, image.clone(), order.revision).await?;
        check_required_channel(&mut tx, &channel, &revision).await?;
        check_terms(&order.terms)?;
        if order.terms.rollout != Rollout::default() {
            self.check_no_older_replica(&mut tx).await?;
        }
        if let Some(same) = current.as_ref().filter(|current| current.revision_id == revision.id)
            && order.repeat.changes_nothing(&same.terms)
        {
            let same = same.clone();
            return self.followed(&mut tx, &image, &channel.name, same).await.map(Promoted::from);
        }
        let place = Place { actor: context.actor, image: &image, channel: &channel };
        if channel.approvals > 0 {
            let pending = self.request(&mut tx, place, &revision, (order.terms, None)).await?;
            return wait_for_approval(tx, pending, context.execution).await;
        }
        let promotion = self.next_promotion(&mut tx, place, &revision, order).await?;
        self.put_in_force(&mut tx, place, current.as_ref(), &promotion).await?;
        self.conclude(tx, promotion, context.execution).await.map(Promoted::from)
    }

    /// Restores the newest earlier assignment of another revision that is ready and was neither rolled back nor
    /// withdrawn. This also works if nothing has been assigned since a withdrawal. It is a promotion like any other:
    /// with a new epoch, to all clients.
    pub async fn roll_back(
        &self,
        context: ChangeContext<'_>,
        image: &ImageName,
        channel: &ChannelName,
        order: RollbackOrder,
    ) -> Result<Assignment> {
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, context.actor, channel).await?;
        let assigned = tx.assigned(image.id, channel.id).await?;
        let latest = match assigned {
            Some(assigned) => assigned,
            None => tx.withdrawn(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?,
        };
        context.condition.check(in_force(&latest).map(Promotion::tag).as_deref())?;
        let mut revision = rollback_revision(&mut tx, &latest).await?;
        if order.as_new_revision {
            revision = self.reissue(&mut tx, context.actor, &image, &revision).await?;
        }
        let place = Place { actor: context.actor, image: &image, channel: &channel };
        let terms = Terms { rollout: order.rollout, note: order.note, ..Terms::default() };
        check_terms(&terms)?;
        if terms.rollout != Rollout::default() {
            self.check_no_older_replica(&mut tx).await?;
        }
        let promotion = self.assign_earlier(&mut tx, place, &latest, &revision, terms).await?;
        self.conclude(tx, promotion, context.execution).await
    }

    /// Rolls one channel back as part of a larger change, which raises the catalog's version at its end. If the version
    /// were raised here, the next channel would be locked after it, against the order of locks.
    pub(super) async fn roll_back_within(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &Image,
        channel: &ChannelName,
        note: &str,
    ) -> Result<()> {
        let channel = locked_channel(tx, channel).await?;
        let current = tx.assigned(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?;
        let revision = rollback_revision(tx, &current).await?;
        let place = Place { actor, image, channel: &channel };
        let terms = Terms { note: note.to_owned(), ..Terms::default() };
        self.assign_earlier(tx, place, &current, &revision, terms).await?;
        Ok(())
    }

    async fn assign_earlier(
        &self,
        tx: &mut Tx,
        place: Place<'_>,
        latest: &Promotion,
        revision: &Revision,
        terms: Terms,
    ) -> Result<Promotion> {
        tx.mark_rolled_back(place.image.id, place.channel.id, latest.revision_id).await?;
        let order = PromotionOrder { revision: revision.number, terms, repeat: Repeat::IsOne };
        let mut promotion = self.next_promotion(tx, place, revision, order).await?;
        promotion.kind = PromotionKind::Rollback;
        self.put_in_force(tx, place, in_force(latest), &promotion).await?;
        Ok(promotion)
    }

    async fn next_promotion(
        &self,
        tx: &mut Tx,
        Place { actor, channel, .. }: Place<'_>,
        revision: &Revision,
        order: PromotionOrder,
    ) -> Result<Promotion> {
        let now = self.clock.now();
        let mut promotion = Promotion {
            id: self.ids.next(),
            image_id: revision.image_id,
            channel_id: channel.id,
            revision_id: revision.id,
            revision: revision.number,
            epoch: tx.last_epoch(revision.image_id, channel.id).await? + 1,
            kind: PromotionKind::Promote,
            terms: order.terms,
            rolled_back: false,
            created_by: actor.name.clone(),
            created_at: now,
            progress: Progress::default(),
        };
        promotion.progress.under_way = true;
        settle(&mut promotion, now);
        Ok(promotion)
    }

    async fn put_in_force(
        &self,
        tx: &mut Tx,
        place: Place<'_>,
        current: Option<&Promotion>,
        promotion: &Promotion,
    ) -> Result<()> {
        if let Some(current) = current {
            // What time has completed is recorded now, because it is not looked at any more.
            self.settle_replaced(tx, current).await?;
        }
        tx.assign(promotion).await?;
        self.tell(tx, place, current, promotion).await
    }

    /// Updates channel and audit after an addition to the history.
    async fn tell(
        &self,
        tx: &mut Tx,
        Place { actor, image, channel }: Place<'_>,
        current: Option<&Promotion>,
        promotion: &Promotion,
    ) -> Result<()> {
        tx.raise_channel_sequence(channel.id, promotion.created_at).await?;
        // What waited was meant for the state before.
        tx.delete_pending_promotion(image.id, channel.id).await?;
        let action = match promotion.kind {
            PromotionKind::Promote => "channel.promote",
            PromotionKind::Rollback => "channel.rollback",
            PromotionKind::Withdraw => "channel.withdraw",
        };
        let entry = Entry {
            action,
            subject: format!("images/{}/channels/{}", image.name, channel.name),
            actor,
        };
        let before = current.map(Assigned::from);
        self.audit(tx, entry, before.as_ref(), Some(&Assigned::from(promotion)));
        Ok(())
    }

    pub(super) async fn conclude(
        &self,
        tx: Tx,
        promotion: Promotion,
        execution: Execution,
    ) -> Result<Assignment> {
        self.show(tx, promotion.image_id, execution).await?;
        let is_new = promotion.progress.changes == 0;
        if is_new && execution == Execution::Real {
            metric::PROMOTIONS.increment(1);
        }
        Ok(Assignment { promotion, published: false })
    }

    /// Makes a promotion visible. When this returns, clients and the tree's HTTP names have it; the physical tree
    /// follows.
    pub(super) async fn show(&self, mut tx: Tx, image: Uuid, execution: Execution) -> Result<()> {
        tx.raise_catalog_version(Change::Image(image)).await?;
        if execution == Execution::Real {
            tx.commit().await?;
            self.refresh().await;
            self.tree_is_due();
            self.transfer_files_are_due(image);
        }
        Ok(())
    }

    /// Reports whether a revision was ever assigned to a channel.
    pub async fn was_promoted(
        &self,
        image: &ImageName,
        number: i64,
        channel: &ChannelName,
    ) -> Result<bool> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let channel = living_channel(&mut tx, channel).await?;
        let revision =
            tx.revision(image.id, number).await?.ok_or(Error::RevisionNotFound(number))?;
        Ok(tx.was_assigned(revision.id, channel.id).await?)
    }

    /// Returns the current offer of an image in a channel.
    pub async fn assignment(&self, image: &ImageName, channel: &ChannelName) -> Result<Assignment> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let channel = living_channel(&mut tx, channel).await?;
        let promotion = tx.assigned(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?;
        self.followed(&mut tx, &image, &channel.name, promotion).await
    }

    /// Returns the current offers of an image in all channels that it is assigned to.
    pub async fn assignments(&self, image: &ImageName) -> Result<Vec<(ChannelName, Assignment)>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let mut list = Vec::new();
        for channel in tx.channels().await? {
            if let Some(promotion) = tx.assigned(image.id, channel.id).await? {
                let followed = self.followed(&mut tx, &image, &channel.name, promotion).await?;
                list.push((channel.name, followed));
            }
        }
        Ok(list)
    }

    /// Returns an assignment, and whether the tree is up to date with it: its files are there, and are signed.
    pub(super) async fn followed(
        &self,
        tx: &mut Tx,
        image: &Image,
        channel: &ChannelName,
        promotion: Promotion,
    ) -> Result<Assignment> {
        let published = tx.count_published(promotion.channel_id, promotion.revision_id).await?;
        let wanted = image.kind.roles().len();
        let is_there = usize::try_from(published).is_ok_and(|published| published == wanted);
        let published = is_there && self.snapshot().is_signed(&image.name, channel);
        Ok(Assignment { promotion, published })
    }

    /// Returns an image's history after the given place, newest first.
    pub async fn promotions(
        &self,
        image: &ImageName,
        before: Option<HistoryPlace>,
        limit: i64,
    ) -> Result<Vec<(Promotion, ChannelName, i64)>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let (number, time, id) = before.unwrap_or((i64::MAX, end_of_time(), uuid::Uuid::max()));
        // A cursor may contain years that PostgreSQL does not support.
        let time = time.clamp(DateTime::UNIX_EPOCH, end_of_time());
        Ok(tx.promotions_before(image.id, (number, time, id), limit).await?)
    }
}

/// Commits a request that others have to agree to.
pub(super) async fn wait_for_approval(
    tx: Tx,
    pending: Pending,
    execution: Execution,
) -> Result<Promoted> {
    if execution == Execution::Real {
        tx.commit().await?;
    }
    Ok(Promoted::Pending(Box::new(pending)))
}

/// Returns the newest entry of a history, if clients are offered its revision.
fn in_force(latest: &Promotion) -> Option<&Promotion> {
    latest.offered_revision().map(|_| latest)
}

pub(super) async fn promotable_channel(
    tx: &mut Tx,
    actor: &Actor,
    name: &ChannelName,
) -> Result<Channel> {
    let channel = locked_channel(tx, name).await?;
    if actor.may_promote_to(&channel) {
        Ok(channel)
    } else {
        Err(Error::Forbidden("none of your roles is among the promoters of this channel"))
    }
}

pub(super) async fn ready_revision(tx: &mut Tx, image: Image, number: i64) -> Result<Revision> {
    let revision = details(tx, image, number).await?.revision;
    match revision.state {
        RevisionState::Ready => Ok(revision),
        state => Err(Error::RevisionNotReady { number, state }),
    }
}

async fn check_required_channel(tx: &mut Tx, channel: &Channel, revision: &Revision) -> Result<()> {
    let Some(name) = &channel.requires_channel else { return Ok(()) };
    let required = living_channel(tx, name).await?;
    if tx.was_assigned(revision.id, required.id).await? {
        Ok(())
    } else {
        Err(Error::ChannelRequired { revision: revision.number, channel: required.name })
    }
}

async fn rollback_revision(tx: &mut Tx, current: &Promotion) -> Result<Revision> {
    let target = tx.rollback_target(current).await?.ok_or(Error::NothingToRollBackTo)?;
    tx.revision_by_id(target.revision_id).await?.ok_or(Error::NothingToRollBackTo)
}
