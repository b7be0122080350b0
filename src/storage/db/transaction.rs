//! A transaction on either database, and what is done with the connection of whichever it is.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Postgres, Sqlite, Transaction};

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
    Sqlite(Held<Sqlite>),
    Postgres(Held<Postgres>),
}

impl From<Either> for Tx {
    fn from(on: Either) -> Self {
        Self { on, unchained: Vec::new(), is_freezing: false }
    }
}

/// A connection of the pool.
pub enum Held<D: Database> {
    InTransaction(Transaction<'static, D>),
    /// For one statement: a transaction around it would be two more questions to the database.
    Bare(PoolConnection<D>),
}

impl<D: Database> Deref for Held<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        match self {
            Self::InTransaction(transaction) => transaction,
            Self::Bare(connection) => connection,
        }
    }
}

impl<D: Database> DerefMut for Held<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        match self {
            Self::InTransaction(transaction) => transaction,
            Self::Bare(connection) => connection,
        }
    }
}

impl<D: Database> Held<D> {
    async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::InTransaction(transaction) => transaction.commit().await,
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

/// Evaluates the body for the database at hand, with `$conn` bound to the transaction's connection.
macro_rules! on {
    ($tx:expr, $conn:ident => $body:expr) => {
        match &mut $tx.on {
            $crate::storage::db::Either::Sqlite(tx) => {
                let $conn = &mut **tx;
                $body
            }
            $crate::storage::db::Either::Postgres(tx) => {
                let $conn = &mut **tx;
                $body
            }
        }
    };
}
pub(crate) use on;
