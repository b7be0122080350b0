//! Checks every few seconds that each part of this server works, and keeps the results ([`Catalog::parts`]) for
//! `/readyz`, `GET /status` and the metrics.
//!
//! Each part is checked by a task of its own. The watch waits for it only for a moment, and does not check the part
//! again before the task has ended. So a disk that does not answer blocks one thread, and not one more with each check.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::catalog::events::News;
use crate::catalog::{Catalog, Result};
use crate::model::event::EventPlace;
use crate::model::{EventType, Part, PartState, Trouble, metric};
use crate::storage::StorageError;

const EVERY: Duration = Duration::from_secs(3);

/// The age up to which the snapshot counts as current. It is compared with the catalog four times a second.
const SNAPSHOT_IS_NEW_FOR: Duration = Duration::from_secs(3);

/// The longest time that a check may take before the part counts as not answering.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time for which a failed publication counts. A failed round is repeated within seconds, so an older failure is no
/// longer this server's.
const FAILURE_COUNTS_FOR: TimeDelta = TimeDelta::minutes(2);

/// The time that the tree may be behind: copies of large images in a bucket take minutes.
const TREE_MAY_LAG: TimeDelta = TimeDelta::minutes(15);

/// The age up to which the newest backup is accepted. A depot with backups should take at least one a week.
const BACKUP_IS_GOOD_FOR: TimeDelta = TimeDelta::days(8);

/// The tolerated clock difference. Signatures, leases and expiry times are off by as much; beyond it, log lines of
/// several machines are misleading too.
const CLOCK_MAY_DIFFER: TimeDelta = TimeDelta::minutes(1);

/// The time limit for asking the database for its time.
const CLOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The disk space that `SQLite` needs beside its file, with some to spare: its log grows to 4 MiB.
const ROOM_FOR_CATALOG: u64 = 16 << 20;

/// The result of a check.
enum Found {
    Well,
    /// The check was inconclusive: the part's state is unchanged.
    Unknown,
    /// This server has no such part.
    NotThere,
    Bad {
        /// A sentence for people.
        what: String,
        /// The cause, for the log.
        cause: Option<String>,
    },
}

/// The repeated check of one part.
struct Question {
    part: Part,
    /// The task that checks, until it has an answer.
    pending: JoinSet<Found>,
}

impl Catalog {
    /// Checks all parts again and again, until cancelled.
    pub async fn keep_watching(&self) {
        for part in Part::ALL {
            show(part, None);
        }
        let mut questions = Part::ALL.map(|part| Question { part, pending: JoinSet::new() });
        loop {
            // It takes no time, and the checks of a database that is silent do.
            self.keep_snapshot_found();
            let asked = questions.iter_mut().map(|question| question.ask(self));
            let found = join_all(asked).await;
            if let Some(what) = self.keep_what_was_found(found) {
                self.tell_readers_alone(low(&what)).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Keeps what is found of the snapshot alone.
    fn keep_snapshot_found(&self) {
        let now = self.clock.now();
        let mut states = self.parts().to_vec();
        for state in states.iter_mut().filter(|state| state.part == Part::Snapshot) {
            let found = self.snapshot_found();
            state.trouble = trouble_of(state.part, found, state.trouble.take(), now);
            show(state.part, state.trouble.as_ref());
        }
        self.shared.parts.states.store(states.into());
    }

    /// Keeps the states of the parts. Returns a sentence about a disk that has become low on space.
    fn keep_what_was_found(&self, found: Vec<(Part, Found)>) -> Option<String> {
        let (before, now) = (self.parts(), self.clock.now());
        let (mut states, mut low) = (Vec::new(), None);
        for (part, found) in found {
            // Checked here, because the other checks may have taken a while, and this one takes no time.
            let found = if part == Part::Snapshot { self.snapshot_found() } else { found };
            let earlier = before.iter().find(|state| state.part == part);
            let earlier = earlier.and_then(|state| state.trouble.clone());
            if matches!(found, Found::NotThere) {
                continue;
            }
            let was_well = earlier.is_none();
            let trouble = trouble_of(part, found, earlier, now);
            if part == Part::Disk && was_well {
                low = trouble.as_ref().map(|trouble| trouble.what.clone());
            }
            show(part, trouble.as_ref());
            states.push(PartState { part, trouble });
        }
        self.shared.parts.states.store(states.into());
        low
    }

    async fn look_at(self, part: Part) -> Found {
        match part {
            Part::Catalog => match self.db.try_write().await {
                Ok(()) => Found::Well,
                Err(error) => bad(of_catalog(&error), &error),
            },
            Part::Snapshot => Found::Unknown,
            Part::Clock => self.look_at_clock().await,
            Part::Store => match self.try_store().await {
                Ok(()) => Found::Well,
                Err(error) => bad(of_store(&error), &error),
            },
            Part::Disk => self.look_at_disk().await,
            Part::Publication => self.publication_found(),
            Part::Backup => self.backup_found(),
        }
    }

    /// Compares this machine's clock with the database's and the bucket's. `SQLite` and a folder use this machine's own.
    async fn look_at_clock(&self) -> Found {
        let is_shared = self.db.may_be_shared();
        if !is_shared && !self.blobs.is_bucket() {
            return Found::NotThere;
        }
        let asked = async {
            if !is_shared {
                return Err(StorageError::Unavailable(String::new()));
            }
            self.db.look().await?.database_time().await
        };
        let database = match timeout(CLOCK_PATIENCE, asked).await {
            Ok(Ok(time)) => Some(time),
            // A database that does not answer is a trouble of its own.
            _ => None,
        };
        let bucket = self.blobs.service_time();
        if database.is_none() && bucket.is_none() {
            return Found::Unknown;
        }
        let now = self.clock.now();
        let differences =
            [database.map(|time| (time, "database")), bucket.map(|time| (time, "bucket"))];
        for (time, whose) in differences.into_iter().flatten() {
            let off = now - time;
            if off.abs() > CLOCK_MAY_DIFFER {
                let direction = if off > TimeDelta::zero() { "ahead of" } else { "behind" };
                let seconds = off.num_seconds().abs();
                let what = format!("this machine's clock is {seconds} s {direction} the {whose}'s");
                return Found::Bad { what, cause: None };
            }
        }
        Found::Well
    }

    async fn try_store(&self) -> Result<()> {
        let catalog = self.clone();
        let looked = spawn_blocking(move || catalog.check_mounted());
        looked.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        Ok(self.blobs.must_answer().await?)
    }

    async fn look_at_disk(&self) -> Found {
        let (blobs, db, floor) = (self.blobs.clone(), self.db.clone(), self.rules().min_free);
        let looked = spawn_blocking(move || {
            Ok::<_, StorageError>((blobs.free_bytes_of_disk()?, db.free_bytes()?))
        });
        // If a disk is missing altogether, that is reported for the store or the catalog.
        let Ok(Ok((free, beside_catalog))) = looked.await else { return Found::Unknown };
        let what = match beside_catalog {
            _ if free < floor => {
                format!(
                    "the store's disk has {free} bytes free, less than the {floor} of store.min_free"
                )
            }
            Some(free) if free < ROOM_FOR_CATALOG => {
                format!("the catalog's disk has only {free} bytes free")
            }
            _ => return Found::Well,
        };
        Found::Bad { what, cause: None }
    }

    fn snapshot_found(&self) -> Found {
        let Some(age) = self.snapshot_age() else { return Found::Unknown };
        metric::SNAPSHOT_AGE.set(age.as_secs_f64());
        if age <= SNAPSHOT_IS_NEW_FOR {
            return Found::Well;
        }
        let what = "the database does not answer: clients are answered from an old snapshot";
        Found::Bad { what: what.to_owned(), cause: None }
    }

    fn publication_found(&self) -> Found {
        let (parts, now) = (&self.shared.parts, self.clock.now());
        if let Some(failed) = parts.publication_failed.load_full()
            && now - failed.1 < FAILURE_COUNTS_FOR
        {
            return Found::Bad { what: failed.0.clone(), cause: None };
        }
        match parts.tree_behind_since.load_full() {
            Some(since) if now - *since > TREE_MAY_LAG => {
                let what = "the tree has been behind the catalog for a long time".to_owned();
                Found::Bad { what, cause: None }
            }
            _ => Found::Well,
        }
    }

    fn backup_found(&self) -> Found {
        let Some(newest) = self.shared.parts.newest_backup.load_full() else {
            return Found::NotThere;
        };
        if self.clock.now() - newest.taken_at <= BACKUP_IS_GOOD_FOR {
            return Found::Well;
        }
        let days = BACKUP_IS_GOOD_FOR.num_days();
        let what = format!("the newest backup is older than {days} days");
        Found::Bad { what, cause: None }
    }
}

impl Question {
    async fn ask(&mut self, catalog: &Catalog) -> (Part, Found) {
        if self.pending.is_empty() {
            self.pending.spawn(catalog.clone().look_at(self.part));
        }
        let found = match timeout(PATIENCE, self.pending.join_next()).await {
            Ok(Some(Ok(found))) => found,
            // The task panicked, which is in the log.
            Ok(Some(Err(_)) | None) => Found::Unknown,
            Err(_) => Found::Bad { what: silent(self.part).to_owned(), cause: None },
        };
        (self.part, found)
    }
}

fn low(what: &str) -> News<'static> {
    News {
        kind: EventType::StorageLow,
        actor: "system:watch",
        subject: "status".to_owned(),
        place: EventPlace::default(),
        data: json!({ "what": what }),
    }
}

/// Returns a part's new trouble. A change is logged.
fn trouble_of(
    part: Part,
    found: Found,
    earlier: Option<Trouble>,
    now: DateTime<Utc>,
) -> Option<Trouble> {
    let (what, cause) = match found {
        Found::Unknown => return earlier,
        Found::Well | Found::NotThere => {
            if earlier.is_some() {
                tracing::info!(part = part.as_str(), "the part works again");
            }
            return None;
        }
        Found::Bad { what, cause } => (what, cause),
    };
    if earlier.is_none() {
        tracing::warn!(part = part.as_str(), cause, "degraded: {what}");
    }
    let since = earlier.map_or(now, |earlier| earlier.since);
    Some(Trouble { what, since })
}

fn show(part: Part, trouble: Option<&Trouble>) {
    metric::DEGRADED.with([part.as_str()]).set(u8::from(trouble.is_some()));
}

fn bad(what: &str, error: &(impl ToString + ?Sized)) -> Found {
    Found::Bad { what: what.to_owned(), cause: Some(error.to_string()) }
}

/// Returns the likely trouble of a part that does not answer.
const fn silent(part: Part) -> &'static str {
    match part {
        Part::Catalog => {
            "the database does not answer: it is locked or unreachable, or all connections are in use"
        }
        Part::Store => "the store does not answer",
        Part::Disk => "the disk does not answer",
        Part::Snapshot | Part::Clock | Part::Publication | Part::Backup => "the check does not end",
    }
}

fn of_store(error: &crate::catalog::Error) -> &'static str {
    let refusal = match error {
        crate::catalog::Error::Storage(error) => error.refusal_of_store(),
        _ => None,
    };
    refusal.unwrap_or("the store does not answer or is not mounted")
}

fn of_catalog(error: &StorageError) -> &'static str {
    match error {
        StorageError::Unavailable(_) => "the database is busy or unreachable",
        StorageError::NoRoom(_) => "the database does not have enough disk space",
        StorageError::Frozen(_) => "the catalog is frozen and accepts no changes",
        StorageError::File { .. } => "the catalog's file is missing or was replaced",
        _ => "the catalog accepts no changes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn trouble_keeps_its_beginning_and_ends_with_the_part_well_again() {
        let away = || Found::Bad { what: "it does not answer".to_owned(), cause: None };
        let first = trouble_of(Part::Store, away(), None, at(1));
        assert_eq!(first.as_ref().map(|trouble| trouble.since), Some(at(1)));
        let second = trouble_of(Part::Store, away(), first, at(6));
        assert_eq!(second.as_ref().map(|trouble| trouble.since), Some(at(1)));
        let third = trouble_of(Part::Store, Found::Unknown, second.clone(), at(11));
        assert_eq!(third, second);
        assert_eq!(trouble_of(Part::Store, Found::Well, third, at(16)), None);
    }
}
