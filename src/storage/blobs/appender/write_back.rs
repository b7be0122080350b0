//! Syncing a growing file to the disk while more of it arrives.
//!
//! By itself, the operating system keeps gigabytes in memory until the final sync, which then waits for all of them at
//! once: an upload of 2 GiB took 2.8 s that way, and takes 2.2 s this way. What a sync has covered may be acknowledged.
//! A sync that failed is never repeated, because the system reports a lost page once and treats the file as intact
//! afterwards.

use std::fs::File;
use std::io;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::storage::blobs::growing::Kept;
use crate::storage::blobs::running_hash::RunningHash;
use crate::storage::error::{StorageError, lost};

/// The bytes between the beginnings of two syncs: enough to avoid waiting for the file system's journal.
const EVERY: u64 = 4 * 1024 * 1024;

/// The smallest such distance, used near the end. A BITS client sends nothing more until its fragment of 13 MB is
/// acknowledged. It would otherwise wait for a sync of 4 MiB that has just begun, and then for one of the rest.
const EVERY_AT_LEAST: u64 = 512 * 1024;

pub(super) struct WriteBack {
    file: Arc<File>,
    /// The number of settled bytes when the last sync began.
    begun_at: u64,
    /// The offset at which the bytes are expected to end for now; the last ones are synced in ever smaller pieces.
    end: u64,
    running: Option<Running>,
    /// The state that the last completed sync has covered, until it is asked for.
    kept: Option<Kept>,
    failed: bool,
}

struct Running {
    covers: Kept,
    task: JoinHandle<io::Result<()>>,
}

impl WriteBack {
    pub(super) fn of(file: Arc<File>, from: u64) -> Self {
        Self { file, begun_at: from, end: u64::MAX, running: None, kept: None, failed: false }
    }

    /// Announces that the sender is going to wait for an answer at `end`.
    pub(super) fn expect_end(&mut self, end: u64) {
        self.end = end;
    }

    /// Handles newly settled bytes: begins a sync if it is worth it, and never waits.
    pub(super) fn on_settled(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<(), StorageError> {
        if let Some(ended) =
            self.running.as_mut().and_then(|running| (&mut running.task).now_or_never())
        {
            self.ended(ended)?;
        }
        let due = (self.end.saturating_sub(settled) / 2).clamp(EVERY_AT_LEAST, EVERY);
        if self.running.is_none() && settled - self.begun_at >= due {
            self.begin(settled, hash);
        }
        Ok(())
    }

    /// Returns what has reached stable storage since the last call.
    pub(super) fn kept(&mut self) -> Option<Kept> {
        self.kept.take()
    }

    /// Brings everything that has settled to stable storage.
    pub(super) async fn flush(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<Kept, StorageError> {
        self.wait().await?;
        self.begin(settled, hash);
        self.wait().await?;
        Ok(Kept::at(settled, hash.save()))
    }

    fn begin(&mut self, settled: u64, hash: &RunningHash) {
        self.begun_at = settled;
        let file = Arc::clone(&self.file);
        self.running = Some(Running {
            covers: Kept::at(settled, hash.save()),
            task: spawn_blocking(move || file.sync_data()),
        });
    }

    async fn wait(&mut self) -> Result<(), StorageError> {
        match &mut self.running {
            Some(running) => {
                let ended = (&mut running.task).await;
                self.ended(ended)
            }
            None => self.refuse_after_failure(),
        }
    }

    fn ended(&mut self, result: Result<io::Result<()>, JoinError>) -> Result<(), StorageError> {
        let covered = self.running.take().map(|running| running.covers);
        let synced = result.map_err(|error| lost(&error)).and_then(|synced| {
            synced.map_err(|error| {
                StorageError::file("an upload could not be synced to the disk", error)
            })
        });
        self.failed |= synced.is_err();
        synced?;
        self.refuse_after_failure()?;
        self.kept = covered;
        Ok(())
    }

    fn refuse_after_failure(&self) -> Result<(), StorageError> {
        if self.failed {
            let detail = "a sync of this upload failed before; open it again";
            return Err(StorageError::Unavailable(detail.to_owned()));
        }
        Ok(())
    }
}
