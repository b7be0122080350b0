//! Who of several writers has a session, decided in its row: each draws a number, the highest wins,
//! and what is written under a lower one is refused.
//!
//! A writer of another server is asked to stop by the drawing itself: it looks at the newest number
//! whenever it tells of its progress, and at least every second. The session passes on when it has let go
//! or when its time is up, because a write that is still on its way must not land after the new
//! one's. A writer of this server is gone when this is asked, for the caller has the [`Turn`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::turn::Turn;
use crate::catalog::{Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::blobs::{Appender, Kept, Tail};
use crate::storage::instance::boot_id;
use crate::storage::{Holder, Progress};

/// How long a writer may be silent before its session passes to others.
pub(super) const HOLD: TimeDelta = TimeDelta::seconds(30);

/// How often one who waits looks whether the writer before has let go.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether bytes that were written and not yet noted are to be found again after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnoted {
    Count,
    /// They have a checksum to prove first.
    AreNothing,
}

/// A session that this process holds.
pub(super) struct Claimed {
    pub(super) upload: Upload,
    pub(super) number: i64,
    /// What is to be done with bytes past the offset.
    tail: Tail,
}

impl Catalog {
    /// Takes the session over from whoever has it.
    pub(super) async fn claim(&self, _turn: &Turn, id: Uuid, unnoted: Unnoted) -> Result<Claimed> {
        let mut number = None;
        loop {
            let mut tx = self.db.write().await?;
            let mine = match number {
                None => tx.draw_claim(id).await?.ok_or(Error::UploadNotFound)?,
                Some(drawn) => drawn,
            };
            let upload = tx.upload(id).await?.ok_or(Error::UploadNotFound)?;
            if upload.newest_claim > mine {
                return Err(Error::UploadTakenOver);
            }
            if self.is_free(&upload) {
                let boot = (unnoted == Unnoted::Count).then(boot_id).flatten();
                let holder = Holder {
                    claim: mine,
                    instance: self.instance,
                    boot: boot.as_deref(),
                    until: self.held_until(),
                };
                if !tx.hold_upload(id, &holder).await? {
                    return Err(Error::UploadTakenOver);
                }
                tx.commit().await?;
                let tail = self.tail_of(&upload);
                return Ok(Claimed { upload, number: mine, tail });
            }
            tx.commit().await?;
            number = Some(mine);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether no writer can write any more.
    fn is_free(&self, upload: &Upload) -> bool {
        upload.holder.is_none_or(|holder| holder == self.instance)
            || upload.held_until < self.clock.now()
    }

    /// A holder in the row without a writer was killed. Where it was this server's and the machine has
    /// not been started anew, what it wrote is still there.
    fn tail_of(&self, upload: &Upload) -> Tail {
        let same_boot = upload.holder_boot.is_some() && upload.holder_boot == boot_id();
        if upload.holder == Some(self.instance) && same_boot { Tail::TakeIn } else { Tail::CutOff }
    }

    pub(super) fn held_until(&self) -> DateTime<Utc> {
        self.clock.now() + HOLD
    }

    /// Opens the bytes of a claimed session, and notes what a crash had left unnoted.
    pub(super) async fn open_claimed(&self, claimed: &mut Claimed) -> Result<Appender> {
        let upload = &mut claimed.upload;
        let kept = Kept { received: upload.received, hash_state: upload.hash_state.clone() };
        let mut appender =
            self.blobs.appender(&upload.blob_key, kept, upload.size, claimed.tail).await?;
        if appender.taken() > upload.received {
            let found = appender.sync().await?;
            tracing::info!(upload = %upload.id, bytes = found.received - upload.received,
                "took in what a killed server had received");
            self.note_progress(upload, claimed.number, &found).await?;
        }
        Ok(appender)
    }

    /// Acknowledges what is on stable storage. The newest number that was drawn for the session.
    pub(super) async fn note_progress(
        &self,
        upload: &mut Upload,
        claim: i64,
        kept: &Kept,
    ) -> Result<i64> {
        let mut tx = self.db.write().await?;
        let progress = Progress {
            claim,
            received: super::as_stored(kept.received)?,
            hash_state: &kept.hash_state,
            held_until: self.held_until(),
            now: self.clock.now(),
        };
        let newest = tx.note_upload(upload, &progress).await?.ok_or(Error::UploadLost)?;
        tx.commit().await?;
        upload.received = kept.received;
        upload.hash_state.clone_from(&kept.hash_state);
        upload.updated_at = progress.now;
        Ok(newest)
    }

    /// The writer ends, and with `kept` what it has is acknowledged in the same step.
    pub(super) async fn release(
        &self,
        upload: &mut Upload,
        claim: i64,
        kept: Option<&Kept>,
    ) -> Result<()> {
        let mut tx = self.db.write().await?;
        let now = self.clock.now();
        if let Some(kept) = kept {
            let progress = Progress {
                claim,
                received: super::as_stored(kept.received)?,
                hash_state: &kept.hash_state,
                held_until: now,
                now,
            };
            tx.note_upload(upload, &progress).await?.ok_or(Error::UploadLost)?;
        }
        tx.release_upload(upload.id, claim).await?;
        tx.commit().await?;
        if let Some(kept) = kept {
            upload.received = kept.received;
            upload.hash_state.clone_from(&kept.hash_state);
            upload.updated_at = now;
        }
        Ok(())
    }
}
