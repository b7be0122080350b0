//! Who of several writers has a session, decided in its row: each draws a number, the highest wins,
//! and what is written under a lower one is refused.
//!
//! A writer of another server is asked to stop by the drawing itself: it looks at the newest number
//! whenever it tells of its progress, and at least every second. The session passes on when it has let go
//! or when its time is up, because a write that is still on its way must not land after the new
//! one's: while a writer waits for its store it goes on telling that it lives ([`Catalog::holding`]), and
//! when it cannot tell any more, what it has under way is dropped before others may begin ([`Hold`]). A
//! writer of this server is gone when this is asked, for the caller has the [`Turn`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::writer_queue::Turn;
use crate::catalog::{Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::Holder;
use crate::storage::blobs::{Hold, Tail};
use crate::storage::instance::boot_id;

/// How long a writer may be silent before its session passes to others.
pub(super) const HOLD: TimeDelta = TimeDelta::seconds(30);

/// How long what is under way may go on without news of the hold: some seconds less, for clocks differ.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// How old the last news may get while a writer works or waits.
pub(super) const RENEW_AFTER: Duration = Duration::from_secs(5);

/// Past the longest hold: whoever has not let go by then has a clock or a database that nobody should
/// wait for.
const UNTIL_OTHERS_ARE_GONE: Duration = Duration::from_secs(45);

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
    pub(super) hold: Hold,
    /// What is to be done with bytes past the offset.
    pub(super) tail: Tail,
    /// What the row is to be told once they are cut off.
    pub(super) boot_to_note: Option<&'static str>,
}

impl Catalog {
    /// Takes the session over from whoever has it, unless `may_have_it` refuses.
    ///
    /// The row tells that bytes past the offset may be believed only where there are none yet, or where
    /// they could be before; else [`Catalog::open_claimed`] says so after it has cut them off. Killed in
    /// between, the next claim must not take in what nobody has proven.
    pub(super) async fn claim(
        &self,
        turn: &mut Turn,
        id: Uuid,
        unnoted: Unnoted,
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
                    // Finished while this waited for its turn: a repeat after a lost answer must not
                    // hear that there is no such upload, and send everything again.
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
                let tail = self.tail_of(&upload);
                let sound =
                    tail != Tail::CutOff || self.blobs.ends_at(&upload.blob_key, upload.received);
                let wanted = (unnoted == Unnoted::Count).then(boot_id).flatten();
                let boot = wanted.filter(|_| sound);
                let holder =
                    Holder { claim: mine, instance: self.instance, boot, until: self.held_until() };
                if !tx.hold_upload(id, &holder).await? {
                    return Err(Error::UploadTakenOver);
                }
                tx.commit().await?;
                let hold = new_hold(begun);
                let boot_to_note = wanted.filter(|_| !sound);
                return Ok(Claimed { upload, number: mine, hold, tail, boot_to_note });
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

    /// Whether no writer can write any more. A time further off than any hold was written by a clock that
    /// has been set back since.
    fn is_free(&self, upload: &Upload) -> bool {
        let now = self.clock.now();
        upload.holder.is_none_or(|holder| holder == self.instance)
            || upload.held_until < now
            || upload.held_until > now + HOLD * 2
    }

    /// A holder in the row without a writer was killed. Where it was this server's and the machine has
    /// not been started anew, what it wrote is still there.
    fn tail_of(&self, upload: &Upload) -> Tail {
        let same_boot = upload.holder_boot.is_some() && upload.holder_boot.as_deref() == boot_id();
        if upload.holder == Some(self.instance) && same_boot {
            Tail::TakeIn { of_writer: upload.held_claim }
        } else {
            Tail::CutOff
        }
    }

    pub(super) fn held_until(&self) -> DateTime<Utc> {
        self.clock.now() + HOLD
    }

    /// Does work that may take longer than others wait, and tells meanwhile that the writer lives. To be
    /// boxed: it would be twice in the future of whoever waits.
    pub(super) async fn holding<T, E>(
        &self,
        id: Uuid,
        claim: i64,
        hold: &Hold,
        mut work: impl Future<Output = std::result::Result<T, E>> + Unpin,
    ) -> std::result::Result<T, E> {
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(RENEW_AFTER) => {}
            }
            // A newer writer waits for this one's end. A database that is away for a moment is no reason
            // to stop; the hold ends by itself when that lasts.
            let _newest = self.renew(id, claim, hold).await;
        }
    }

    /// Tells that the writer lives. The newest number that was drawn; none where the session is not the
    /// writer's any more.
    pub(super) async fn renew(&self, id: Uuid, claim: i64, hold: &Hold) -> Result<Option<i64>> {
        let begun = Instant::now();
        let mut tx = self.db.write_to_free().await?;
        let newest = tx.renew_hold(id, claim, self.held_until()).await?;
        tx.commit().await?;
        match newest {
            Some(_) => hold.renew(begun),
            None => hold.end(),
        }
        Ok(newest)
    }
}

pub(super) fn new_hold(begun: Instant) -> Hold {
    Hold::new(begun, UNDER_WAY)
}
