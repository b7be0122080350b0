//! The two databases behind one type: one SQL text serves SQLite and PostgreSQL.
//!
//! A [`Tx`] is the only way to a row. [`Db::read`] gives one that sees a single moment, [`Db::look`] one
//! for a single statement, which is a moment by itself; [`Db::write`] gives one whose changes appear with
//! [`Tx::commit`] or not at all: dropping it rolls back. The queries themselves are methods of `Tx`, in
//! `queries/`, by noun.
//!
//! Rejected: `sqlx::Any` (knows neither UUIDs nor times), a trait with an implementation for each
//! database (they drift apart). Every query runs in the tests on both.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{
    ConnectOptions as _, Connection as _, Database, Executor as _, PgConnection, Postgres, Sqlite,
    Transaction,
};

use super::ballast::Ballast;
use super::error::StorageError;
use super::queries::audit::AuditRow;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

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

/// A transaction on either database.
pub struct Tx {
    pub(super) on: Either,
    /// Rows for the audit, which are chained at the very end: their lock is the last that is taken, so
    /// that no two transactions wait for each other.
    unchained: Vec<AuditRow>,
    /// It is this one that freezes the catalog, or takes that back.
    pub(super) is_freezing: bool,
}

/// The connection of a transaction.
pub(super) enum Either {
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

impl Db {
    /// Opens `sqlite:PATH` (the file is made if absent) or `postgres://…`.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            super::instance::make_private_file(Path::new(path))?;
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

    /// Whether there is a schema, and an older one than this program's.
    pub async fn is_behind(&self) -> Result<bool, StorageError> {
        let known: i64 = match self {
            Self::Sqlite { writer, .. } => {
                let sql = "select count(*) from sqlite_master where name = '_sqlx_migrations'";
                sqlx::query_scalar(sql).fetch_one(writer).await?
            }
            Self::Postgres(pool) => {
                let sql = "select count(*) from information_schema.tables \
                           where table_schema = current_schema() and table_name = '_sqlx_migrations'";
                sqlx::query_scalar(sql).fetch_one(pool).await?
            }
        };
        if known == 0 {
            return Ok(false);
        }
        let there = self.look().await?.schema_version().await?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        Ok(there > 0 && newest.is_some_and(|newest| there < newest))
    }

    /// Brings the schema up to this program's version; `Unusable` where it is newer: an older program
    /// would misread it.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let migrated = match self {
            Self::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
            Self::Postgres(pool) => MIGRATIONS.run(pool).await,
        };
        migrated.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StorageError::Unusable(format!(
                "the catalog's schema {version} is newer than this program knows; start the newer program"
            )),
            other => other.into(),
        })?;
        // Looked at first: a start waits for nobody's change once there is a chain.
        if self.look().await?.audit_head().await?.is_some_and(|head| head.sequence > 0) {
            return Ok(());
        }
        let mut tx = self.write().await?;
        tx.chain_older_rows().await?;
        tx.commit().await
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

    /// News of changes by other processes.
    pub async fn news(&self) -> News {
        match self {
            Self::Sqlite { .. } => News::None,
            Self::Postgres(pool) => {
                let listener = PgListener::connect_with(pool).await;
                match listener {
                    Ok(mut listener) => {
                        match listener.listen(super::queries::changes::CHANNEL).await {
                            Ok(()) => News::Postgres(Box::new(listener)),
                            Err(_) => News::None,
                        }
                    }
                    Err(_) => News::None,
                }
            }
        }
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

/// Where the database tells of other processes' changes by itself.
pub enum News {
    /// SQLite does not: whoever wants to know asks.
    None,
    Postgres(Box<PgListener>),
}

impl News {
    /// Returns when something changed, or after `at_most`.
    pub async fn wait(&mut self, at_most: Duration) {
        let heard = async {
            match self {
                Self::None => std::future::pending().await,
                Self::Postgres(listener) => listener.recv().await.is_ok(),
            }
        };
        let started = tokio::time::Instant::now();
        if let Ok(false) = tokio::time::timeout(at_most, heard).await {
            // The connection is gone: it would answer so at once, again and again.
            tokio::time::sleep_until(started + at_most).await;
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
