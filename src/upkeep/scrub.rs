//! The scrub: reads every stored byte again within `scrub.within`, and keeps damaged revisions from clients.
//!
//! One server at a time slowly reads the blobs that have waited longest ([`StoredBlob`]). Bytes that do not match are
//! read once more, because a connection or memory may err too. If they still do not match, the blob's revisions are in
//! [`quarantine`]: at once, they are out of update checks, of the tree and of its HTTP names. `rescue` heals them if
//! the tree has an intact copy. Otherwise an administrator does, by uploading the file again or from a backup. A blob
//! that is intact again in its place is healed when it is read the next time.

pub mod quarantine;
mod rescue;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::image::living_image;
use crate::catalog::job::{Done, Round, Trigger};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{Coverage, DamagedFile, ImageName, Job, StoredBlob, metric};
use crate::storage::blobs::verify::{ReadPace, Verdict};
use crate::storage::{ScrubDue, StorageError};

/// The longest time that one server reads in a round.
const ROUND: Duration = Duration::from_mins(5);

/// The interval at which the scrub checks if anything is due.
const LOOK_EVERY: Duration = Duration::from_mins(10);

const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The wait before damaged blobs are read again: somebody may have repaired them in place.
const DAMAGED_AGAIN: TimeDelta = TimeDelta::hours(1);

/// The number of blobs that are queried at once.
const PAGE: i64 = 200;

/// The wait before blobs that could not be read are tried again. Meanwhile they do not hold up others.
const UNREAD_AGAIN: TimeDelta = TimeDelta::hours(1);

/// The tolerated clock difference. Readings further in the future come from a clock that has been set back since.
const CLOCKS_DIFFER_BY: TimeDelta = TimeDelta::hours(1);

/// The slowest pace, in bytes a second. A slower one would relieve nobody.
const SLOWEST: u64 = 8 * 1024 * 1024;

/// The part of `scrub.within`, in percent, after which a blob is due again. The rest is the time for reading.
const DUE_AFTER: u32 = 70;

/// The factor by which reading is faster than needed on average, because all blobs may be due at once.
const HASTE: u64 = 4;

/// The state of the stored bytes.
#[derive(Debug, Clone)]
pub struct ScrubStatus {
    pub coverage: Coverage,
    pub damaged: Vec<DamagedFile>,
}

/// The speed at which stored bytes are read, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bandwidth {
    /// The setting, or else enough to read everything in time.
    Enough,
    AtMost(u64),
    /// The speed of the disk: somebody waits for the result.
    All,
}

/// The result of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Scrubbed {
    blobs: u64,
    /// Set if more was due than the round had time for.
    is_cut_off: bool,
}

impl Catalog {
    /// Reads the blobs that are due, until cancelled. With several servers, one of them does it.
    pub async fn keep_scrubbing(&self) {
        let mut wanted = Trigger::AtItsTime;
        loop {
            let since = self.clock.now() - UNREAD_AGAIN;
            let work = self.scrub_once(since, Bandwidth::Enough, &|_| {});
            let round = self.do_round(Job::Scrub, wanted, RETRY_AFTER, work);
            let wait = match round.await {
                Ok(Round::Done(done)) => {
                    wanted = if done.is_cut_off { Trigger::Now } else { Trigger::AtItsTime };
                    if done.is_cut_off { Duration::ZERO } else { LOOK_EVERY }
                }
                Ok(Round::NotBefore(at)) => self.until(at),
                Err(error) => {
                    tracing::error!(%error, "the scrub stopped early and will continue");
                    RETRY_AFTER
                }
            };
            let bell = self.shared.scrub_is_due.notified();
            if tokio::time::timeout(wait.min(LOOK_EVERY), bell).await.is_ok() {
                wanted = Trigger::Now;
            }
        }
    }

    /// Makes all stored bytes due, or those of an image or of one of its revisions, whatever their age. Returns the
    /// number of blobs.
    pub async fn request_scrub(
        &self,
        actor: &Actor,
        image: Option<&ImageName>,
        revision: Option<i64>,
    ) -> Result<u64> {
        let mut tx = self.db.write().await?;
        let found = match image {
            Some(name) => Some(living_image(&mut tx, name).await?),
            None => None,
        };
        if let (Some(image), Some(number)) = (&found, revision)
            && tx.revision(image.id, number).await?.is_none()
        {
            return Err(Error::RevisionNotFound(number));
        }
        let image = found.as_ref().map(|image| image.id);
        let wanted = tx.want_scrub(image, revision, self.clock.now()).await?;
        let subject = match (&found, revision) {
            (Some(image), Some(number)) => format!("images/{}/revisions/{number}", image.name),
            (Some(image), None) => format!("images/{}", image.name),
            (None, _) => "scrub".to_owned(),
        };
        self.audit(&mut tx, Entry { action: "scrub.request", subject, actor }, NOTHING, NOTHING);
        tx.commit().await?;
        self.shared.scrub_is_due.notify_one();
        Ok(wanted)
    }

    /// Reads everything that is due, for a command that waits for it. Another server may do a part. `read` is called
    /// for each blob.
    pub async fn scrub_now(
        &self,
        bandwidth: Bandwidth,
        read: &(dyn Fn(&StoredBlob) + Sync),
    ) -> Result<()> {
        let began = self.clock.now();
        loop {
            let work = self.scrub_once(began, bandwidth, read);
            let round = self.do_round(Job::Scrub, Trigger::Now, RETRY_AFTER, work);
            match round.await? {
                Round::NotBefore(at) => tokio::time::sleep(self.until(at)).await,
                Round::Done(Scrubbed { is_cut_off: true, .. }) => continue,
                Round::Done(_) => {
                    let unread = self.db.read().await?.count_unread(began).await?;
                    if unread > 0 {
                        let detail = format!("{unread} files could not be read; the log says why");
                        return Err(StorageError::Unusable(detail).into());
                    }
                }
            }
            if self.scrub_status().await?.coverage.wanted == 0 {
                return Ok(());
            }
        }
    }

    pub async fn scrub_status(&self) -> Result<ScrubStatus> {
        let since = self.before_now(self.rules().scrub.within);
        let mut tx = self.db.read().await?;
        Ok(ScrubStatus { coverage: tx.coverage(since).await?, damaged: tx.damaged_files().await? })
    }

    /// Runs one round. Blobs that could not be read since `tried_since` are left for later.
    async fn scrub_once(
        &self,
        tried_since: DateTime<Utc>,
        bandwidth: Bandwidth,
        read: &(dyn Fn(&StoredBlob) + Sync),
    ) -> Result<Done<Scrubbed>> {
        // A disk that is not mounted has lost nothing.
        self.check_owner().await?;
        let mut pace = ReadPace::new(match bandwidth {
            Bandwidth::Enough => Some(self.scrub_rate().await?),
            Bandwidth::AtMost(rate) => Some(rate),
            Bandwidth::All => None,
        });
        let (began, mut done) = (tokio::time::Instant::now(), Scrubbed::default());
        'round: loop {
            let due = self.due_blobs(tried_since).await?;
            if due.is_empty() {
                break;
            }
            for blob in due {
                if let Err(error) = self.scrub_blob(&blob, &mut pace).await {
                    self.note_unreadable(&blob, error).await?;
                }
                read(&blob);
                done.blobs += 1;
                if began.elapsed() > ROUND {
                    done.is_cut_off = true;
                    break 'round;
                }
            }
        }
        let due_at = self.clock.now() + LOOK_EVERY;
        Ok(Done { result: done, version: 0, due_at })
    }

    /// Notes that one blob could not be read and continues, unless the whole store is unreachable.
    async fn note_unreadable(&self, blob: &StoredBlob, error: Error) -> Result<()> {
        if error.is_database_unreachable() {
            return Err(error);
        }
        self.check_owner().await?;
        tracing::warn!(%error, blob.key = blob.key, "the blob could not be read and will be tried again later");
        let mut tx = self.db.write().await?;
        tx.note_unread(blob.id, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    async fn due_blobs(&self, tried_since: DateTime<Utc>) -> Result<Vec<StoredBlob>> {
        let now = self.clock.now();
        let due = ScrubDue {
            older_than: self.before_now(self.rules().scrub.within * DUE_AFTER / 100),
            damaged_before: now - DAMAGED_AGAIN,
            tried_since,
            latest: now + CLOCKS_DIFFER_BY,
        };
        Ok(self.db.read().await?.blobs_to_scrub(due, PAGE).await?)
    }

    async fn scrub_rate(&self) -> Result<u64> {
        if let Some(rate) = self.rules().scrub.bandwidth {
            return Ok(rate);
        }
        let now = self.clock.now();
        let stored = self.db.read().await?.coverage(now).await?.bytes.unsigned_abs();
        let average = stored / self.rules().scrub.within.as_secs().max(1);
        Ok(average.saturating_mul(HASTE).max(SLOWEST))
    }

    /// Reads one blob and acts on the result.
    async fn scrub_blob(&self, blob: &StoredBlob, pace: &mut ReadPace) -> Result<()> {
        let mut verdict = self.examine(blob, pace).await?;
        if matches!(verdict, Verdict::Damaged(_)) && !blob.is_damaged {
            verdict = self.examine(blob, pace).await?;
            // The whole disk may have gone in the meantime.
            self.check_owner().await?;
        }
        metric::SCRUBBED_BYTES.increment(blob.size);
        match verdict {
            Verdict::Damaged(what) => {
                if self.discard_damaged_transfer_file(blob.id, &what).await? {
                    return Ok(());
                }
                self.quarantine(blob, &what).await?;
                self.rescue(blob).await
            }
            Verdict::Intact if blob.is_damaged => self.heal_in_place(blob).await,
            Verdict::Intact => {
                let mut tx = self.db.write_to_free().await?;
                tx.note_scrubbed(blob.id, self.clock.now()).await?;
                Ok(tx.commit().await?)
            }
        }
    }

    async fn examine(&self, blob: &StoredBlob, pace: &mut ReadPace) -> Result<Verdict> {
        Ok(self.blobs.examine(&blob.key, blob.size, &blob.digest, pace).await?)
    }

    pub(super) fn before_now(&self, age: Duration) -> DateTime<Utc> {
        let age = TimeDelta::from_std(age).ok();
        let then = age.and_then(|age| self.clock.now().checked_sub_signed(age));
        then.unwrap_or(DateTime::UNIX_EPOCH)
    }
}
