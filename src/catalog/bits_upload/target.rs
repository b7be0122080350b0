//! The draft that a file goes to, chosen when the first fragment reports the file's size.
//!
//! The choice is written into the session under the image's lock before the upload is created. Of two files that arrive
//! at once, each sees what the other has taken. After a crash in between, the client's next fragment continues with the
//! same draft.

use crate::catalog::image::{ImageDefinition, locked_image};
use crate::catalog::revision::RevisionChange;
use crate::catalog::upload::Announcement;
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{
    BitsSession, BitsSessionState as State, FileRole, Image, ImageKind, ImageName, Revision,
    UploadProtocol,
};
use crate::storage::Tx;

impl Catalog {
    /// Gives a session its draft and its upload.
    pub(super) async fn begin_bits_upload(
        &self,
        actor: &Actor,
        session: &BitsSession,
        size: u64,
    ) -> Result<()> {
        self.make_image_if_absent(actor, &session.image, size).await?;
        let revision = self.claim_draft(actor, session, size).await?;
        let announced = Announcement {
            image: session.image.clone(),
            revision,
            role: session.role,
            size: Some(size),
            digest: None,
            metadata: None,
            condition: Precondition::None,
            protocol: UploadProtocol::Bits,
        };
        match self.create_upload_as(actor, session.id, announced).await {
            Ok(_) => self.fill(actor, session).await,
            // The upload may have been created nevertheless: the next fragment finds out.
            Err(error @ Error::Storage(_)) => Err(error),
            // Another first fragment was faster, and its reservation was in the way of this one.
            Err(_) if self.upload(actor, session.id).await.is_ok() => {
                self.fill(actor, session).await
            }
            Err(error) => {
                self.release_draft(session).await?;
                Err(match error {
                    // Someone has just sealed or deleted the draft: there will be another one.
                    Error::RevisionSealed(_) | Error::RevisionDeleted(_) => Error::UploadBusy,
                    other => other,
                })
            }
        }
    }

    /// Marks the session as receiving. If it was cancelled or closed at this moment, its upload is cancelled.
    async fn fill(&self, actor: &Actor, session: &BitsSession) -> Result<()> {
        self.move_on(session, &[State::Claimed], State::Receiving).await?;
        let now = self.db.read().await?.bits_session(session.id).await?;
        if now.is_some_and(|now| now.state != State::Closed) {
            return Ok(());
        }
        self.cancel_upload(actor, session.id).await?;
        Err(Error::UploadNotFound)
    }

    /// Checks the size before the image is created: a file that is refused for its size alone must not leave an image
    /// behind, whose name may only be a typing error.
    async fn check_beforehand(&self, size: u64) -> Result<()> {
        self.check_size(size)?;
        let quota = self.rules().uploads.image_quota.as_u64();
        if quota > 0 && size > quota {
            return Err(Error::QuotaExceeded { used: 0, size, limit: quota });
        }
        self.check_free_space(&mut self.db.read().await?, size).await
    }

    /// Creates the image, if necessary, for a file of `size` bytes. The first fragment does this, not the opening of a
    /// session, which may never receive a byte.
    pub(super) async fn make_image_if_absent(
        &self,
        actor: &Actor,
        name: &ImageName,
        size: u64,
    ) -> Result<()> {
        match self.image(name).await {
            Err(Error::ImageNotFound) => self.check_beforehand(size).await?,
            found => return found.map(drop),
        }
        let draft = ImageDefinition::bare(name.clone(), ImageKind::Medv);
        match self.create_image(actor, &draft).await {
            // The index arrives at the same time as the `.ckm`, and was faster.
            Ok(_) | Err(Error::NameTaken(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Returns the number of the session's draft. Chooses the draft if the session has none yet.
    pub(super) async fn claim_draft(
        &self,
        actor: &Actor,
        session: &BitsSession,
        size: u64,
    ) -> Result<i64> {
        let mut tx = self.db.write().await?;
        let locked = tx.locked_bits_session(session.id).await?;
        let mut session = locked.ok_or(Error::UploadNotFound)?;
        if let Some(claimed) = session.revision_id {
            if session.size != Some(size) {
                return Err(Error::invalid("Content-Range", "must name the same size as before"));
            }
            let revision = tx.revision_by_id(claimed).await?.ok_or(Error::UploadNotFound)?;
            return Ok(revision.number);
        }
        if session.state != State::Open {
            return Err(Error::UploadNotFound);
        }
        let image = locked_image(&mut tx, &session.image).await?;
        let draft = self.draft_for(&mut tx, actor, image, session.role).await?;
        session.revision_id = Some(draft.id);
        session.size = Some(size);
        session.state = State::Claimed;
        session.updated_at = self.clock.now();
        tx.update_bits_session(&session).await?;
        tx.commit().await?;
        Ok(draft.number)
    }

    /// Chooses one of the caller's own drafts. A `.ckm` fills the newest one, or starts the next one if that has the
    /// role already. An index belongs to what came before it: it joins the oldest draft that lacks one.
    async fn draft_for(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: Image,
        role: FileRole,
    ) -> Result<Revision> {
        let mut lacking = tx.drafts_lacking(image.id, role, &actor.name).await?;
        let newest = tx.newest_draft(image.id, &actor.name).await?.map(|draft| draft.id);
        let found = match role {
            FileRole::Index if !lacking.is_empty() => Some(lacking.swap_remove(0)),
            _ => lacking.pop().filter(|draft| Some(draft.id) == newest),
        };
        if let Some(draft) = found {
            return Ok(draft);
        }
        let change = RevisionChange::default();
        Ok(self.create_draft_within(tx, actor, image, change).await?.revision)
    }

    /// Releases the draft for others, because no upload was created.
    async fn release_draft(&self, session: &BitsSession) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        if let Some(mut session) = tx.locked_bits_session(session.id).await?
            && session.state == State::Claimed
        {
            session.revision_id = None;
            session.size = None;
            session.state = State::Open;
            session.updated_at = self.clock.now();
            tx.update_bits_session(&session).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Records a session's next state, unless another request has advanced it meanwhile.
    pub(super) async fn move_on(
        &self,
        session: &BitsSession,
        from: &[State],
        to: State,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        if let Some(mut session) = tx.locked_bits_session(session.id).await?
            && from.contains(&session.state)
        {
            session.state = to;
            session.updated_at = self.clock.now();
            tx.update_bits_session(&session).await?;
        }
        Ok(tx.commit().await?)
    }
}
