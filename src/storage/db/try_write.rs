//! A test of whether the database would accept a change now: everything that a change does, up to its commit.

use std::io;
use std::path::{Path, PathBuf};

use super::database::Db;
use super::transaction::{Either, HeldFile};
use crate::storage::disk;
use crate::storage::error::StorageError;

impl Db {
    /// Begins a change that changes nothing, and rolls it back. It waits for a connection and for the write lock as
    /// changes do; the caller limits the time.
    pub async fn try_write(&self) -> Result<(), StorageError> {
        self.check_file().await?;
        self.look().await?.frozen().await?.map_or(Ok(()), |why| Err(StorageError::Frozen(why)))?;
        let mut tx = self.write().await?;
        // A standby, or a database that was made read-only, refuses the statement and not the transaction.
        tx.change_nothing().await?;
        // Rolled back here and not by dropping it, so that the connection is free for the next change at once.
        match tx.on {
            Either::Sqlite(HeldFile::InTransaction(begun)) => begun.rollback().await?,
            Either::Sqlite(HeldFile::Bare(_)) => {}
            Either::Postgres(begun) => begun.roll_back().await?,
        }
        Ok(())
    }

    /// Checks that SQLite's file exists, on a disk that is not read-only: a process that has a deleted file open
    /// continues to write to it, and nobody can find it again. Each change checks that the file is the one that was
    /// opened (`catalog_file`).
    async fn check_file(&self) -> Result<(), StorageError> {
        let Some(file) = self.file() else { return Ok(()) };
        let looked = tokio::task::spawn_blocking(move || look_at(&file));
        looked.await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }

    /// Returns the free space of the disk with the catalog's file; none if the catalog is on a database server.
    pub fn free_bytes(&self) -> Result<Option<u64>, StorageError> {
        let Some(file) = self.file() else { return Ok(None) };
        disk::free_bytes(&file).map(Some).map_err(|error| StorageError::file(file.display(), error))
    }

    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite { writer, .. } => Some(writer.connect_options().get_filename().to_owned()),
            Self::Postgres(_) => None,
        }
    }
}

fn look_at(file: &Path) -> Result<(), StorageError> {
    let fail = |error| StorageError::file(file.display(), error);
    std::fs::metadata(file).map_err(fail)?;
    if disk::is_read_only(file).map_err(fail)? {
        return Err(fail(io::ErrorKind::ReadOnlyFilesystem.into()));
    }
    Ok(())
}
