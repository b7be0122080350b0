//! The numbers that dashboards show, and the newest backup.

use chrono::{DateTime, Utc};

use super::statement::{all, execute, optional, value};
use crate::model::{Backup, PublicationState, RevisionState};
use crate::storage::{StorageError, Tx};

impl Tx {
    /// Returns the bytes that the store holds: stored, arrived so far, and about to be deleted.
    pub async fn used_bytes(&mut self) -> Result<i64, StorageError> {
        // sum() of bigints is numeric on PostgreSQL.
        value!(
            self,
            "select cast(coalesce(sum(case when state = 'stored' then size else received end), 0) as bigint) \
             from blob"
        )
    }

    /// Returns the bytes that have arrived for uploads in progress.
    pub async fn arrived_bytes(&mut self) -> Result<i64, StorageError> {
        value!(
            self,
            "select cast(coalesce(sum(b.received), 0) as bigint) from upload u join blob b on b.id = u.blob_id \
             where u.state = 'receiving'"
        )
    }

    /// Counts the revisions in each state that has any.
    pub async fn revisions_by_state(&mut self) -> Result<Vec<(RevisionState, i64)>, StorageError> {
        all!(self, "select state, count(*) from revision group by state")
    }

    /// Lists every path in the tree that belongs to imagedepot, with the state of its file.
    pub async fn published_paths(
        &mut self,
    ) -> Result<Vec<(String, PublicationState)>, StorageError> {
        all!(self, "select path, state from publication")
    }

    pub async fn newest_backup(&mut self) -> Result<Option<Backup>, StorageError> {
        optional!(
            self,
            "select name, taken_at from backup order by taken_at desc, name desc limit 1"
        )
    }

    /// Records a backup that was taken, in place of those before it.
    pub async fn note_backup(
        &mut self,
        name: &str,
        taken_at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from backup where taken_at <= $1", taken_at)?;
        execute!(self, "insert into backup (name, taken_at) values ($1, $2)", name, taken_at)?;
        Ok(())
    }
}
