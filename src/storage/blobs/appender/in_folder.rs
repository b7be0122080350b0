//! A blob that grows in a folder: one file that is synced to the disk while it is written.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::write_back::WriteBack;
use crate::storage::blobs::growing::{Growing, Kept, Unacknowledged};
use crate::storage::blobs::running_hash::RunningHash;
use crate::storage::blobs::staged_file::StagedFile;
use crate::storage::error::{StorageError, lost};

pub(super) struct InFolder {
    staged: StagedFile,
    write_back: WriteBack,
}

impl InFolder {
    /// Opens the file at the end of what was kept. Also returns where that is now, and the digest up to there.
    pub(super) async fn open(
        path: PathBuf,
        complete: PathBuf,
        growing: Growing,
    ) -> Result<(Self, u64, RunningHash), StorageError> {
        let opened = spawn_blocking(move || {
            let Growing { size, kept, unacknowledged, .. } = growing;
            let mut hash = kept.hash()?;
            let staged = StagedFile::open(path, &complete, kept.received)?;
            let settled = match unacknowledged {
                Unacknowledged::TakeIn { .. } => staged.read_unacknowledged(
                    kept.received,
                    size.unwrap_or(u64::MAX),
                    &mut hash,
                )?,
                Unacknowledged::CutOff => kept.received,
            };
            staged.cut(settled)?;
            Ok::<_, StorageError>((staged, settled, hash))
        });
        let (staged, settled, hash) = opened.await.map_err(|error| lost(&error))??;
        let write_back = WriteBack::of(staged.file(), settled);
        Ok((Self { staged, write_back }, settled, hash))
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.staged.file()
    }

    pub(super) fn expect_end(&mut self, end: u64) {
        self.write_back.expect_end(end);
    }

    pub(super) fn on_settled(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<(), StorageError> {
        self.write_back.on_settled(settled, hash)
    }

    pub(super) fn kept(&mut self) -> Option<Kept> {
        self.write_back.kept()
    }

    pub(super) async fn flush(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<Kept, StorageError> {
        self.write_back.flush(settled, hash).await
    }
}
