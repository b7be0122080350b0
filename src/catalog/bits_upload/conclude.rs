//! The steps after the last byte: the file becomes the draft's, a draft with both files is sealed, and a sealed one is
//! promoted if the settings say so. Repeating all of this changes nothing.

use uuid::Uuid;

use super::{ATTEMPTS, RETRY_WAIT};
use crate::catalog::image::living_image;
use crate::catalog::promotion::PromotionOrder;
use crate::catalog::{Actor, Catalog, ChangeContext, Error, Execution, Precondition, Result};
use crate::model::{
    BitsSession, BitsSessionState as State, ChannelName, ImageName, Promotion, Revision, metric,
};

impl Catalog {
    /// Commits a full session's file to its draft, with all that follows.
    pub(super) async fn commit_bits_session(
        &self,
        actor: &Actor,
        session: &BitsSession,
    ) -> Result<()> {
        for attempt in 1..=ATTEMPTS {
            match self.finish_upload(actor, session.id).await {
                Ok(_) => return self.conclude_bits_session(actor, session).await,
                // Another request of the session has come just as far.
                Err(Error::UploadTakenOver) => tokio::time::sleep(RETRY_WAIT * attempt).await,
                Err(error) => return Err(self.lost_with_its_draft(actor, session, error).await),
            }
        }
        Err(Error::UploadBusy)
    }

    /// Concludes a session whose file is the draft's already.
    pub(super) async fn conclude_bits_session(
        &self,
        actor: &Actor,
        session: &BitsSession,
    ) -> Result<()> {
        let known = self.db.read().await?.bits_session(session.id).await?;
        if let Some(revision) = known.and_then(|session| session.revision_id) {
            self.seal_and_promote(actor, &session.image, revision).await?;
        }
        self.move_on(session, &[State::Claimed, State::Receiving], State::Complete).await
    }

    async fn seal_and_promote(&self, actor: &Actor, image: &ImageName, id: Uuid) -> Result<()> {
        let revision = self.db.read().await?.revision_by_id(id).await?;
        let Some(revision) = revision else { return Ok(()) };
        match self.seal(ChangeContext::unconditional(actor), image, revision.number).await {
            Ok(_) => {
                tracing::info!(%image, revision = revision.number, "sealed a revision: BITS has uploaded both files");
            }
            // Sealed by the other file's upload, or before a crash.
            Err(Error::RevisionSealed(_)) => {}
            Err(error @ (Error::Storage(_) | Error::EmptyFile(_))) => return Err(error),
            // The other file is not there yet, or someone has deleted what this one was for.
            Err(_) => return Ok(()),
        }
        match &self.rules().bits.promote_to {
            Some(channel) => self.promote_once(actor, image, &revision, channel).await,
            None => Ok(()),
        }
    }

    /// Promotes a revision that was never assigned to the channel. A refusal is reported to the administrator, not to
    /// the client, whose upload remains successful.
    async fn promote_once(
        &self,
        actor: &Actor,
        image: &ImageName,
        revision: &Revision,
        channel: &ChannelName,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(condition) = self.still_to_promote(image, revision, channel).await? else {
                return Ok(());
            };
            let order = PromotionOrder { revision: revision.number, ..PromotionOrder::default() };
            let context =
                ChangeContext { actor, condition: &condition, execution: Execution::Real };
            // In a box: every fragment of an upload would carry the future of a promotion.
            match Box::pin(self.promote(context, image, channel, order)).await {
                Ok(_) => return Ok(()),
                Err(Error::Stale) => {}
                Err(Error::Storage(error)) => return Err(error.into()),
                Err(refusal) => {
                    metric::BITS_PROMOTIONS_REFUSED.increment(1);
                    tracing::warn!(%image, revision = revision.number, %channel, caller.name = actor.name,
                        "a revision was not promoted as bits.promote_to says: {refusal}");
                    return Ok(());
                }
            }
        }
        Err(Error::UploadBusy)
    }

    /// Returns the precondition of the promotion: nothing has been promoted since this check. Returns none if the
    /// revision was assigned to the channel already.
    async fn still_to_promote(
        &self,
        image: &ImageName,
        revision: &Revision,
        channel: &ChannelName,
    ) -> Result<Option<Precondition>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        // The promotion refuses a channel that does not exist.
        let Some(channel) = tx.channel_by_key(&channel.key()).await? else {
            return Ok(Some(Precondition::None));
        };
        if tx.was_assigned(revision.id, channel.id).await? {
            return Ok(None);
        }
        let current = tx.assigned(image.id, channel.id).await?;
        Ok(Some(match current.as_ref().map(Promotion::tag) {
            Some(tag) => Precondition::OneOf(vec![tag]),
            None => Precondition::Absent,
        }))
    }
}
