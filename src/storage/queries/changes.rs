//! The number that every visible change raises, and how other processes hear of it.

use super::{execute, value};
use crate::storage::{StorageError, Tx};

/// PostgreSQL's name for the news that the catalog changed.
pub const CHANNEL: &str = "imagedepot_catalog";

impl Tx {
    /// To be called by every transaction that changes what the snapshot shows.
    pub async fn raise_catalog_version(&mut self) -> Result<(), StorageError> {
        execute!(self, "update catalog_state set version = version + 1 where id = 1")?;
        if let Self::Postgres(tx) = self {
            // Sent by the commit, not before.
            sqlx::query("select pg_notify($1, '')").bind(CHANNEL).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Keeps everybody else out who takes this lock or raises the version, until the commit. SQLite's
    /// writer is alone as it is.
    ///
    /// Taken after the locks of an image and of channels, never before them: the order in which all
    /// changes lock is image, channels, this.
    pub async fn lock_catalog_version(&mut self) -> Result<(), StorageError> {
        if let Self::Postgres(tx) = self {
            sqlx::query("select 1 from catalog_state where id = 1 for update")
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    pub async fn catalog_version(&mut self) -> Result<i64, StorageError> {
        value!(self, "select version from catalog_state where id = 1")
    }
}
