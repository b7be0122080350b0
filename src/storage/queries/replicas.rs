//! The servers on this catalog, and the version of it that each of them answers from. Times are those of the database,
//! because the clocks of several machines differ.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, execute, value};
use crate::model::replica::Replica;
use crate::storage::{StorageError, Tx};

impl Tx {
    /// Returns the time by the database's clock.
    pub async fn database_time(&mut self) -> Result<DateTime<Utc>, StorageError> {
        value!(self, "select current_timestamp")
    }

    /// Records that a server is alive, and the version that it answers from.
    pub async fn record_replica(&mut self, replica: &Replica) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into replica (instance, program, loaded, seen_at, reads) \
             values ($1, $2, $3, current_timestamp, $4) \
             on conflict (instance) do update set program = excluded.program, loaded = excluded.loaded, \
             seen_at = excluded.seen_at, reads = excluded.reads",
            replica.instance,
            &replica.program,
            replica.loaded,
            replica.reads
        )?;
        Ok(())
    }

    /// Lists the servers that have been recorded as alive since `since`.
    pub async fn replicas_since(
        &mut self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Replica>, StorageError> {
        all!(self, "select instance, program, loaded, reads from replica where seen_at > $1", since)
    }

    pub async fn forget_replica(&mut self, instance: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from replica where instance = $1", instance)?;
        Ok(())
    }

    /// Deletes the rows of servers that ended without deleting them.
    pub async fn forget_replicas_before(
        &mut self,
        before: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from replica where seen_at < $1", before)?;
        Ok(())
    }
}
