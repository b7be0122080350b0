//! The figures of a dashboard, from a few cheap queries at one moment.

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::catalog::{Catalog, Result};
use crate::model::{Backup, Coverage, PublicationState};

/// The longest wait: a dashboard without the catalog's figures is better than none.
const PATIENCE: Duration = Duration::from_secs(2);

/// The catalog's figures.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The bytes in the store.
    pub used: i64,
    /// The bytes that are reserved for uploads under way and have not arrived yet.
    pub reserved: i64,
    pub uploads: i64,
    /// The bytes of these uploads that have arrived.
    pub arrived: i64,
    pub coverage: Coverage,
    pub damaged: usize,
    pub newest_backup: Option<Backup>,
    pub backlog: Backlog,
}

/// The files that the tree lacks, and those that it still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Files on offer that are not in the tree yet.
    pub to_publish: usize,
    /// Files that are no longer on offer, and stay for their grace.
    pub to_withdraw: usize,
}

impl Catalog {
    /// Returns the figures, or none if the catalog does not answer soon.
    pub async fn figures(&self) -> Option<Figures> {
        match tokio::time::timeout(PATIENCE, self.read_figures()).await {
            Ok(Ok(figures)) => Some(figures),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the figures for the status could not be read");
                None
            }
            Err(_) => None,
        }
    }

    /// Returns the free disk space, or none for a bucket or a disk that does not answer.
    pub async fn free_bytes(&self) -> Option<u64> {
        let blobs = self.blobs.clone();
        let looked = tokio::time::timeout(PATIENCE, spawn_blocking(move || blobs.free_bytes()));
        looked.await.ok()?.ok()?.ok()?
    }

    async fn read_figures(&self) -> Result<Figures> {
        let since = self.before_now(self.rules().scrub.within);
        let mut tx = self.db.read().await?;
        let paths = tx.published_paths().await?;
        Ok(Figures {
            used: tx.used_bytes().await?,
            reserved: tx.reserved_bytes().await?,
            uploads: tx.count_uploads().await?,
            arrived: tx.arrived_bytes().await?,
            coverage: tx.coverage(since).await?,
            damaged: tx.damaged_files().await?.len(),
            newest_backup: tx.newest_backup().await?,
            backlog: self.backlog(&paths),
        })
    }

    fn backlog(&self, paths: &[(String, PublicationState)]) -> Backlog {
        use PublicationState as State;
        let is_there = |state: &State| *state != State::Publishing;
        let there: HashSet<_> = paths
            .iter()
            .filter(|(_, state)| is_there(state))
            .map(|(path, _)| path.to_ascii_lowercase())
            .collect();
        let going = |state: &State| matches!(state, State::Withdrawing | State::Removing);
        Backlog {
            to_publish: self.snapshot().tree_files().filter(|path| !there.contains(*path)).count(),
            to_withdraw: paths.iter().filter(|(_, state)| going(state)).count(),
        }
    }
}
