//! A connection to PostgreSQL that the pool has lent, for one statement or for a transaction.
//!
//! A database may accept a query and never answer it, because it was suspended or its network connection has failed. So
//! each query has a time limit. A connection that still has to receive an answer when it is given back is closed:
//! otherwise the pool would wait for that answer, and lend the connection to nobody in the meantime. sqlx's own
//! transactions cannot be told this, so this module begins and ends them itself.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Execute, Executor as _, PgConnection, Postgres};
use tokio::time::timeout;

use crate::storage::error::StorageError;

/// The time limit for one statement. It is longer than `lock_timeout`, so that the database itself reports a lock that
/// it did not get.
const STATEMENT: Duration = Duration::from_secs(25);

/// The time limit for the pool to see that a connection still lives.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// The time limit for rolling back a transaction that was given up.
const ROLLING_BACK: Duration = Duration::from_secs(5);

pub struct Held {
    /// The connection, which is present until this is dropped.
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
    /// Set while the last query has no answer.
    is_waiting: bool,
}

impl Held {
    /// Holds a connection for one statement: a transaction around it would be two more queries to the database.
    pub(super) const fn bare(connection: PoolConnection<Postgres>) -> Self {
        Self { connection: Some(connection), in_transaction: false, is_waiting: false }
    }

    /// Begins a transaction with `statement`.
    pub(super) async fn begin(
        connection: PoolConnection<Postgres>,
        statement: &'static str,
    ) -> Result<Self, StorageError> {
        let mut held = Self::bare(connection);
        held.run(statement).await?;
        held.in_transaction = true;
        Ok(held)
    }

    pub(super) async fn commit(self) -> Result<(), StorageError> {
        self.end("commit").await
    }

    /// Rolls the transaction back. Dropping it does the same a little later.
    pub(super) async fn roll_back(self) -> Result<(), StorageError> {
        self.end("rollback").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StorageError> {
        if self.in_transaction {
            self.run(statement).await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    /// Runs a statement of which only the effect matters.
    pub(in crate::storage) async fn run<'q>(
        &mut self,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> Result<(), StorageError> {
        let answer = in_time(self.ask().execute(statement)).await;
        self.has_answered(&answer);
        Ok(answer.map(drop)?)
    }

    /// Returns the connection for a query; to be followed by [`Self::has_answered`].
    pub(in crate::storage) fn ask(&mut self) -> &mut PgConnection {
        self.is_waiting = true;
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("it is there until it is dropped"),
        }
    }

    pub(in crate::storage) fn has_answered<T>(&mut self, answer: &Result<T, sqlx::Error>) {
        self.is_waiting = matches!(answer, Err(error) if is_silence(error));
    }

    /// Keeps the connection from being used again.
    pub(super) fn distrust(&mut self) {
        self.is_waiting = true;
    }

    /// Notes that an answer in many pieces has arrived completely.
    pub(in crate::storage) fn has_answered_whole(&mut self) {
        self.is_waiting = false;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.is_waiting {
            connection.close_on_drop();
            return;
        }
        let in_transaction = self.in_transaction;
        tokio::spawn(async move {
            if in_transaction && !rolls_back(&mut connection).await {
                connection.close_on_drop();
                return;
            }
            // The pool tests whether the connection still lives, and would wait for the answer without end. A
            // connection for which this times out is closed.
            let _given_back_or_closed = timeout(GIVING_BACK, connection.return_to_pool()).await;
        });
    }
}

async fn rolls_back(connection: &mut PgConnection) -> bool {
    matches!(timeout(ROLLING_BACK, connection.execute("rollback")).await, Ok(Ok(_)))
}

/// Waits for the answer to a statement. Fails if it does not come in time.
pub(in crate::storage) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(STATEMENT, answer).await.unwrap_or_else(|_| {
        let silence = "the database accepted a query and does not answer";
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, silence)))
    })
}

fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
