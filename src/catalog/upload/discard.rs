//! Sessions that end without a file: cancelled by their owner, expired, or left behind by a kill.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::EMPTY_KEPT;
use super::lease::Unrecorded;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::events::News;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::event::EventPlace;
use crate::model::{EventType, Upload, UploadState, metric};

/// The time for which a complete session is kept, for a client that missed the last answer.
const COMPLETE_KEPT: TimeDelta = TimeDelta::days(1);

/// The time without progress after which a whole-file upload of another server has lost its writer. A single step of 64
/// MiB takes a day only on connections slower than 1 KiB/s.
const PUT_IDLE: TimeDelta = TimeDelta::days(1);

/// The actions by which sessions end without a file, as in the audit and the counter.
const CANCELLED: &str = "upload.cancel";
const EXPIRED: &str = "upload.expire";

/// Registers the counters at zero, before the first session ends.
pub fn begin_at_zero() {
    for action in [CANCELLED, EXPIRED] {
        metric::UPLOADS_ENDED.with([action]).increment(0);
    }
}

/// A guard that ends the session when it is dropped, as requests are when their clients disconnect.
pub struct CancelUnlessAnnounced(Option<(Catalog, Actor, Uuid)>);

impl CancelUnlessAnnounced {
    /// Disarms the guard, because the client gets an answer that names the session.
    pub fn is_told(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelUnlessAnnounced {
    fn drop(&mut self) {
        let Some((catalog, actor, id)) = self.0.take() else { return };
        let (runtime, saving) = (catalog.runtime.clone(), catalog.shared.saving.clone());
        let ending = async move {
            if let Err(error) = catalog.cancel_upload(&actor, id).await {
                tracing::info!(upload = %id, %error,
                    "an upload that its client does not know of could not be cancelled; it stays until it expires");
            }
        };
        saving.spawn_on(ending, &runtime);
    }
}

impl Catalog {
    /// Returns the upload with the offset at which its client can continue. Asks the current writer to stop and to save
    /// what it has, and takes in what a kill left.
    pub async fn stop_writer(&self, actor: &Actor, id: Uuid) -> Result<Upload> {
        let (catalog, actor) = (self.clone(), actor.clone());
        self.to_the_end(async move { catalog.take_over_and_release(&actor, id).await }).await
    }

    async fn take_over_and_release(&self, actor: &Actor, id: Uuid) -> Result<Upload> {
        self.upload(actor, id).await?;
        let mut turn = self.shared.turns.take(id).await?;
        let upload = self.upload(actor, id).await?;
        if upload.state == UploadState::Complete || upload.holder.is_none() {
            return Ok(upload);
        }
        let mut claimed = self.claim(&mut turn, id, Unrecorded::Count, &|_| Ok(())).await?;
        let opened = self.open_claimed(&mut claimed).await;
        self.release(&mut claimed.upload, claimed.number, None).await?;
        opened?;
        Ok(claimed.upload)
    }

    /// Ends a session and removes its bytes. If it is complete, only the session ends: its bytes are the draft's.
    pub async fn cancel_upload(&self, actor: &Actor, id: Uuid) -> Result<()> {
        self.upload(actor, id).await?;
        let _turn = self.shared.turns.take(id).await?;
        self.end_upload(actor, id, CANCELLED, |_| true).await?;
        self.remove_garbage_soon().await
    }

    /// Returns a guard for a session that its client does not know of yet.
    pub fn untold(&self, actor: Actor, id: Uuid) -> CancelUnlessAnnounced {
        CancelUnlessAnnounced(Some((self.clone(), actor, id)))
    }

    /// Ends a session if it is `as_expected` at the moment of its end: another server may have advanced it.
    async fn end_upload(
        &self,
        actor: &Actor,
        id: Uuid,
        action: &'static str,
        as_expected: impl FnOnce(&Upload) -> bool,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        // Locks the row.
        tx.draw_claim(id).await?;
        let upload = tx.upload(id).await?.ok_or(Error::UploadNotFound)?;
        if !as_expected(&upload) {
            return Ok(());
        }
        tx.delete_upload(id).await?;
        if upload.state == UploadState::Receiving {
            tx.discard_arriving(upload.blob_id, self.clock.now()).await?;
            let subject = format!("uploads/{}", upload.id);
            if action == EXPIRED {
                self.tell_readers(&mut tx, expired(&upload, actor));
            }
            let had = (&upload.image, upload.revision, upload.role, upload.received, upload.size);
            let entry = Entry { action, subject, actor };
            self.audit(&mut tx, entry, Some(&had), NOTHING);
        }
        tx.commit().await?;
        metric::UPLOADS_ENDED.with([action]).increment(1);
        Ok(())
    }

    /// Removes a session and its bytes without an audit row: it was refused, and its sender is told.
    pub(super) async fn discard_upload(&self, upload: &Upload) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.delete_upload(upload.id).await?;
        tx.discard_arriving(upload.blob_id, self.clock.now()).await?;
        tx.commit().await?;
        self.remove_garbage_soon().await
    }

    /// Removes garbage from a folder at once, so that its disk space is free for the next upload. A bucket may be
    /// unreachable, and nobody has to wait for it.
    pub(in crate::catalog) async fn remove_garbage_soon(&self) -> Result<()> {
        if self.blobs.is_folder() {
            return self.remove_garbage().await;
        }
        self.sweep_is_due();
        Ok(())
    }

    /// Removes bytes for a writer that finds its session gone. Another server may have removed the bytes before this
    /// writer's last request ended; then nobody knows of what that request left. While the blob has a row, it belongs
    /// to another writer or the sweep.
    pub(super) async fn remove_if_forgotten(&self, upload: &Upload) {
        if upload.multipart.is_none() {
            return;
        }
        let known = async { self.db.read().await?.blob(upload.blob_id).await };
        if !matches!(known.await, Ok(None)) {
            return;
        }
        let removed = self.blobs.remove(&upload.blob_key, upload.multipart.as_deref()).await;
        if let Err(error) = removed {
            tracing::warn!(%error, blob.key = upload.blob_key,
                "the last bytes of a cancelled upload could not be removed; the bucket's lifecycle rule removes them");
        }
    }

    /// Does the same as [`Self::discard_upload`]. After a failure, the sweep finds the upload again.
    pub(super) async fn discard_or_log(&self, upload: &Upload) {
        if let Err(error) = self.discard_upload(upload).await {
            tracing::warn!(%error, upload = %upload.id,
                "a broken upload could not be discarded; the next sweep tries again");
        }
    }

    /// Discards whole-file uploads that a kill of this server interrupted: nobody can continue them.
    pub(crate) async fn discard_broken_puts(&self) -> Result<()> {
        let broken = self.db.read().await?.puts_of(self.instance).await?;
        for upload in &broken {
            self.discard_upload(upload).await?;
        }
        if !broken.is_empty() {
            tracing::info!(uploads = broken.len(), "discarded uploads cut off by the last stop");
        }
        Ok(())
    }

    /// Ends sessions without progress, and deletes those that have been complete for long.
    pub(in crate::catalog) async fn expire_uploads(&self) -> Result<()> {
        let now = self.clock.now();
        let idle = TimeDelta::from_std(self.rules().uploads.expire_after).unwrap_or(TimeDelta::MAX);
        let mut tx = self.db.read().await?;
        let mut stale = Vec::new();
        if let Some(since) = now.checked_sub_signed(idle) {
            stale = tx.idle_uploads(since).await?;
        }
        stale.extend(tx.empty_uploads(now - idle.min(EMPTY_KEPT)).await?);
        stale.extend(tx.idle_puts(now - idle.min(PUT_IDLE)).await?);
        drop(tx);
        for upload in &stale {
            self.expire(upload).await?;
        }
        let mut tx = self.db.write_to_free().await?;
        tx.forget_complete_uploads(now - COMPLETE_KEPT).await?;
        tx.commit().await?;
        let open = self.db.read().await?.count_uploads().await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metric::UPLOADS_OPEN.set(open as f64);
        Ok(())
    }

    /// Ends a session, unless someone is working on it at this moment.
    async fn expire(&self, stale: &Upload) -> Result<()> {
        let Some(_turn) = self.shared.turns.take_if_free(stale.id) else { return Ok(()) };
        let now = self.clock.now();
        let still_idle = |upload: &Upload| {
            let held = upload.holder.is_some_and(|holder| holder != self.instance);
            upload.state == UploadState::Receiving
                && upload.updated_at == stale.updated_at
                && !(held && upload.held_until >= now)
        };
        let sweep = Actor::system("sweep");
        match self.end_upload(&sweep, stale.id, EXPIRED, still_idle).await {
            // Someone else has just ended it.
            Err(Error::UploadNotFound) => Ok(()),
            ended => ended,
        }
    }
}

fn expired<'a>(upload: &Upload, actor: &'a Actor) -> News<'a> {
    News {
        kind: EventType::UploadExpired,
        actor: &actor.name,
        subject: format!("uploads/{}", upload.id),
        place: EventPlace {
            image: Some(upload.image.to_string()),
            channel: None,
            revision: Some(upload.revision),
        },
        data: json!({"role": upload.role, "received": upload.received, "size": upload.size}),
    }
}
