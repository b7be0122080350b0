//! The pools of either database, and the transactions that come from them.

use std::path::Path;

use sqlx::postgres::PgPool;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::catalog_file::CatalogFile;
use super::held::Held;
use super::transaction::{Either, HeldFile, Tx};
use super::{PATIENCE, postgres, postgres_url};
use crate::model::metric;
use crate::storage::ballast::{Ballast, DiskSpace};
use crate::storage::error::StorageError;
use crate::storage::instance;

/// The number of SQLite readers beside the one writer. Readers do not block in WAL mode; more readers than cores gain
/// nothing.
const SQLITE_READERS: u32 = 4;

/// The size to which SQLite's log is cut when it is reused, which is the size that it usually needs.
const LOG_KEPT: &str = "4194304";

/// The kinds of transactions, as they are counted.
const READ: &str = "read";
const WRITE: &str = "write";

fn count(kind: &'static str) {
    metric::CATALOG_TRANSACTIONS.with([kind]).increment(1);
}

/// The purpose of a transaction that changes rows, as far as it matters on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Any other change. Refused if the disk of SQLite's catalog is full.
    Change,
    /// A change that frees disk space, locks a caller out, or is needed for that. Also one that only updates a row in
    /// place, such as the holder of a job: refusing it would delay the work that frees disk space.
    Freeing,
}

/// The database, SQLite or PostgreSQL.
#[derive(Clone)]
pub enum Db {
    /// SQLite, which has one writer at a time. A single connection that all changes queue for is fair, whereas several
    /// would compete for the file's lock.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        ballast: Ballast,
        file: CatalogFile,
    },
    Postgres(PgPool),
}

impl Db {
    /// Reports whether several servers may use the database; SQLite has [one](Self::hold_for_server).
    pub const fn may_be_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Checks that an address is understood. Opens no connection.
    pub fn check_url(url: &str) -> Result<(), StorageError> {
        if url.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()) {
            return Ok(());
        }
        postgres_url::options(url).map(drop)
    }

    /// Opens `sqlite:PATH` (the file is created if absent) or `postgres://…` with the given number of connections at
    /// most.
    pub async fn open(url: &str, connections: u32) -> Result<Self, StorageError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            instance::make_private_file(Path::new(path))?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .foreign_keys(true)
                // Without a limit, one large change would leave the log at its size for good.
                .pragma("journal_size_limit", LOG_KEPT)
                .journal_mode(SqliteJournalMode::Wal)
                // A commit that was acknowledged survives a power cut; NORMAL would lose the last ones.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(PATIENCE)
                // The name that PostgreSQL has for byte order, which is SQLite's own order, so that both databases take
                // the same text.
                .collation("C", str::cmp)
                .disable_statement_logging();
            if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
                // Only before the first table: for a file that has tables, this would make every new connection write.
                let new = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
                new.connect().await?.close().await?;
            }
            // A commit that fails because of a full disk ends SQLite's transaction but not sqlx's count of it. Such a
            // connection is closed and not used again.
            let writer = SqlitePoolOptions::new()
                .max_connections(1)
                .acquire_timeout(PATIENCE)
                // A connection to a file need not be tested before it is used.
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
            let ballast = Ballast::beside(Path::new(path));
            Ok(Self::Sqlite {
                writer,
                readers,
                ballast,
                file: CatalogFile::opened(Path::new(path))?,
            })
        } else {
            Ok(Self::Postgres(postgres::open(url, connections).await?))
        }
    }

    // The futures of PostgreSQL's connections are boxed in these methods, because nearly every other future contains
    // one of them: otherwise dozens would be larger than Clippy's limit (CONTRIBUTING.md).

    /// Begins a transaction that sees a single state of the database.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        count(READ);
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(HeldFile::InTransaction(readers.begin().await?)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Box::pin(postgres::begin_reading(pool)).await?).into()
            }
        })
    }

    /// Returns a connection for one statement that reads. Two statements might see different states of the database.
    pub async fn look(&self) -> Result<Tx, StorageError> {
        count(READ);
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(HeldFile::Bare(readers.acquire().await?)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Held::bare(Box::pin(postgres::acquire(pool)).await?)).into()
            }
        })
    }

    /// Begins a transaction that changes rows. Returns `SpaceReserved` on a full disk.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        self.write_for(Purpose::Change).await
    }

    /// Begins a transaction that frees disk space or locks a caller out, which is possible on a full disk, too.
    pub async fn write_to_free(&self) -> Result<Tx, StorageError> {
        self.write_for(Purpose::Freeing).await
    }

    /// Begins a transaction for the given purpose. On SQLite it takes the write lock at once: a transaction that reads
    /// first and asks for the lock later fails if another has written in between.
    pub async fn write_for(&self, purpose: Purpose) -> Result<Tx, StorageError> {
        count(WRITE);
        Ok(match self {
            Self::Sqlite { writer, ballast, file, .. } => {
                file.must_be_there()?;
                check(ballast, purpose)?;
                let begun = writer.begin_with("begin immediate").await?;
                // The transactions before it in the queue have written meanwhile.
                check(ballast, purpose)?;
                Either::Sqlite(HeldFile::InTransaction(begun)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Box::pin(postgres::begin_writing(pool)).await?).into()
            }
        })
    }

    /// Keeps other servers from using the same SQLite catalog, because they would not know of each other. PostgreSQL is
    /// made for several.
    pub fn hold_for_server(&self) -> Result<Option<std::fs::File>, StorageError> {
        match self {
            Self::Sqlite { file, .. } => file.hold().map(Some),
            Self::Postgres(_) => Ok(None),
        }
    }

    /// Returns `SpaceReserved` if changes are refused because of a full disk.
    pub fn check_free_space(&self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite { ballast, .. } => check(ballast, Purpose::Change),
            Self::Postgres(_) => Ok(()),
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

fn check(ballast: &Ballast, purpose: Purpose) -> Result<(), StorageError> {
    match (ballast.look(), purpose) {
        (DiskSpace::ForFreeing { free }, Purpose::Change) => {
            Err(StorageError::SpaceReserved { free })
        }
        _ => Ok(()),
    }
}
