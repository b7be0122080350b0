//! The servers on one catalog: each tells what it answers from, so that who stops something hears when all have stopped.
//!
//! A row decides nothing. A server that cannot reach the database is not heard of any more, and counts for as long as
//! one may be that answers from its memory ([`GONE_AFTER`]).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::actor::Execution;
use super::{Catalog, Result};
use crate::model::program;
use crate::model::replica::{Reach, Replica};

/// How often a server tells that it lives, where nothing changes.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long telling may take, and how long after a failure it is tried again.
const TELLING: Duration = Duration::from_secs(2);

/// A server that has not told of itself for so long is gone.
const GONE_AFTER: TimeDelta = TimeDelta::minutes(1);

/// Rows of those are kept no longer.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(1);

/// How long a change waits for the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a server that stops tries to say so.
const LEAVING: Duration = Duration::from_secs(2);

/// What this server has told of itself, or tried to.
pub(super) struct Told {
    version: Option<i64>,
    /// When it is told again, or tried again where that failed.
    next: Instant,
}

impl Default for Told {
    fn default() -> Self {
        Self { version: None, next: Instant::now() }
    }
}

impl Told {
    fn is_due(&self, version: i64) -> bool {
        self.version != Some(version) || self.next <= Instant::now()
    }
}

impl Catalog {
    /// Tells the others of the snapshot that this server answers from, where there may be others.
    pub(super) async fn tell_of_itself(&self, told: &mut Told) {
        let version = self.snapshot().version();
        if !self.db.may_be_shared() || !told.is_due(version) {
            return;
        }
        match timeout(TELLING, self.try_telling(version)).await {
            Ok(Ok(())) => {
                *told = Told { version: Some(version), next: Instant::now() + TELL_EVERY }
            }
            failed => {
                tracing::debug!(?failed, "the other servers could not be told");
                *told = Told { version: Some(version), next: Instant::now() + TELLING };
            }
        }
    }

    async fn try_telling(&self, loaded: i64) -> Result<()> {
        let (instance, program) = (self.instance, program::VERSION.to_owned());
        let mut tx = self.db.write_to_free().await?;
        tx.tell_of_replica(&Replica { instance, program, loaded }).await?;
        Ok(tx.commit().await?)
    }

    /// How many servers answer by a change that this one has made: waits until all do, or a second.
    ///
    /// None for a change that was only tried, and where the database does not say in time.
    pub async fn reach(&self, execution: Execution) -> Option<Reach> {
        if execution.is_dry_run() {
            return None;
        }
        if !self.db.may_be_shared() {
            return Some(Reach::ALONE);
        }
        let (deadline, mut target, mut reach) = (Instant::now() + PATIENCE, None, None);
        while Instant::now() < deadline {
            // A database that does not answer leaves what was last seen.
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

    /// Of the `target`: the catalog's version at the first look, which has this server's change in it, and since when others
    /// have to have been heard of.
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

    /// This server stops.
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
