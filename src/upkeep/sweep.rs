//! What is left behind is taken away: bytes of broken uploads and deleted revisions, stale drafts,
//! old answers.

use std::time::Duration;

use chrono::TimeDelta;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::job::{Done, Round, Wanted};
use crate::catalog::{Actor, Catalog, Result};
use crate::model::{Blob, Job, RevisionState};

/// Without a bell the sweep comes by so often.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// A reservation without a session has lost its maker.
const RESERVATION_IDLE: TimeDelta = TimeDelta::days(1);

/// So many blobs are removed in one sweep.
const AT_ONCE: i64 = 500;

/// So many blobs in a row that cannot be removed: the store is away, and the others can wait.
const STORE_IS_AWAY: usize = 2;

/// Repeats of a request come within minutes; a day is what clients that queue may need.
const ANSWERS_KEPT: TimeDelta = TimeDelta::days(1);

impl Catalog {
    /// Cleans what a stopped server of this instance left; to be called before requests are served.
    pub async fn recover(&self) -> Result<()> {
        let mut tx = self.db.write().await?;
        let left = tx.discard_arriving_of(self.instance, self.clock.now()).await?;
        tx.commit().await?;
        if left > 0 {
            tracing::info!(reservations = left, "taking away what the last stop cut off");
        }
        self.discard_broken_puts().await?;
        self.clear_spool().await?;
        self.remove_garbage().await
    }

    /// What was on its way into a bucket when this server was stopped, of uploads that have ended
    /// since.
    async fn clear_spool(&self) -> Result<()> {
        for key in self.blobs.spooled()? {
            if !self.db.read().await?.is_arriving(&key).await? {
                self.blobs.clear_spool(&key)?;
            }
        }
        Ok(())
    }

    /// Sweeps whenever something was left behind, until cancelled. Of several servers one does it.
    pub async fn keep_sweeping(&self) {
        // The first at once: what was left while no server ran has rung no bell.
        let mut wanted = Wanted::Now;
        loop {
            let round =
                self.do_round(Job::Sweep, wanted, SWEEP_EVERY, Box::pin(self.sweep_once())).await;
            let wait = match round {
                Ok(Round::NotBefore(at)) => self.until(at).min(SWEEP_EVERY),
                Ok(Round::Done(())) => {
                    wanted = Wanted::AtItsTime;
                    SWEEP_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the sweep stopped early and will be repeated");
                    wanted = Wanted::AtItsTime;
                    SWEEP_EVERY
                }
            };
            if tokio::time::timeout(wait, self.shared.sweep_is_due.notified()).await.is_ok() {
                wanted = Wanted::Now;
            }
        }
    }

    async fn sweep_once(&self) -> Result<Done<()>> {
        self.sweep().await?;
        Ok(Done { result: (), version: 0, due_at: self.clock.now() + SWEEP_EVERY })
    }

    pub(super) async fn sweep(&self) -> Result<()> {
        self.end_stale_sessions().await?;
        self.delete_stale_drafts().await?;
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        tx.discard_arriving_before(now - RESERVATION_IDLE, now).await?;
        tx.forget_answers_before(now - ANSWERS_KEPT).await?;
        tx.commit().await?;
        self.forget_void_tokens().await?;
        self.remove_garbage().await?;
        self.reissue_manifests().await
    }

    async fn delete_stale_drafts(&self) -> Result<()> {
        let lifetime =
            TimeDelta::from_std(self.rules().uploads.expire_after).unwrap_or(TimeDelta::MAX);
        let Some(since) = self.clock.now().checked_sub_signed(lifetime) else { return Ok(()) };
        let actor = Actor::system("sweep");
        let stale = self.db.read().await?.stale_drafts(since).await?;
        for draft in stale {
            let mut tx = self.db.write().await?;
            tx.lock_image(draft.image_id).await?;
            // It may have been touched since the list was read.
            let Some(mut draft) = tx.revision_by_id(draft.id).await? else { continue };
            let untouched = !tx.has_open_uploads(draft.id).await?
                && draft.state == RevisionState::Draft
                && draft.updated_at < since
                && !draft.protected;
            let Some(image) = tx.image_by_id(draft.image_id).await?.filter(|_| untouched) else {
                continue;
            };
            self.bury(&mut tx, &mut draft).await?;
            let subject = format!("images/{}/revisions/{}", image.name, draft.number);
            let entry = Entry { action: "revision.expire", subject, actor: &actor };
            self.audit(&mut tx, entry, NOTHING, NOTHING);
            tx.commit().await?;
        }
        Ok(())
    }

    /// Removes the bytes of every blob that nothing refers to, of a bucket also its parts. One that cannot be removed is left for
    /// the next sweep and keeps nobody from the others, nor the server from starting.
    pub(crate) async fn remove_garbage(&self) -> Result<()> {
        let now = self.clock.now();
        let garbage = self.db.read().await?.removable_blobs(now, AT_ONCE).await?;
        let mut failures = 0;
        for blob in garbage {
            failures = if self.remove_or_postpone(&blob).await? { 0 } else { failures + 1 };
            if failures == STORE_IS_AWAY {
                break;
            }
        }
        Ok(())
    }

    /// Says whether it is gone; else it comes last from now on.
    pub(super) async fn remove_or_postpone(&self, blob: &Blob) -> Result<bool> {
        let Err(error) = self.remove_blob(blob).await else { return Ok(true) };
        if error.is_database_away() {
            return Err(error);
        }
        tracing::warn!(%error, blob.key = blob.key, "garbage stays until the next sweep");
        let mut tx = self.db.write().await?;
        tx.postpone_garbage(blob.id, self.clock.now()).await?;
        tx.commit().await?;
        Ok(false)
    }

    /// The bytes, then the row: killed in between, the row brings the sweep back.
    async fn remove_blob(&self, blob: &Blob) -> Result<()> {
        self.blobs.remove(&blob.key, blob.multipart.as_deref()).await?;
        let mut tx = self.db.write().await?;
        tx.delete_blob(blob.id).await?;
        Ok(tx.commit().await?)
    }
}
