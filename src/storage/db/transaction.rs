//! A transaction on either database, and what is done with the connection of whichever it is.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::held::Held;
use crate::storage::audit_row::AuditRow;
use crate::storage::error::StorageError;

/// A transaction on either database.
pub struct Tx {
    pub(in crate::storage) on: Either,
    /// Rows for the audit, which are chained at the very end: their lock is the last that is taken, so
    /// that no two transactions wait for each other.
    unchained: Vec<AuditRow>,
    /// It is this one that freezes the catalog, or takes that back.
    pub(in crate::storage) is_freezing: bool,
}

/// The connection of a transaction.
pub(in crate::storage) enum Either {
    Sqlite(HeldFile),
    Postgres(Held),
}

impl From<Either> for Tx {
    fn from(on: Either) -> Self {
        Self { on, unchained: Vec::new(), is_freezing: false }
    }
}

/// A connection to SQLite's file.
pub(in crate::storage) enum HeldFile {
    InTransaction(Transaction<'static, Sqlite>),
    /// For one statement.
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
    /// A row for the audit: it gets its place in the chain when the transaction is committed.
    pub fn note_for_audit(&mut self, row: AuditRow) {
        self.unchained.push(row);
    }

    /// Makes the changes durable and visible.
    pub async fn commit(mut self) -> Result<(), StorageError> {
        let rows = std::mem::take(&mut self.unchained);
        if !rows.is_empty() {
            self.append_to_audit(rows).await?;
        }
        match self.on {
            Either::Sqlite(tx) => tx.commit().await?,
            Either::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Evaluates the body, one statement, for the database at hand, with `$conn` bound to the transaction's connection. One that
/// is not answered in time fails, and its connection is not used again.
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

/// As [`on`], for what comes in many pieces, each of which the body waits for by itself.
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
