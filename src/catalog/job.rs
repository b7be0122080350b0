//! Background work that every server may do and one at a time does: a row tells who is at it, what the last round has
//! brought about, and when the next is due.
//!
//! Nothing relies on there being one: all such work can be done twice without harm, for a server that stood still for
//! longer than `HOLD` goes on for a moment beside the one that has taken over. It is to spare the work, and the store.
//!
//! Rejected: a lock of the database's session (advisory locks), which a pool of connections loses without a word and
//! `SQLite` does not have; and one server that is elected for good, which has to write all day to stay it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Catalog, Error, Result};
use crate::model::{Job, JobState};
use crate::storage::StorageError;

/// How long a server may be silent before others take its work over.
const HOLD: TimeDelta = TimeDelta::seconds(30);

/// How often it tells that it lives.
const RENEW_EVERY: Duration = Duration::from_secs(8);

/// How soon to look again at work that another server is at.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// How soon to look whether a frozen catalog takes changes again.
const WHILE_FROZEN: TimeDelta = TimeDelta::seconds(15);

/// A server that stops waits no longer for a database that is away.
const LEAVING: Duration = Duration::from_secs(2);

/// No job rests for longer.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(12);

/// How long a person waits for the round of another server.
const PATIENCE: Duration = Duration::from_secs(40);

/// Whether a round is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// When its time has come.
    AtItsTime,
    /// Also where the last round has not brought about this version of the catalog.
    For { version: i64 },
    /// Something was left behind, or a person asks.
    Now,
}

/// What a round that went well leaves.
pub(crate) struct Done<T> {
    pub(crate) result: T,
    /// The catalog's version that it has brought about.
    pub(crate) version: i64,
    pub(crate) due_at: DateTime<Utc>,
}

/// What came of asking for a round.
pub(crate) enum Round<T> {
    Done(T),
    /// Another server is at it or has done it: nothing is to be done before then.
    NotBefore(DateTime<Utc>),
}

impl Catalog {
    /// Does a round unless another server is at it or has done it. After a failure the next is due at `retry_after`.
    pub(crate) async fn do_round<T>(
        &self,
        job: Job,
        wanted: Wanted,
        retry_after: Duration,
        work: impl Future<Output = Result<Done<T>>>,
    ) -> Result<Round<T>> {
        let now = self.clock.now();
        // For the row this server is one, whoever asks in it.
        let Ok(_alone_here) = self.shared.jobs[job as usize].try_lock() else {
            return Ok(Round::NotBefore(now + LOOK_AGAIN));
        };
        // The old place of a catalog that has moved keeps its hands off what may be the new one's, too.
        if self.db.look().await?.frozen().await?.is_some() {
            return Ok(Round::NotBefore(now + WHILE_FROZEN));
        }
        if let Some(state) = self.db.look().await?.job(job).await?
            && let Some(later) = self.not_before(&state, wanted, now)
        {
            return Ok(Round::NotBefore(later));
        }
        let mut tx = self.db.write_to_free().await?;
        let taken = tx.take_job(job, self.instance, now, now + HOLD, now + HOLD * 2).await?;
        tx.commit().await?;
        if !taken {
            return Ok(Round::NotBefore(now + LOOK_AGAIN));
        }
        let done = self.while_held(job, Box::pin(work)).await;
        let (version, due_at) = match &done {
            Ok(done) => (Some(done.version), done.due_at),
            Err(_) => (None, self.clock.now() + retry_after),
        };
        let mut tx = self.db.write_to_free().await?;
        tx.give_job_back(job, self.instance, version, due_at).await?;
        tx.commit().await?;
        done.map(|done| Round::Done(done.result))
    }

    fn not_before(
        &self,
        state: &JobState,
        wanted: Wanted,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let is_held = state.holder.is_some_and(|holder| holder != self.instance)
            && (now..=now + HOLD * 2).contains(&state.held_until);
        let is_due = match wanted {
            Wanted::Now => true,
            Wanted::For { version } if state.done_version < version => true,
            // A time further off was written by a clock that has been set back since.
            Wanted::For { .. } | Wanted::AtItsTime => {
                state.due_at <= now || state.due_at > now + LONGEST_PAUSE
            }
        };
        match (is_due, is_held) {
            (true, true) => Some(now + LOOK_AGAIN),
            (true, false) => None,
            (false, _) => Some(state.due_at),
        }
    }

    /// The same for who waits for it: until another server's round has ended.
    pub(crate) async fn do_round_now<T, F: Future<Output = Result<Done<T>>>>(
        &self,
        job: Job,
        retry_after: Duration,
        work: impl Fn() -> F,
    ) -> Result<T> {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(why) = self.db.look().await?.frozen().await? {
                return Err(StorageError::Frozen(why).into());
            }
            match self.do_round(job, Wanted::Now, retry_after, work()).await? {
                Round::Done(result) => return Ok(result),
                Round::NotBefore(_) if tokio::time::Instant::now() > patience => {
                    return Err(Error::JobTaken);
                }
                Round::NotBefore(at) => tokio::time::sleep(self.until(at)).await,
            }
        }
    }

    /// Waits until nobody is at any work; of a frozen catalog, which stops all of it within seconds.
    pub(crate) async fn until_no_round_is_done(&self) -> Result<()> {
        loop {
            let now = self.clock.now();
            if self.db.look().await?.count_held_jobs(now, now + HOLD * 2).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(self.until(now + LOOK_AGAIN)).await;
        }
    }

    /// Works and tells meanwhile that this server lives; stops where the job has passed to another, or the catalog is frozen.
    async fn while_held<T>(
        &self,
        job: Job,
        mut work: impl Future<Output = Result<T>> + Unpin,
    ) -> Result<T> {
        let renewing = async {
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                let renewed = async {
                    let mut tx = self.db.write_to_free().await?;
                    let renewed = tx.renew_job(job, self.instance, self.clock.now() + HOLD).await?;
                    tx.commit().await?;
                    Ok::<_, Error>(renewed)
                };
                // A database that is away for a moment is no reason to stop.
                if matches!(renewed.await, Ok(false)) {
                    return;
                }
            }
        };
        // Side by side: the work may hold the one connection that the renewal waits for.
        tokio::select! {
            biased;
            done = &mut work => done,
            () = renewing => Err(Error::JobTaken),
        }
    }

    /// Leaves to others at once what this server was at: it stops. Where that fails they take it over when it has been
    /// silent for long enough.
    pub async fn leave_jobs(&self) {
        let leaving = async {
            let mut tx = self.db.write_to_free().await?;
            tx.leave_jobs(self.instance).await?;
            tx.commit().await
        };
        let _left = tokio::time::timeout(LEAVING, leaving).await;
    }

    /// From now until then.
    pub(crate) fn until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.clock.now()).to_std().unwrap_or_default()
    }
}
