//! The lease decides in a session's row which of several writers has the session: each draws a number, the highest
//! wins, and writes under a lower one are refused.
//!
//! Drawing a number also asks a writer on another server to stop: that writer reads the newest number whenever it
//! reports progress, and at least every second. The session passes on when that writer has released it or its time is
//! up, because a write that is still in progress must not arrive after the new writer's. While a writer waits for its
//! store, it keeps reporting that it is alive ([`Catalog::holding`]). When it can no longer report, its requests in
//! progress are dropped before others may begin ([`WriteLease`]). A writer on this server has already ended when this
//! is called, because the caller has the [`Turn`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::writer_queue::Turn;
use crate::catalog::{Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::Holder;
use crate::storage::blobs::{Unacknowledged, WriteLease};
use crate::storage::instance::boot_id;

/// The time without a sign of life after which a writer's session passes to others.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(30);

/// The time for which requests in progress may continue without a renewal of the lease: some seconds less, because
/// clocks differ.
const REQUEST_LEASE: Duration = Duration::from_secs(20);

/// The greatest age of the last renewal while a writer works or waits.
pub(super) const RENEW_AFTER: Duration = Duration::from_secs(5);

/// The time for which a new writer waits. It is longer than the longest lease: a writer that has not released the
/// session by then has a clock or a database that nobody should wait for.
const UNTIL_OTHERS_ARE_GONE: Duration = Duration::from_secs(45);

/// The interval at which a waiting writer checks whether the previous one has released the session.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The handling of bytes that were written but not recorded before a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unrecorded {
    Count,
    /// They have to match a checksum first.
    AreNothing,
}

/// A session that this process holds.
pub(super) struct Claimed {
    pub(super) upload: Upload,
    pub(super) number: i64,
    pub(super) lease: WriteLease,
    /// The handling of bytes past the offset.
    pub(super) unacknowledged: Unacknowledged,
    /// The boot id that has to be recorded in the row once they are cut off.
    pub(super) boot_to_note: Option<&'static str>,
}

impl Catalog {
    /// Takes the session over from its current writer, unless `may_have_it` refuses.
    ///
    /// The row says that bytes past the offset are valid only if there are none yet, or if they were already valid.
    /// Otherwise [`Catalog::open_claimed`] records that after it has cut them off. If the server is killed in between,
    /// the next claim must not take in unproven bytes.
    pub(super) async fn claim(
        &self,
        turn: &mut Turn,
        id: Uuid,
        unnoted: Unrecorded,
        may_have_it: &(impl Fn(&Upload) -> Result<()> + Sync),
    ) -> Result<Claimed> {
        let mut number = None;
        let deadline = Instant::now() + UNTIL_OTHERS_ARE_GONE;
        loop {
            let begun = Instant::now();
            let mut tx = self.db.write_to_free().await?;
            let mine = match number {
                None => match tx.draw_claim(id).await? {
                    Some(drawn) => drawn,
                    // Finished while this one waited for its turn: a repeat after a lost answer must not be told that
                    // there is no such upload, and send everything again.
                    None if tx.upload(id).await?.is_some() => return Err(Error::UploadComplete),
                    None => return Err(Error::UploadNotFound),
                },
                Some(drawn) => drawn,
            };
            let upload = tx.upload(id).await?.ok_or(Error::UploadNotFound)?;
            may_have_it(&upload)?;
            if upload.newest_claim > mine {
                return Err(Error::UploadTakenOver);
            }
            if self.is_free(&upload) {
                let unacknowledged = self.unacknowledged_of(&upload);
                let all_valid = unacknowledged != Unacknowledged::CutOff
                    || self.blobs.ends_at(&upload.blob_key, upload.received);
                let wanted = (unnoted == Unrecorded::Count).then(boot_id).flatten();
                let boot = wanted.filter(|_| all_valid);
                let holder =
                    Holder { claim: mine, instance: self.instance, boot, until: self.held_until() };
                if !tx.hold_upload(id, &holder).await? {
                    return Err(Error::UploadTakenOver);
                }
                tx.commit().await?;
                let lease = new_lease(begun);
                let boot_to_note = wanted.filter(|_| !all_valid);
                return Ok(Claimed { upload, number: mine, lease, unacknowledged, boot_to_note });
            }
            tx.commit().await?;
            number = Some(mine);
            if Instant::now() > deadline {
                return Err(Error::UploadBusy);
            }
            tokio::select! {
                () = turn.is_over() => return Err(Error::UploadTakenOver),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reports whether no other writer can write any more. A time later than the end of any lease was written by a
    /// clock that has been set back since.
    fn is_free(&self, upload: &Upload) -> bool {
        let now = self.clock.now();
        upload.holder.is_none_or(|holder| holder == self.instance)
            || upload.held_until < now
            || upload.held_until > now + LEASE * 2
    }

    /// Returns the handling of bytes past the offset. A holder in the row that has no writer was killed. If it was on
    /// this server and the machine has not been restarted, what it wrote is still there.
    fn unacknowledged_of(&self, upload: &Upload) -> Unacknowledged {
        let same_boot = upload.holder_boot.is_some() && upload.holder_boot.as_deref() == boot_id();
        if upload.holder == Some(self.instance) && same_boot {
            Unacknowledged::TakeIn { of_writer: upload.held_claim }
        } else {
            Unacknowledged::CutOff
        }
    }

    pub(super) fn held_until(&self) -> DateTime<Utc> {
        self.clock.now() + LEASE
    }

    /// Does work that may take longer than others wait, and meanwhile reports that the writer is alive.
    pub(super) fn holding<T, E>(
        &self,
        id: Uuid,
        claim: i64,
        lease: &WriteLease,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> impl Future<Output = std::result::Result<T, E>> {
        // Boxed before the first await, so that no caller's future contains the work.
        let mut work = Box::pin(work);
        async move {
            loop {
                tokio::select! {
                    biased;
                    done = &mut work => return done,
                    () = tokio::time::sleep(RENEW_AFTER) => {}
                }
                // A newer writer waits for this one to end. A database that is unreachable for a moment is no reason to
                // stop; the lease expires by itself if that lasts.
                let _newest = self.renew(id, claim, lease).await;
            }
        }
    }

    /// Reports that the writer is alive. Returns the newest claim number, or none if the session does not belong to the
    /// writer any more.
    pub(super) async fn renew(
        &self,
        id: Uuid,
        claim: i64,
        lease: &WriteLease,
    ) -> Result<Option<i64>> {
        let begun = Instant::now();
        let mut tx = self.db.write_to_free().await?;
        let newest = tx.renew_hold(id, claim, self.held_until()).await?;
        tx.commit().await?;
        match newest {
            Some(_) => lease.renew(begun),
            None => lease.end(),
        }
        Ok(newest)
    }
}

pub(super) fn new_lease(begun: Instant) -> WriteLease {
    WriteLease::new(begun, REQUEST_LEASE)
}
