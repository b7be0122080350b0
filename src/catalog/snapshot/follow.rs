//! Keeping the picture up to the catalog's state, whoever changes that.

use std::sync::Arc;
use std::time::Duration;

use super::load;
use super::picture::Snapshot;
use crate::catalog::replicas::Told;
use crate::catalog::{Catalog, Result};

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
        let mut tx = self.db.read().await?;
        let before = self.shared.snapshot.load_full();
        if let Some(snapshot) =
            load::load(&mut tx, &before, &self.rules(), self.clock.now()).await?
        {
            self.shared.snapshot.store(Arc::new(snapshot));
        }
        Ok(())
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
