//! A transaction on either database, and the macros that use its connection.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::held::Held;
use crate::model::event::NewEvent;
use crate::storage::audit_row::AuditRow;
use crate::storage::error::StorageError;

/// A transaction on either database.
pub struct Tx {
    pub(in crate::storage) on: Either,
    /// The rows for the audit. They are chained at the very end, so that their lock is the last one taken and no two
    /// transactions wait for each other.
    unchained: Vec<AuditRow>,
    /// The events, which get their places after the audit rows, for the same reason.
    untold: Vec<NewEvent>,
    /// The mark of the catalog's events, if they have none yet.
    event_generation: Uuid,
    /// Set in a transaction that freezes the catalog or ends the freeze.
    pub(in crate::storage) is_freezing: bool,
}

/// The connection of a transaction.
pub(in crate::storage) enum Either {
    Sqlite(HeldFile),
    Postgres(Held),
}

impl From<Either> for Tx {
    fn from(on: Either) -> Self {
        Self {
            on,
            unchained: Vec::new(),
            untold: Vec::new(),
            event_generation: Uuid::nil(),
            is_freezing: false,
        }
    }
}

/// A connection to SQLite's file.
pub(in crate::storage) enum HeldFile {
    InTransaction(Transaction<'static, Sqlite>),
    /// A connection for one statement.
    Bare(PoolConnection<Sqlite>),
}

impl HeldFile {
    pub(in crate::storage) fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::InTransaction(transaction) => transaction,
            Self::Bare(connection) => connection,
        }
    }

    async fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::InTransaction(transaction) => Ok(transaction.commit().await?),
            Self::Bare(_) => Ok(()),
        }
    }
}

impl Tx {
    /// Adds a row for the audit, which gets its place in the chain when the transaction is committed.
    pub fn note_for_audit(&mut self, row: AuditRow) {
        self.unchained.push(row);
    }

    /// Adds an event, which gets its place when the transaction is committed. `generation` is a fresh id.
    pub fn note_event(&mut self, event: NewEvent, generation: Uuid) {
        self.untold.push(event);
        self.event_generation = generation;
    }

    /// Makes the changes durable and visible.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        let rows = std::mem::take(&mut self.unchained);
        if !rows.is_empty() {
            self.append_to_audit(rows).await?;
        }
        let events = std::mem::take(&mut self.untold);
        if !events.is_empty() {
            self.append_events(events, self.event_generation).await?;
        }
        match self.on {
            Either::Sqlite(tx) => tx.commit().await?,
            Either::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Evaluates the body, one statement, for the database in use, with `$conn` bound to the transaction's connection. A
/// statement that is not answered in time fails, and its connection is not used again.
macro_rules! on {
    ($tx:expr, $conn:ident => $body:expr) => {
        match &mut $tx.on {
            $crate::storage::db::Either::Sqlite(tx) => {
                let $conn = tx.connection();
                $body
            }
            $crate::storage::db::Either::Postgres(tx) => {
                let $conn = tx.ask();
                let answered = $crate::storage::db::in_time(async { $body }).await;
                tx.has_answered(&answered);
                answered
            }
        }
    };
}
pub(crate) use on;

/// Does the same as [`on`], for an answer in many pieces, with a time limit for each that the body sets itself.
macro_rules! stream_on {
    ($tx:expr, $conn:ident => $body:expr) => {
        match &mut $tx.on {
            $crate::storage::db::Either::Sqlite(tx) => {
                let $conn = tx.connection();
                $body
            }
            $crate::storage::db::Either::Postgres(tx) => {
                let $conn = tx.ask();
                $body;
                tx.has_answered_whole();
            }
        }
    };
}
pub(crate) use stream_on;
