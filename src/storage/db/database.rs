//! The pools of either database, and the transactions that come from them.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use super::transaction::{Either, Held, Tx};
use crate::storage::ballast::Ballast;
use crate::storage::error::StorageError;
use crate::storage::instance;

/// How long a caller waits for a connection or for SQLite's write lock before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// SQLite readers beside the one writer. Readers do not block in WAL mode; more than cores gain nothing.
const SQLITE_READERS: u32 = 4;

const POSTGRES_CONNECTIONS: u32 = 16;

/// The database, SQLite or PostgreSQL.
#[derive(Clone)]
pub enum Db {
    /// SQLite has one writer at a time: one connection that all changes queue for is fair, where
    /// several would fight for the file's lock.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        ballast: Ballast,
    },
    Postgres(PgPool),
}

impl Db {
    /// Opens `sqlite:PATH` (the file is made if absent) or `postgres://…`.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            instance::make_private_file(Path::new(path))?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                // A commit that was acknowledged survives a power cut; NORMAL would lose the last ones.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(PATIENCE)
                .disable_statement_logging();
            // A commit that fails for a full disk ends SQLite's transaction and not sqlx's count of it:
            // such a connection is closed and not used again.
            let writer = SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                // A file needs no asking whether it is still there.
                .test_before_acquire(false)
                .before_acquire(|connection, _| {
                    let is_stuck = connection.is_in_transaction();
                    Box::pin(async move { Ok(!is_stuck) })
                })
                .connect_with(options.clone())
                .await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(SQLITE_READERS)
                .acquire_timeout(PATIENCE)
                .test_before_acquire(false)
                .connect_with(options.read_only(true))
                .await?;
            Ok(Self::Sqlite { writer, readers, ballast: Ballast::beside(Path::new(path)) })
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?
                .application_name("imagedepot")
                .disable_statement_logging();
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(PATIENCE)
                .after_connect(|connection, _| Box::pin(bound_waits(connection)))
                .connect_with(options)
                .await?;
            Ok(Self::Postgres(pool))
        } else {
            Err(StorageError::Unusable("catalog.url begins with sqlite: or postgres://".to_owned()))
        }
    }

    /// A transaction that reads one moment of the database.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(Held::InTransaction(readers.begin().await?)).into()
            }
            Self::Postgres(pool) => {
                let begin = "begin isolation level repeatable read read only";
                Either::Postgres(Held::InTransaction(pool.begin_with(begin).await?)).into()
            }
        })
    }

    /// For one statement that reads. Of two, each would see another moment.
    pub async fn look(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(Held::Bare(readers.acquire().await?)).into()
            }
            Self::Postgres(pool) => Either::Postgres(Held::Bare(pool.acquire().await?)).into(),
        })
    }

    /// A transaction that changes rows. On SQLite it takes the write lock at once: a transaction that
    /// read first and asked for the lock later would fail when another had written in between.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { writer, ballast, .. } => {
                ballast.look();
                let begun = writer.begin_with("begin immediate").await?;
                Either::Sqlite(Held::InTransaction(begun)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Held::InTransaction(pool.begin().await?)).into()
            }
        })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// PostgreSQL waits for locks without end, and a replica whose machine vanished inside of a transaction
/// keeps its locks for hours. Set here and not in the connection's start-up, which poolers refuse.
async fn bound_waits(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute("set lock_timeout = '20s'; set idle_in_transaction_session_timeout = '60s'")
        .await?;
    Ok(())
}
