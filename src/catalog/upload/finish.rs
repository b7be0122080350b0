//! The end of an upload: its bytes are checked and become the draft's file, in one step.
//!
//! The blob gets its final name first. A crash in between leaves a full session, and the next request to finish it
//! finds that part of the work done.

use uuid::Uuid;

use super::lease::{Claimed, Unrecorded};
use super::open_blob::multipart_of;
use super::{Received, as_stored};
use crate::catalog::audit::NOTHING;
use crate::catalog::healing::is_to_be_healed;
use crate::catalog::revision::{RevisionDetails, locked_details};
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{Digest, File, RevisionState, Upload, UploadProtocol, UploadState, metric};
use crate::storage::blobs::{Complete, RunningHash, WriteLease};
use crate::storage::{StorageError, Tx};

impl Catalog {
    /// Commits a full upload to its draft. Repeated after a lost answer, it returns the same file.
    pub async fn finish_upload(&self, actor: &Actor, id: Uuid) -> Result<Received> {
        let (catalog, actor) = (self.clone(), actor.clone());
        self.to_the_end(async move { catalog.finish_full(&actor, id).await }).await
    }

    async fn finish_full(&self, actor: &Actor, id: Uuid) -> Result<Received> {
        let upload = self.upload(actor, id).await?;
        if upload.state == UploadState::Complete {
            return self.received_before(&upload).await;
        }
        let mut turn = self.shared.turns.take(id).await?;
        let mut claimed = match self.claim(&mut turn, id, Unrecorded::Count, &|_| Ok(())).await {
            // Another request has just finished it.
            Err(Error::UploadComplete) => {
                return self.received_before(&self.upload(actor, id).await?).await;
            }
            other => other?,
        };
        let ready = self.open_full(&mut claimed).await;
        let Claimed { mut upload, number: claim, lease, .. } = claimed;
        let finished = match ready {
            Ok(()) => self.finish_claimed(actor, &upload, claim, &lease).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &finished
            && !matches!(error, Error::DigestMismatch { .. })
        {
            self.release(&mut upload, claim, None).await?;
        }
        finished
    }

    /// Opens the bytes of a session that has received all of them. In a bucket, the last bytes of an upload whose
    /// length was given last may still be a tail, which then has to become a part.
    async fn open_full(&self, claimed: &mut Claimed) -> Result<()> {
        let mut appender = self.open_claimed(claimed).await?;
        must_be_full(&claimed.upload)?;
        if claimed.upload.tail.is_some() {
            self.prepare(claimed, &mut appender).await?;
            let Claimed { upload, number, lease, .. } = claimed;
            let kept = self.holding(upload.id, *number, lease, appender.sync()).await?;
            self.note_progress(upload, *number, lease, &kept).await?;
        }
        Ok(())
    }

    /// Finishes a session for its holder. All bytes must be on stable storage.
    pub(super) async fn finish_claimed(
        &self,
        actor: &Actor,
        upload: &Upload,
        claim: i64,
        lease: &WriteLease,
    ) -> Result<Received> {
        let hash = RunningHash::restore(&upload.hash_state)
            .map_err(|error| crate::storage::StorageError::Damaged(error.to_string()))?;
        let digest = hash.finish();
        if let Some(expected) = upload.digest.filter(|expected| *expected != digest) {
            self.discard_upload(upload).await?;
            return Err(Error::DigestMismatch {
                expected: expected.to_string(),
                actual: digest.to_string(),
            });
        }
        let whole = self.whole(upload).await?;
        let completing = self.blobs.complete(&whole);
        let completed = self.holding(upload.id, claim, lease, completing).await;
        if let Err(StorageError::Damaged(what)) = &completed {
            return Err(self.end_without_bytes(upload, what).await);
        }
        if let Err(error) = completed {
            return Err(self.why_incomplete(upload, error.into()).await);
        }
        let attached = self.attach(actor, upload, claim, digest).await;
        if let Err(Error::UploadLost) = attached {
            // It was cancelled on another server before the blob had its final name, so nobody looked for it there.
            self.remove_if_forgotten(upload).await;
        }
        let received = attached?;
        metric::UPLOADS_FINISHED.increment(1);
        metric::UPLOADED_BYTES.increment(upload.size);
        if received.replaced {
            self.sweep_is_due();
        }
        Ok(received)
    }

    /// Returns the error to report when the bytes are not there any more: usually their draft is gone.
    async fn why_incomplete(&self, upload: &Upload, error: Error) -> Error {
        let there = async { self.db.read().await?.upload(upload.id).await };
        match there.await {
            Ok(None) => match self.revision(&upload.image, upload.revision).await {
                Ok(_) => Error::UploadLost,
                Err(gone) => gone,
            },
            _ => error,
        }
    }

    pub(super) async fn whole(&self, upload: &Upload) -> Result<Complete> {
        let multipart = multipart_of(upload);
        let noted = match multipart {
            Some(_) => self.db.read().await?.parts_of(upload.blob_id).await?,
            None => Vec::new(),
        };
        let parts = noted.into_iter().map(|(number, id)| (number.unsigned_abs(), id)).collect();
        Ok(Complete { key: upload.blob_key.clone(), size: upload.size, multipart, parts })
    }

    async fn attach(
        &self,
        actor: &Actor,
        upload: &Upload,
        claim: i64,
        digest: Digest,
    ) -> Result<Received> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        // Everything is checked again: while bytes were transferred, the draft may have been sealed or deleted, or the
        // caller disabled.
        self.must_still_publish(&mut tx, actor, &upload.image).await?;
        let mut details = locked_details(&mut tx, &upload.image, upload.revision).await?;
        let old = details.file(upload.role).ok().cloned();
        if details.revision.state != RevisionState::Draft {
            return self.heal(tx, actor, upload, claim, (&details, old, digest)).await;
        }
        let condition = Precondition::from_stored(upload.condition.as_deref());
        condition.check(old.as_ref().map(File::tag).as_deref())?;
        self.end_session(&mut tx, upload, claim).await?;
        // A writer that was suspended must not replace a later file that was acknowledged.
        for blob in tx.delete_puts_before(upload).await? {
            tx.discard_arriving(blob, now).await?;
        }
        if let Some(old) = &old {
            tx.delete_file(details.revision.id, upload.role).await?;
            tx.discard_blob(old.blob_id, now, now).await?;
        }
        let (size, text) = (as_stored(upload.size)?, digest.to_string());
        tx.insert_file(details.revision.id, upload.role, upload.blob_id, size, &text).await?;
        let before = old.as_ref().map(|file| file.digest.to_string());
        let entry = details.entry("file.put", actor);
        self.audit(&mut tx, entry, before.as_ref(), Some(&(upload.role, text)));
        self.save(&mut tx, &mut details.revision).await?;
        // Another revision may need these bytes to be healed.
        let new = (upload.blob_id, &digest, size);
        let has_healed = self.heal_twins(&mut tx, actor, &details.image, new).await?;
        tx.commit().await?;
        if has_healed {
            self.refresh().await;
            self.tree_is_due();
            self.sweep_is_due();
        }
        Ok(Received { file: file_of(upload, digest), replaced: old.is_some() })
    }

    /// Replaces the damaged file of a sealed revision by the same bytes, intact.
    async fn heal(
        &self,
        mut tx: Tx,
        actor: &Actor,
        upload: &Upload,
        claim: i64,
        (details, damaged, digest): (&RevisionDetails, Option<File>, Digest),
    ) -> Result<Received> {
        if !is_to_be_healed(&mut tx, &details.revision, damaged.as_ref()).await? {
            return Err(Error::RevisionSealed(upload.revision));
        }
        let Some(damaged) = damaged.filter(|file| file.digest == digest) else {
            drop(tx);
            self.discard_upload(upload).await?;
            let expected = details.file(upload.role)?.digest;
            return Err(Error::OtherBytes { revision: upload.revision, digest: expected });
        };
        self.end_session(&mut tx, upload, claim).await?;
        let new = (upload.blob_id, &digest, as_stored(damaged.size)?);
        let entry = details.entry("file.heal", actor);
        self.audit(&mut tx, entry, NOTHING, Some(&(upload.role, digest)));
        self.heal_twins(&mut tx, actor, &details.image, new).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(Received { file: file_of(upload, digest), replaced: true })
    }

    async fn end_session(&self, tx: &mut Tx, upload: &Upload, claim: i64) -> Result<()> {
        let now = self.clock.now();
        if !tx.complete_upload(upload.id, claim, now).await?
            || !tx.settle_blob(upload.blob_id, now).await?
        {
            return Err(Error::UploadLost);
        }
        // Nobody can ask for a session that ended with the request that started it.
        if upload.protocol == UploadProtocol::Put {
            tx.delete_upload(upload.id).await?;
        }
        Ok(())
    }

    /// Returns the answer to a repeated request.
    async fn received_before(&self, upload: &Upload) -> Result<Received> {
        let mut tx = self.db.read().await?;
        let file = tx.file_of(upload.revision_id, upload.role).await?;
        let file =
            file.filter(|file| file.blob_id == upload.blob_id).ok_or(Error::UploadNotFound)?;
        Ok(Received { file, replaced: false })
    }
}

fn must_be_full(upload: &Upload) -> Result<()> {
    let (received, size) = (upload.received, upload.size);
    if upload.is_full() { Ok(()) } else { Err(Error::UploadIncomplete { received, size }) }
}

fn file_of(upload: &Upload, digest: Digest) -> File {
    File {
        revision_id: upload.revision_id,
        role: upload.role,
        blob_id: upload.blob_id,
        blob_key: upload.blob_key.clone(),
        size: upload.size,
        digest,
    }
}
