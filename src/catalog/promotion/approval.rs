//! Approvals: in a channel that asks for them, a promotion counts once other people have agreed to it, and so does a
//! change of a rollout that offers the revision to more clients. Whatever takes something back needs no approval.
//!
//! A pending promotion changes nothing that clients see. A later one replaces it, and so does anything that is put in
//! force meanwhile.

use super::outcome::{Pending, Promoted};
use super::{Place, PromotionOrder, Repeat, promotable_channel};
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::channel::living_channel;
use crate::catalog::image::{living_image, locked_image};
use crate::catalog::{Actor, Catalog, ChangeContext, Error, Result};
use crate::model::pending_promotion::{Approval, PendingPromotion};
use crate::model::{ChannelName, ImageName, Promotion, Revision, Terms, TokenName};
use crate::storage::Tx;

impl Catalog {
    /// Returns the promotion that waits for approval, if there is one.
    pub async fn pending(
        &self,
        image: &ImageName,
        channel: &ChannelName,
    ) -> Result<Option<Pending>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let channel = living_channel(&mut tx, channel).await?;
        let Some(promotion) = tx.pending_promotion(image.id, channel.id).await? else {
            return Ok(None);
        };
        let approvals = tx.approvals(promotion.id).await?;
        Ok(Some(Pending { promotion, approvals, needed: channel.approvals }))
    }

    /// Records a promotion that others have to agree to, in place of one that waited before.
    pub(in crate::catalog) async fn request(
        &self,
        tx: &mut Tx,
        Place { actor, image, channel }: Place<'_>,
        revision: &Revision,
        (terms, changes): (Terms, Option<&Promotion>),
    ) -> Result<Pending> {
        tx.delete_pending_promotion(image.id, channel.id).await?;
        let promotion = PendingPromotion {
            id: self.ids.next(),
            image_id: image.id,
            channel_id: channel.id,
            revision_id: revision.id,
            revision: revision.number,
            changes_promotion: changes.map(|promotion| promotion.id),
            terms,
            requested_by: actor.name.clone(),
            person: self.person_behind(actor),
            requested_at: self.clock.now(),
        };
        tx.insert_pending_promotion(&promotion).await?;
        let subject = format!("images/{}/channels/{}", image.name, channel.name);
        let entry = Entry { action: "channel.request", subject, actor };
        let after = serde_json::json!({"revision": revision.number, "terms": &promotion.terms});
        self.audit(tx, entry, NOTHING, Some(&after));
        Ok(Pending { promotion, approvals: Vec::new(), needed: channel.approvals })
    }

    /// Agrees to the pending promotion, and puts it in force if enough people have.
    pub async fn approve(
        &self,
        context: ChangeContext<'_>,
        image: &ImageName,
        channel: &ChannelName,
    ) -> Result<Promoted> {
        let ChangeContext { actor, execution, .. } = context;
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, actor, channel).await?;
        let promotion =
            tx.pending_promotion(image.id, channel.id).await?.ok_or(Error::NothingPending)?;
        let person = self.person_behind(actor);
        if person.starts_with("token:") {
            return Err(Error::Forbidden(
                "nobody knows any more who made this token, so it cannot speak for another person",
            ));
        }
        if person == promotion.person {
            return Err(Error::Forbidden(
                "the promotion is your own request: another person has to agree to it",
            ));
        }
        let now = self.clock.now();
        let approval = Approval { person, approved_by: actor.name.clone(), approved_at: now };
        tx.put_approval(promotion.id, &approval).await?;
        let approvals = tx.approvals(promotion.id).await?;
        let subject = format!("images/{}/channels/{}", image.name, channel.name);
        let entry = Entry { action: "channel.approve", subject, actor };
        let after = serde_json::json!({"revision": promotion.revision, "requested_by": promotion.requested_by});
        self.audit(&mut tx, entry, NOTHING, Some(&after));
        let needed = channel.approvals;
        if i64::try_from(approvals.len()).unwrap_or(i64::MAX) < needed {
            if !execution.is_dry_run() {
                tx.commit().await?;
            }
            return Ok(Promoted::Pending(Box::new(Pending { promotion, approvals, needed })));
        }
        // The promotion is that of the person who asked for it.
        let requester = Actor { name: promotion.requested_by.clone(), ..actor.clone() };
        let place = Place { actor: &requester, image: &image, channel: &channel };
        let in_force = self.put_pending_in_force(&mut tx, place, promotion).await?;
        self.conclude(tx, in_force, execution).await.map(Promoted::from)
    }

    async fn put_pending_in_force(
        &self,
        tx: &mut Tx,
        place: Place<'_>,
        pending: PendingPromotion,
    ) -> Result<Promotion> {
        let Place { image, channel, .. } = place;
        self.check_no_older_replica(tx).await?;
        let current = tx.assigned(image.id, channel.id).await?;
        if let Some(changed) = pending.changes_promotion {
            let current = current.filter(|current| current.id == changed);
            let before = current.ok_or(Error::NothingPending)?;
            tx.delete_pending_promotion(image.id, channel.id).await?;
            let mut terms = pending.terms;
            // A pause needs no approval, and its end is not what was approved.
            terms.rollout.paused = before.terms.rollout.paused;
            return self.change_terms(tx, place, &before, (terms, None)).await;
        }
        let revision = super::ready_revision(tx, image.clone(), pending.revision).await?;
        super::check_required_channel(tx, channel, &revision).await?;
        let order = PromotionOrder {
            revision: pending.revision,
            terms: pending.terms,
            repeat: Repeat::IsOne,
        };
        let mut promotion = self.next_promotion(tx, place, &revision, order).await?;
        promotion.id = pending.id;
        self.put_in_force(tx, place, current.as_ref(), &promotion).await?;
        Ok(promotion)
    }

    /// Takes one's word for the pending promotion back.
    pub async fn take_approval_back(
        &self,
        actor: &Actor,
        image: &ImageName,
        channel: &ChannelName,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, actor, channel).await?;
        let pending =
            tx.pending_promotion(image.id, channel.id).await?.ok_or(Error::NothingPending)?;
        if !tx.delete_approval(pending.id, &self.person_behind(actor)).await? {
            return Err(Error::NothingPending);
        }
        let subject = format!("images/{}/channels/{}", image.name, channel.name);
        let entry = Entry { action: "channel.unapprove", subject, actor };
        let after = serde_json::json!({"revision": pending.revision});
        self.audit(&mut tx, entry, NOTHING, Some(&after));
        Ok(tx.commit().await?)
    }

    /// Returns the person behind a caller: for a token, whoever made it.
    fn person_behind(&self, actor: &Actor) -> String {
        let (snapshot, now) = (self.snapshot(), self.clock.now());
        let mut person = actor.name.clone();
        // A token may have been made with a token; a chain of them ends, because each is younger than its maker.
        for _ in 0..16 {
            let Some(token) = person.strip_prefix("token:") else { break };
            let Ok(name) = token.parse::<TokenName>() else { break };
            let Some(token) = snapshot.token_by_name(&name, now) else { break };
            person.clone_from(&token.created_by);
        }
        person
    }
}
