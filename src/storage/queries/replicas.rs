//! The servers on this catalog, and what each of them answers from. Times are the database's: the clocks of several
//! machines differ.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, execute, value};
use crate::model::replica::Replica;
use crate::storage::{StorageError, Tx};

impl Tx {
    /// The time by the database's clock.
    pub async fn database_time(&mut self) -> Result<DateTime<Utc>, StorageError> {
        value!(self, "select current_timestamp")
    }

    /// Tells of a server that it lives, and what it answers from.
    pub async fn tell_of_replica(&mut self, replica: &Replica) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into replica (instance, program, loaded, seen_at) values ($1, $2, $3, current_timestamp) \
             on conflict (instance) do update set program = excluded.program, loaded = excluded.loaded, \
             seen_at = excluded.seen_at",
            replica.instance,
            &replica.program,
            replica.loaded
        )?;
        Ok(())
    }

    /// Those that have told of themselves since.
    pub async fn replicas_since(
        &mut self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Replica>, StorageError> {
        all!(self, "select instance, program, loaded from replica where seen_at > $1", since)
    }

    pub async fn forget_replica(&mut self, instance: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from replica where instance = $1", instance)?;
        Ok(())
    }

    /// Those that ended without a word.
    pub async fn forget_replicas_before(
        &mut self,
        before: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from replica where seen_at < $1", before)?;
        Ok(())
    }
}
