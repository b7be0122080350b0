//! Keeping the picture up to the catalog's state, whoever changes that.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::load;
use super::picture::Snapshot;
use crate::catalog::replicas::Told;
use crate::catalog::{Catalog, Result};
use crate::storage::StorageError;

/// How long the catalog may take to say its version: one that does not is asked again, on another connection.
const LOOK: Duration = Duration::from_secs(2);

/// How often a process looks whether another one changed the catalog.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Catalog {
    /// The newest picture.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }

    /// Brings the picture up to the catalog's state. A change that cannot be shown at once, because
    /// the database went away behind its commit, is shown by [`Self::follow`] later.
    pub async fn refresh(&self) {
        if let Err(error) = self.try_refresh().await {
            tracing::warn!(%error, "the snapshot could not be refreshed; clients see the state before");
        }
    }

    /// As [`Self::refresh`], for those who must know whether it worked.
    pub async fn try_refresh(&self) -> Result<()> {
        // Whoever waited here finds its change in the picture that was made meanwhile, or makes it.
        let _one_at_a_time = self.shared.refreshing.lock().await;
        let asked = Instant::now();
        let before = self.shared.snapshot.load_full();
        if before.version.is_none() {
            self.load_after(&before).await?;
        } else if in_time(LOOK, self.newest_version()).await? != before.version() {
            // Each of its statements has its limit; what is large may take its time.
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

    /// How long ago the picture was what the catalog says; none before the first one.
    pub fn snapshot_age(&self) -> Option<Duration> {
        let compared = *self.shared.compared_at.lock().unwrap_or_else(PoisonError::into_inner);
        compared.map(|at| at.elapsed())
    }

    /// Whether the picture is too old for somebody to be logged in by it.
    pub fn is_stale(&self) -> bool {
        self.snapshot_age().is_some_and(|age| age > self.rules().stale_after)
    }

    /// Looks at the catalog now, if it answers soon; says whether it had changed.
    pub async fn has_news(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        let before = self.snapshot().version;
        // Cut off or failed, it is made up for by the next refresh.
        let _looked = tokio::time::timeout(PATIENCE, self.refresh()).await;
        self.snapshot().version != before
    }

    /// Follows changes that other processes make (replicas, the command line), until cancelled.
    ///
    /// Asks for the version number, which is one indexed row; on PostgreSQL a notification wakes it
    /// at once, and the asking is what stands behind lost notifications.
    pub async fn follow(&self) {
        let mut news = self.db.news().await;
        let mut told = Told::default();
        loop {
            self.tell_of_itself(&mut told).await;
            news.wait(LOOK_EVERY).await;
            let before = self.snapshot().version();
            self.refresh().await;
            if self.snapshot().version() != before {
                self.tree_is_due();
            }
        }
    }
}

/// A database that is silent is as one that is away.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, answer).await.unwrap_or_else(|_| {
        Err(StorageError::Unavailable("the database does not answer".to_owned()).into())
    })
}
