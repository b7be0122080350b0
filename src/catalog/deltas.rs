//! Transfer files: the chunk lists and deltas beside revisions' files, with which clients fetch only what is new.
//!
//! They are made in the background, one at a time, and nothing waits for them: a revision is sealed and promoted without
//! them, and appears in the tree and in update checks without them. `images_to_look_at` says where something may be
//! missing, `making` makes one file (`work`) at the `pace` that the settings allow, reading blobs where they are (`stored_file`),
//! and `record` puts it into effect: from then on the snapshot has it, so that the tree, the documents and the answers
//! show it. `forecast` says what a client will fetch. How they are made is in the room `delta`.

mod forecast;
pub(crate) mod images_to_look_at;
mod making;
mod pace;
mod record;
mod stored_file;
pub(crate) mod work;

use std::time::Duration;

use chrono::TimeDelta;
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

/// The wait after a failure that concerns the whole server: no room, or a database that does not answer.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The wait before a file that could not be made is tried again.
const FAILED_AGAIN: TimeDelta = TimeDelta::hours(6);

impl Catalog {
    /// Wakes the work on transfer files, because revisions of the image have changed.
    pub(crate) fn transfer_files_are_due(&self, image: Uuid) {
        self.shared.images_to_look_at.add(image);
    }

    /// Makes the transfer files that are missing, until cancelled. Of several servers, one does it.
    pub async fn keep_making_transfer_files(&self) {
        let mut all = true;
        loop {
            let looked = self.shared.images_to_look_at.take();
            if !self.rules().delta.chunks {
                all = true;
                self.shared.images_to_look_at.added(LOOK_EVERY).await;
                continue;
            }
            let work = async {
                let scopes = looked.iter().map(|image| Scope::Image(*image));
                self.make_missing(all.then_some(Scope::All).into_iter().chain(scopes)).await
            };
            let round = self.do_round(Job::Delta, Trigger::Now, RETRY_AFTER, work).await;
            let wait = match round {
                Ok(Round::Done(())) => {
                    all = false;
                    LOOK_EVERY
                }
                Ok(Round::NotBefore(at)) => {
                    self.shared.images_to_look_at.put_back(looked);
                    self.until(at).max(Duration::from_secs(1))
                }
                Err(error) => {
                    tracing::warn!(%error, "chunk lists and deltas could not be made; the server tries again");
                    self.shared.images_to_look_at.put_back(looked);
                    RETRY_AFTER
                }
            };
            all |= !self.shared.images_to_look_at.added(wait).await && wait == LOOK_EVERY;
        }
    }

    async fn make_missing(&self, scopes: impl Iterator<Item = Scope> + Send) -> Result<Done<()>> {
        self.end_those_of_ended_revisions().await?;
        for scope in scopes {
            self.make_missing_of(scope).await?;
        }
        let due_at = self.clock.now();
        Ok(Done { result: (), version: 0, due_at })
    }

    /// Makes what is missing, the chunk lists first: deltas are compared with them.
    async fn make_missing_of(&self, scope: Scope) -> Result<()> {
        let missing = Missing {
            smallest: i64::try_from(SMALLEST).unwrap_or(i64::MAX),
            failed_before: self.clock.now() - FAILED_AGAIN,
        };
        let lists = self.db.read().await?.files_without_chunk_list(scope, missing).await?;
        for target in lists {
            self.make_one(Work::ChunkList(target)).await?;
            self.make_what_was_added_meanwhile().await?;
        }
        let from = i64::from(self.rules().delta.from);
        let deltas = self.db.read().await?.missing_deltas(scope, missing, from).await?;
        for delta in deltas {
            self.make_one(Work::Delta(delta)).await?;
            self.make_what_was_added_meanwhile().await?;
        }
        Ok(())
    }

    /// New revisions come before a backlog of old ones.
    async fn make_what_was_added_meanwhile(&self) -> Result<()> {
        for image in self.shared.images_to_look_at.take() {
            Box::pin(self.make_missing_of(Scope::Image(image))).await?;
        }
        Ok(())
    }

    /// Makes one file. If it is the file's fault that this fails, that is recorded, and the others are made.
    async fn make_one(&self, work: Work) -> Result<()> {
        metric::TRANSFER_FILE_UNDER_WAY.set(1.0);
        let made = self.make(&work).await;
        metric::TRANSFER_FILE_UNDER_WAY.set(0.0);
        match made {
            Ok(()) => Ok(()),
            Err(Failed::ThisOne(error)) => {
                tracing::warn!(%error, blob.key = work.target().blob_key, "a chunk list or delta could not be made");
                self.record_failure(&work).await
            }
            Err(Failed::All(error)) => Err(error),
        }
    }
}
