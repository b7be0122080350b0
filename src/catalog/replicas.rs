//! The servers that share a catalog. Each reports which version it answers from, so that someone who stops something
//! learns when all servers have stopped it.
//!
//! A row decides nothing. A server that cannot reach the database sends no reports any more, and is not counted after
//! [`GONE_AFTER`], although it goes on answering update checks from its memory.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::actor::Execution;
use super::{Catalog, Error, Result};
use crate::model::program;
use crate::model::replica::{READS, READS_ROLLOUTS, Reach, Replica};
use crate::storage::Tx;

/// The interval at which a server reports that it is alive, if nothing changes.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The time limit of a report, and the delay before a failed report is repeated.
const TELLING: Duration = Duration::from_secs(2);

/// The time without a report after which a server counts as gone.
const GONE_AFTER: TimeDelta = TimeDelta::minutes(1);

/// The time after which rows of such servers are deleted.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(1);

/// The time for which a change waits for the other servers.
const PATIENCE: Duration = Duration::from_secs(1);

/// The interval of checks during this wait.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The time limit for a stopping server to delete its row.
const LEAVING: Duration = Duration::from_secs(2);

/// The last report of this server, or attempt at one.
struct LastReport {
    version: Option<i64>,
    /// The time of the next report, or of the next attempt after a failure.
    next: Instant,
}

impl Default for LastReport {
    fn default() -> Self {
        Self { version: None, next: Instant::now() }
    }
}

impl LastReport {
    fn is_due(&self, version: i64) -> bool {
        self.version != Some(version) || self.next <= Instant::now()
    }
}

impl Catalog {
    /// Reports the snapshot that this server answers from to the other servers.
    async fn report_itself(&self, told: &mut LastReport) {
        let version = self.snapshot().version();
        if !told.is_due(version) {
            return;
        }
        match timeout(TELLING, self.try_telling(version)).await {
            Ok(Ok(())) => {
                *told = LastReport { version: Some(version), next: Instant::now() + TELL_EVERY }
            }
            failed => {
                tracing::debug!(
                    ?failed,
                    "this server's state could not be recorded for the other servers"
                );
                *told = LastReport { version: Some(version), next: Instant::now() + TELLING };
            }
        }
    }

    async fn try_telling(&self, loaded: i64) -> Result<()> {
        let (instance, program) = (self.instance, program::VERSION.to_owned());
        let mut tx = self.db.write_to_free().await?;
        tx.record_replica(&Replica { instance, program, loaded, reads: READS }).await?;
        Ok(tx.commit().await?)
    }

    /// Reports this server's state after each change and regularly, until cancelled.
    pub(super) async fn report_versions(&self, mut loaded: watch::Receiver<i64>) {
        if !self.db.may_be_shared() {
            return;
        }
        let mut told = LastReport::default();
        loop {
            self.report_itself(&mut told).await;
            tokio::select! {
                changed = loaded.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(told.next.max(Instant::now() + LOOK_EVERY)) => {}
            }
        }
    }

    /// Returns the number of servers whose answers include a change that this server has made. Waits until all do, for
    /// at most one second.
    ///
    /// Returns none for a dry run, and if the database does not answer in time.
    pub async fn reach(&self, execution: Execution) -> Option<Reach> {
        if execution.is_dry_run() {
            return None;
        }
        if !self.db.may_be_shared() {
            return Some(Reach::ALONE);
        }
        let (deadline, mut target, mut reach) = (Instant::now() + PATIENCE, None, None);
        while Instant::now() < deadline {
            // If the database does not answer, the last result is kept.
            let looking = timeout_at(deadline, self.reach_now(&mut target));
            if let Ok(Ok(now)) = looking.await {
                reach = Some(now);
            }
            if reach.is_some_and(Reach::is_complete) {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        reach
    }

    /// Returns the current reach. `target` is determined at the first look: the catalog's version, which includes this
    /// server's change, and the time since which other servers must have reported.
    async fn reach_now(&self, target: &mut Option<(i64, DateTime<Utc>)>) -> Result<Reach> {
        let mut tx = self.db.look().await?;
        let (version, since) = if let Some(target) = *target {
            target
        } else {
            let version = tx.catalog_state().await?.version;
            *target.insert((version, tx.database_time().await? - GONE_AFTER))
        };
        let others = tx.replicas_since(since).await?;
        drop(tx);
        if self.snapshot().version() < version {
            self.refresh().await;
        }
        let others = others.iter().filter(|replica| replica.instance != self.instance);
        let loaded = others.map(|replica| replica.loaded).chain([self.snapshot().version()]);
        Ok(loaded.fold(Reach { have: 0, of: 0 }, |reach, loaded| Reach {
            have: reach.have + u64::from(loaded >= version),
            of: reach.of + 1,
        }))
    }

    /// Refuses a change that a server of an earlier version, which is still alive, could not read.
    pub(super) async fn check_no_older_replica(&self, tx: &mut Tx) -> Result<()> {
        if !self.db.may_be_shared() {
            return Ok(());
        }
        let since = tx.database_time().await? - GONE_AFTER;
        let replicas = tx.replicas_since(since).await?;
        match replicas.into_iter().find(|replica| replica.reads < READS_ROLLOUTS) {
            Some(older) => Err(Error::OlderReplica { program: older.program }),
            None => Ok(()),
        }
    }

    /// Deletes this server's row, because it stops.
    pub async fn leave_replicas(&self) {
        if !self.db.may_be_shared() {
            return;
        }
        let leaving = async {
            let mut tx = self.db.write_to_free().await?;
            let before = tx.database_time().await? - FORGOTTEN_AFTER;
            tx.forget_replicas_before(before).await?;
            tx.forget_replica(self.instance).await?;
            tx.commit().await
        };
        let _left = timeout(LEAVING, leaving).await;
    }
}
