//! A connection to PostgreSQL that the pool has lent, for one statement or for a transaction.
//!
//! A database may take a question and never answer it: stopped, or behind a line that has gone. So each question has a
//! time limit, and a connection on which an answer is still to come when it is given back is closed: the pool would
//! wait for that answer, and lend the connection to nobody in the meantime. sqlx's own transactions cannot be told so,
//! which is why this begins and ends them itself.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Execute, Executor as _, PgConnection, Postgres};
use tokio::time::timeout;

use crate::storage::error::StorageError;

/// How long the database may take for one statement: longer than it waits for a lock (`lock_timeout`), which it tells itself.
const STATEMENT: Duration = Duration::from_secs(25);

/// How long the pool may take to see that a connection still lives.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// How long the end of a transaction may take that was given up.
const ROLLING_BACK: Duration = Duration::from_secs(5);

pub struct Held {
    /// Until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
    /// What was asked last is not answered.
    is_waiting: bool,
}

impl Held {
    /// For one statement: a transaction around it would be two more questions to the database.
    pub(super) const fn bare(connection: PoolConnection<Postgres>) -> Self {
        Self { connection: Some(connection), in_transaction: false, is_waiting: false }
    }

    /// In a transaction that `statement` begins.
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

    /// Dropping it does the same a little later.
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

    /// A statement of which only the effect counts.
    pub(in crate::storage) async fn run<'q>(
        &mut self,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> Result<(), StorageError> {
        let answer = in_time(self.ask().execute(statement)).await;
        self.has_answered(&answer);
        Ok(answer.map(drop)?)
    }

    /// Asks something; to be followed by [`Self::has_answered`].
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

    /// It is not used again.
    pub(super) fn distrust(&mut self) {
        self.is_waiting = true;
    }

    /// All of an answer in many pieces has come.
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
            // The pool asks whether it still lives, and by itself would wait for the answer without end. Cut off, it is closed.
            let _given_back_or_closed = timeout(GIVING_BACK, connection.return_to_pool()).await;
        });
    }
}

async fn rolls_back(connection: &mut PgConnection) -> bool {
    matches!(timeout(ROLLING_BACK, connection.execute("rollback")).await, Ok(Ok(_)))
}

/// The answer to a statement, or an error where it does not come.
pub(in crate::storage) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(STATEMENT, answer).await.unwrap_or_else(|_| {
        let silence = "the database took a question and does not answer";
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, silence)))
    })
}

fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
