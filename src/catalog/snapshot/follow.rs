//! Keeps the snapshot up to date with the catalog, whichever process changes that.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::load;
use super::picture::Snapshot;
use crate::catalog::{Catalog, Result};
use crate::storage::StorageError;

/// The time limit for reading the catalog's version. After it, the version is read again on another connection.
const LOOK: Duration = Duration::from_secs(2);

/// The age of the snapshot up to which a server that has just started becomes ready.
const FRESH: Duration = Duration::from_secs(1);

/// The interval at which a process checks whether another one has changed the catalog.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Catalog {
    /// Returns the newest snapshot.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }

    /// Brings the snapshot up to date with the catalog. If a change cannot be shown at once, because the database
    /// became unreachable after the commit, [`Self::follow`] shows it later.
    pub async fn refresh(&self) {
        if let Err(error) = self.try_refresh().await {
            tracing::warn!(%error, "the snapshot could not be refreshed; clients still see the previous state");
        }
    }

    /// Does the same as [`Self::refresh`], for callers that must know whether it worked.
    pub async fn try_refresh(&self) -> Result<()> {
        // A caller that waited here finds its change in the snapshot that was loaded meanwhile, or loads it.
        let _one_at_a_time = self.shared.refreshing.lock().await;
        let asked = Instant::now();
        let before = self.shared.snapshot.load_full();
        if before.version.is_none() {
            self.load_after(&before).await?;
        } else if in_time(LOOK, self.newest_version()).await? != before.version() {
            // Each of its statements has a time limit; a large catalog may take longer as a whole.
            self.load_after(&before).await?;
        }
        *self.shared.compared_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(())
    }

    async fn newest_version(&self) -> Result<i64> {
        Ok(self.db.look().await?.catalog_state().await?.version)
    }

    async fn load_after(&self, before: &Snapshot) -> Result<()> {
        let mut tx = self.db.read().await?;
        let loaded = load::load(&mut tx, before, &self.rules(), self.clock.now()).await?;
        if let Some(snapshot) = loaded {
            self.shared.snapshot.store(Arc::new(snapshot));
        }
        Ok(())
    }

    /// Returns the time since the snapshot was last equal to the catalog; none before the first one.
    pub fn snapshot_age(&self) -> Option<Duration> {
        let compared = *self.shared.compared_at.lock().unwrap_or_else(PoisonError::into_inner);
        compared.map(|at| at.elapsed())
    }

    /// Reports whether there is a snapshot, and it is kept up to date. A database that does not answer makes it old, and
    /// not less ready.
    pub fn is_ready(&self) -> bool {
        // Asked now, because a server may take a while between its first look and its first answer.
        if self.snapshot_age().is_some_and(|age| age < FRESH) {
            self.shared.was_ready.store(true, Ordering::Release);
        }
        self.shared.was_ready.load(Ordering::Acquire) && self.snapshot().is_loaded()
    }

    /// Reports whether the snapshot is too old for log-ins.
    pub fn is_stale(&self) -> bool {
        self.snapshot_age().is_some_and(|age| age > self.rules().stale_after)
    }

    /// Checks the catalog now, if it answers soon, and reports whether it had changed.
    pub async fn has_news(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        let before = self.snapshot().version;
        // If it is interrupted or fails, the next refresh makes up for it.
        let _looked = tokio::time::timeout(PATIENCE, self.refresh()).await;
        self.snapshot().version != before
    }

    /// Follows changes that other processes make (replicas, the command line), until cancelled.
    ///
    /// It reads the version number, which is one indexed row. On PostgreSQL a notification wakes it at once, and the
    /// regular reading makes up for lost notifications.
    pub async fn follow(&self) {
        let (version, loaded) = watch::channel(self.snapshot().version());
        // A report waits for the database as a change does; the snapshot must not wait for it.
        tokio::join!(self.follow_changes(&version), self.report_versions(loaded));
    }

    async fn follow_changes(&self, version: &watch::Sender<i64>) {
        // The start may have taken a while since it loaded the snapshot.
        if self.try_refresh().await.is_err() {
            // The database does not answer: what is known is all there is.
            self.shared.was_ready.store(true, Ordering::Release);
        }
        let mut news = self.db.news();
        loop {
            news.wait(LOOK_EVERY).await;
            self.refresh().await;
            self.event_feed().look();
            let now = self.snapshot().version();
            // Compared with what was seen here: a caller of this process may have loaded another one's change meanwhile.
            if version.send_if_modified(|sent| std::mem::replace(sent, now) != now) {
                self.tree_is_due();
            }
        }
    }
}

/// Waits for the answer up to the limit: a database that does not respond counts as unreachable.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, answer).await.unwrap_or_else(|_| {
        Err(StorageError::Unavailable("the database does not answer".to_owned()).into())
    })
}
