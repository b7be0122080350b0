//! Background work that every server may do, but only one at a time. A row records which server is doing it, what the
//! last round has put into effect, and when the next round is due.
//!
//! Nothing depends on there being only one: all such work can be done twice without harm, because a server that was
//! suspended for longer than `HOLD` continues for a moment beside the one that has taken over. The purpose is to avoid
//! needless work and load on the store.
//!
//! Rejected: a lock of the database session (advisory locks), which a connection pool loses silently and `SQLite` does
//! not have; and one server that is elected permanently, which would have to write all day to keep its role.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Catalog, Error, Result};
use crate::model::{Job, JobState};
use crate::storage::StorageError;

/// The time without a sign of life after which other servers take over the work.
const HOLD: TimeDelta = TimeDelta::seconds(30);

/// The interval at which a holder reports that it is alive.
const RENEW_EVERY: Duration = Duration::from_secs(8);

/// The delay before work that another server is doing is checked again.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// The delay before a frozen catalog is checked again.
const WHILE_FROZEN: TimeDelta = TimeDelta::seconds(15);

/// The time for which a stopping server waits for an unreachable database.
const LEAVING: Duration = Duration::from_secs(2);

/// The longest pause between two rounds of a job.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(12);

/// The time for which a person waits for another server's round.
const PATIENCE: Duration = Duration::from_secs(40);

/// The condition for a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A round is wanted when it is due.
    AtItsTime,
    /// A round is also wanted if the last one has not put this version of the catalog into effect.
    For { version: i64 },
    /// A round is wanted at once: something was left behind, or a person asks for it.
    Now,
}

/// The outcome of a successful round.
pub(crate) struct Done<T> {
    pub(crate) result: T,
    /// The catalog version that the round has put into effect.
    pub(crate) version: i64,
    pub(crate) due_at: DateTime<Utc>,
}

/// The outcome of a request for a round.
pub(crate) enum Round<T> {
    Done(T),
    /// Another server is doing it or has done it: nothing is to be done before this time.
    NotBefore(DateTime<Utc>),
}

impl Catalog {
    /// Does a round, unless another server is doing it or has done it. After a failure, the next round is due after
    /// `retry_after`.
    pub(crate) fn do_round<T>(
        &self,
        job: Job,
        wanted: Trigger,
        retry_after: Duration,
        work: impl Future<Output = Result<Done<T>>>,
    ) -> impl Future<Output = Result<Round<T>>> {
        // Boxed before the first await, so that no caller's future contains the work.
        self.do_boxed_round(job, wanted, retry_after, Box::pin(work))
    }

    async fn do_boxed_round<T>(
        &self,
        job: Job,
        wanted: Trigger,
        retry_after: Duration,
        work: impl Future<Output = Result<Done<T>>> + Unpin,
    ) -> Result<Round<T>> {
        let now = self.clock.now();
        // The row does not distinguish callers within this server.
        let Ok(_alone_here) = self.shared.jobs[job as usize].try_lock() else {
            return Ok(Round::NotBefore(now + LOOK_AGAIN));
        };
        // The old place of a moved catalog must not touch what may now belong to the new one, either.
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
        let done = self.while_held(job, work).await;
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
        wanted: Trigger,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let is_held = state.holder.is_some_and(|holder| holder != self.instance)
            && (now..=now + HOLD * 2).contains(&state.held_until);
        let is_due = match wanted {
            Trigger::Now => true,
            Trigger::For { version } if state.done_version < version => true,
            // A later time was written by a clock that has been set back since.
            Trigger::For { .. } | Trigger::AtItsTime => {
                state.due_at <= now || state.due_at > now + LONGEST_PAUSE
            }
        };
        match (is_due, is_held) {
            (true, true) => Some(now + LOOK_AGAIN),
            (true, false) => None,
            (false, _) => Some(state.due_at),
        }
    }

    /// Does a round for a caller that waits for it. If another server is doing one, waits until it has ended.
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
            match self.do_round(job, Trigger::Now, retry_after, work()).await? {
                Round::Done(result) => return Ok(result),
                Round::NotBefore(_) if tokio::time::Instant::now() > patience => {
                    return Err(Error::JobTaken);
                }
                Round::NotBefore(at) => tokio::time::sleep(self.until(at)).await,
            }
        }
    }

    /// Waits until no server is doing any job. For a frozen catalog, where all jobs stop within seconds. Returns `false`
    /// if it is not frozen any more: then the jobs go on, and some of them never end.
    pub(crate) async fn until_no_round_is_done(&self) -> Result<bool> {
        loop {
            let now = self.clock.now();
            if self.db.look().await?.frozen().await?.is_none() {
                return Ok(false);
            }
            if self.db.look().await?.count_held_jobs(now, now + HOLD * 2).await? == 0 {
                return Ok(true);
            }
            tokio::time::sleep(self.until(now + LOOK_AGAIN)).await;
        }
    }

    /// Does the work and meanwhile reports that this server is alive. Stops if the job has passed to another server, or
    /// the catalog is frozen.
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
                // A database that is unreachable for a moment is no reason to stop.
                if matches!(renewed.await, Ok(false)) {
                    return;
                }
            }
        };
        // Concurrently, because the work may hold the only connection that the renewal waits for.
        tokio::select! {
            biased;
            done = &mut work => done,
            () = renewing => Err(Error::JobTaken),
        }
    }

    /// Gives up this server's jobs at once, because it stops. If that fails, other servers take them over when the hold
    /// has expired.
    pub async fn leave_jobs(&self) {
        let leaving = async {
            let mut tx = self.db.write_to_free().await?;
            tx.leave_jobs(self.instance).await?;
            tx.commit().await
        };
        let _left = tokio::time::timeout(LEAVING, leaving).await;
    }

    /// Returns the time from now until then.
    pub(crate) fn until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.clock.now()).to_std().unwrap_or_default()
    }
}
