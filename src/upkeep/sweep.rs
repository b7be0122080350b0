//! Removes leftovers: bytes of broken uploads and deleted revisions, stale drafts, old answers.

use std::time::Duration;

use chrono::TimeDelta;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::job::{Done, Round, Trigger};
use crate::catalog::{Actor, Catalog, Result};
use crate::model::{Job, RevisionState};

/// The interval between two sweeps if nothing triggers one earlier.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// The age at which a reservation without a session counts as abandoned.
const RESERVATION_IDLE: TimeDelta = TimeDelta::days(1);

/// The time for which answers are kept. Repeated requests come within minutes; clients that queue may need a day.
const ANSWERS_KEPT: TimeDelta = TimeDelta::days(1);

impl Catalog {
    /// Cleans up after the last run of this instance. Must be called before requests are served.
    pub async fn recover(&self) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let left = tx.discard_arriving_of(self.instance, self.clock.now()).await?;
        tx.commit().await?;
        if left > 0 {
            tracing::info!(
                reservations = left,
                "removing unfinished bytes that the last stop interrupted"
            );
        }
        self.discard_broken_puts().await?;
        self.clear_spool().await?;
        self.remove_garbage().await
    }

    /// Removes bytes that were on their way into a bucket when this server was stopped, if their uploads have ended
    /// since.
    async fn clear_spool(&self) -> Result<()> {
        for key in self.blobs.spooled()? {
            if !self.db.read().await?.is_arriving(&key).await? {
                self.blobs.clear_spool(&key)?;
            }
        }
        Ok(())
    }

    /// Sweeps whenever something was left behind, until cancelled. With several servers, one of them does it.
    pub async fn keep_sweeping(&self) {
        // The first sweep runs at once: leftovers from a time without a server have triggered nothing.
        let mut wanted = Trigger::Now;
        loop {
            let round = self.do_round(Job::Sweep, wanted, SWEEP_EVERY, self.sweep_once()).await;
            let wait = match round {
                Ok(Round::NotBefore(at)) => self.until(at).min(SWEEP_EVERY),
                Ok(Round::Done(())) => {
                    wanted = Trigger::AtItsTime;
                    SWEEP_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the sweep stopped early and will be repeated");
                    wanted = Trigger::AtItsTime;
                    SWEEP_EVERY
                }
            };
            if tokio::time::timeout(wait, self.shared.sweep_is_due.notified()).await.is_ok() {
                wanted = Trigger::Now;
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
        let mut tx = self.db.write_to_free().await?;
        tx.discard_arriving_before(now - RESERVATION_IDLE, now).await?;
        tx.forget_answers_before(now - ANSWERS_KEPT).await?;
        tx.commit().await?;
        self.forget_void_tokens().await?;
        self.forget_old_events().await?;
        self.forget_old_deliveries().await?;
        self.remove_garbage().await?;
        if let Err(error) = self.prune_audit_by_rule().await {
            // An audit log that was tampered with must not stop the rest of the sweep.
            tracing::error!(%error, "audit rows older than audit.keep could not be removed");
        }
        let pages = self.db.give_pages_back().await?;
        if pages > 0 {
            tracing::info!(pages, "the catalog's file was shrunk");
        }
        self.reissue_manifests().await
    }

    async fn delete_stale_drafts(&self) -> Result<()> {
        let lifetime =
            TimeDelta::from_std(self.rules().uploads.expire_after).unwrap_or(TimeDelta::MAX);
        let Some(since) = self.clock.now().checked_sub_signed(lifetime) else { return Ok(()) };
        let actor = Actor::system("sweep");
        let stale = self.db.read().await?.stale_drafts(since).await?;
        for draft in stale {
            let mut tx = self.db.write_to_free().await?;
            tx.lock_image(draft.image_id).await?;
            // It may have been changed since the list was read.
            let Some(mut draft) = tx.revision_by_id(draft.id).await? else { continue };
            let untouched = !tx.has_open_uploads(draft.id).await?
                && draft.state == RevisionState::Draft
                && draft.updated_at < since
                && !draft.protected;
            let Some(image) = tx.image_by_id(draft.image_id).await?.filter(|_| untouched) else {
                continue;
            };
            self.make_tombstone(&mut tx, &mut draft).await?;
            let subject = format!("images/{}/revisions/{}", image.name, draft.number);
            let entry = Entry { action: "revision.expire", subject, actor: &actor };
            self.audit(&mut tx, entry, NOTHING, NOTHING);
            tx.commit().await?;
        }
        Ok(())
    }
}
