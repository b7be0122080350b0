//! Transfer files: the chunk lists and deltas beside revisions' files, with which clients fetch only what is new.
//!
//! They are made in the background, one at a time, and nothing waits for them: a revision is sealed and promoted without
//! them, and appears in the tree and in update checks without them. `images_to_look_at` says where something may be
//! missing, `making` makes one file (`work`) at the `pace` that the settings allow, reading blobs where they are
//! (`stored_file`), and `record` puts it into effect: from then on the snapshot has it, so that the tree, the documents
//! and the answers show it. `forecast` says what a client will fetch. How they are made is in the room `delta`.

mod forecast;
pub(crate) mod images_to_look_at;
mod making;
mod pace;
mod record;
mod stored_file;
pub(crate) mod work;

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::forecast::{FileForecast, Forecast, Via};
use self::work::{Failed, Work};
use super::job::{Done, Round, Trigger};
use super::{Catalog, Result};
use crate::model::{Job, metric};
use crate::storage::{Missing, Scope};

/// Files with fewer bytes have no transfer files: clients fetch them faster than they would find out what they lack.
pub const SMALLEST: u64 = 4 << 20;

/// The longest time between two looks at all images. A server looks at once at images that it has changed itself.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// The longest time that one server works on a backlog before others have their turn.
const ROUND: Duration = Duration::from_mins(5);

/// The wait between two rounds of a backlog, and before work that another server does is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// The wait after a failure that concerns the whole server: no room, or a database that does not answer.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The wait before a file that could not be made is tried again.
const FAILED_AGAIN: TimeDelta = TimeDelta::hours(6);

impl Catalog {
    /// Wakes the work on transfer files, because revisions of the image have changed.
    pub(crate) fn transfer_files_are_due(&self, image: Uuid) {
        self.shared.images_to_look_at.add(image);
    }

    /// Makes the transfer files that are missing, until cancelled. Of several servers, one does it at a time.
    pub async fn keep_making_transfer_files(&self) {
        let mut look_at_all = Instant::now();
        loop {
            let all = look_at_all <= Instant::now();
            let wait = if !self.rules().delta.chunks {
                LOOK_EVERY
            } else if !all && !self.changed_images_miss_something().await {
                look_at_all.duration_since(Instant::now())
            } else {
                let work = self.make_missing(all);
                match self.do_round(Job::Delta, Trigger::Now, RETRY_AFTER, work).await {
                    Ok(Round::Done(Rest::Nothing)) if all => {
                        look_at_all = Instant::now() + LOOK_EVERY;
                        LOOK_EVERY
                    }
                    Ok(Round::Done(Rest::Nothing)) => look_at_all.duration_since(Instant::now()),
                    // Other servers have their turn meanwhile, with images that they have changed.
                    Ok(Round::Done(Rest::More)) => PAUSE,
                    Ok(Round::NotBefore(at)) => self.until(at).max(PAUSE),
                    Err(error) => {
                        tracing::warn!(%error, "chunk lists and deltas could not be made; the server tries again");
                        RETRY_AFTER
                    }
                }
            };
            self.shared.images_to_look_at.added(wait).await;
        }
    }

    /// Makes what is missing of the images that this server has changed, and then of all, for the time of a round.
    async fn make_missing(&self, all: bool) -> Result<Done<Rest>> {
        let end = Instant::now() + ROUND;
        if all {
            self.end_those_of_ended_revisions().await?;
        }
        self.make_missing_of_changed_images().await?;
        let mut result = Rest::Nothing;
        for image in if all { self.images_with_missing().await? } else { Vec::new() } {
            if Instant::now() > end {
                result = Rest::More;
                break;
            }
            self.make_missing_of(image).await?;
            self.make_missing_of_changed_images().await?;
        }
        Ok(Done { result, version: 0, due_at: self.clock.now() })
    }

    /// Forgets the changed images of which nothing is missing, and reports whether others are left. Most changes are
    /// promotions of what is complete, and take no job for that.
    async fn changed_images_miss_something(&self) -> bool {
        let mut left = Vec::new();
        while let Some(image) = self.shared.images_to_look_at.take_one() {
            if !matches!(self.misses_something(image).await, Ok(false)) {
                left.push(image);
            }
        }
        let some = !left.is_empty();
        for image in left {
            self.shared.images_to_look_at.put_back(image);
        }
        some
    }

    async fn misses_something(&self, image: Uuid) -> Result<bool> {
        let (scope, missing) = (Scope::Image(image), self.missing());
        let from = i64::from(self.rules().delta.from);
        let mut tx = self.db.read().await?;
        Ok(!tx.files_without_chunk_list(scope, missing).await?.is_empty()
            || !tx.missing_deltas(scope, missing, from).await?.is_empty())
    }

    /// New revisions come before a backlog of old ones.
    async fn make_missing_of_changed_images(&self) -> Result<()> {
        while let Some(image) = self.shared.images_to_look_at.take_one() {
            if let Err(error) = self.make_missing_of(image).await {
                self.shared.images_to_look_at.put_back(image);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns the images of which something is missing, those with the newest revisions first.
    async fn images_with_missing(&self) -> Result<Vec<Uuid>> {
        let (missing, from) = (self.missing(), i64::from(self.rules().delta.from));
        let mut tx = self.db.read().await?;
        let lists = tx.files_without_chunk_list(Scope::All, missing).await?;
        let deltas = tx.missing_deltas(Scope::All, missing, from).await?;
        let targets = lists.iter().chain(deltas.iter().map(|delta| &delta.target));
        let mut seen = HashSet::new();
        let images = targets.map(|target| target.image_id).filter(|image| seen.insert(*image));
        Ok(images.collect())
    }

    fn missing(&self) -> Missing {
        Missing {
            smallest: i64::try_from(SMALLEST).unwrap_or(i64::MAX),
            failed_before: self.clock.now() - FAILED_AGAIN,
        }
    }

    /// Makes what is missing of an image, the chunk lists first: deltas are compared with them.
    async fn make_missing_of(&self, image: Uuid) -> Result<()> {
        let (scope, missing) = (Scope::Image(image), self.missing());
        let lists = self.db.read().await?.files_without_chunk_list(scope, missing).await?;
        for target in lists {
            self.make_one(Work::ChunkList(target)).await?;
        }
        let from = i64::from(self.rules().delta.from);
        let deltas = self.db.read().await?.missing_deltas(scope, missing, from).await?;
        for delta in deltas {
            self.make_one(Work::Delta(delta)).await?;
        }
        Ok(())
    }

    /// Makes one file. If it is the file's fault that this fails, that is recorded, and the others are made.
    async fn make_one(&self, work: Work) -> Result<()> {
        let (target, base) = (work.target(), work.base_revision());
        let mut tx = self.db.read().await?;
        // It may have been made, or its revision ended, since the list was read.
        if !tx.is_transfer_file_missing(target.revision_id, target.role, base).await? {
            return Ok(());
        }
        drop(tx);
        metric::TRANSFER_FILE_UNDER_WAY.set(1.0);
        let made = self.make(&work).await;
        metric::TRANSFER_FILE_UNDER_WAY.set(0.0);
        let key = &work.target().blob_key;
        match made {
            Ok(()) => Ok(()),
            Err(Failed::ThisOne(error)) => {
                tracing::warn!(%error, blob.key = key, "a chunk list or delta could not be made");
                self.record_failure(&work).await
            }
            Err(Failed::NoRoom(error)) => {
                tracing::warn!(%error, blob.key = key, "there is no room for a chunk list or delta");
                Ok(())
            }
            Err(Failed::All(error)) => Err(error),
        }
    }
}

/// The work that a round has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// There was more than a round has time for.
    More,
}
