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
use crate::storage::ballast::{Ballast, Room};
use crate::storage::error::StorageError;
use crate::storage::instance;

/// SQLite readers beside the one writer. Readers do not block in WAL mode; more than cores gain nothing.
const SQLITE_READERS: u32 = 4;

/// What SQLite's log keeps of its file when it is used anew: what it takes as a rule.
const LOG_KEPT: &str = "4194304";

/// What a transaction that changes rows is for, as far as that counts on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Refused where the disk of SQLite's catalog is full.
    Change,
    /// Frees room, shuts somebody out, or does what that needs. Also what changes a row in its place, such as who is at
    /// which work: refused, it would keep those waiting who free room.
    Freeing,
}

/// The database, SQLite or PostgreSQL.
#[derive(Clone)]
pub enum Db {
    /// SQLite has one writer at a time: one connection that all changes queue for is fair, where
    /// several would fight for the file's lock.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        ballast: Ballast,
        file: CatalogFile,
    },
    Postgres(PgPool),
}

impl Db {
    /// Whether several servers may be on it; SQLite has [one](Self::hold_for_server).
    pub const fn may_be_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Whether an address is understood; nobody is asked.
    pub fn check_url(url: &str) -> Result<(), StorageError> {
        if url.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()) {
            return Ok(());
        }
        postgres_url::options(url).map(drop)
    }

    /// Opens `sqlite:PATH` (the file is made if absent) or `postgres://…` with so many connections at most.
    pub async fn open(url: &str, connections: u32) -> Result<Self, StorageError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            instance::make_private_file(Path::new(path))?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .foreign_keys(true)
                // One large change, and the log would have its size for good.
                .pragma("journal_size_limit", LOG_KEPT)
                .journal_mode(SqliteJournalMode::Wal)
                // A commit that was acknowledged survives a power cut; NORMAL would lose the last ones.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(PATIENCE)
                // The name that PostgreSQL has for the order of bytes, which is SQLite's own: one text for both.
                .collation("C", str::cmp)
                .disable_statement_logging();
            if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
                // Before the first table, and only then: said to a file that has some, it writes with each connection.
                let new = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
                new.connect().await?.close().await?;
            }
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

    /// A transaction that reads one moment of the database.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(HeldFile::InTransaction(readers.begin().await?)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Box::pin(postgres::begin_reading(pool)).await?).into()
            }
        })
    }

    /// For one statement that reads. Of two, each would see another moment.
    pub async fn look(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                Either::Sqlite(HeldFile::Bare(readers.acquire().await?)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Held::bare(Box::pin(postgres::acquire(pool)).await?)).into()
            }
        })
    }

    /// A transaction that changes rows; `RoomKept` on a full disk.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        self.write_for(Purpose::Change).await
    }

    /// The same for what frees room or shuts somebody out, which is taken on a full disk, too.
    pub async fn write_to_free(&self) -> Result<Tx, StorageError> {
        self.write_for(Purpose::Freeing).await
    }

    /// On SQLite it takes the write lock at once: a transaction that read first and asked for the lock later would fail
    /// when another had written in between.
    pub async fn write_for(&self, purpose: Purpose) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { writer, ballast, file, .. } => {
                file.must_be_there()?;
                check(ballast, purpose)?;
                let begun = writer.begin_with("begin immediate").await?;
                // Those who were before it in the queue have written meanwhile.
                check(ballast, purpose)?;
                Either::Sqlite(HeldFile::InTransaction(begun)).into()
            }
            Self::Postgres(pool) => {
                Either::Postgres(Box::pin(postgres::begin_writing(pool)).await?).into()
            }
        })
    }

    /// Keeps other servers from the same catalog, where two would not know of each other; PostgreSQL is made for several.
    pub fn hold_for_server(&self) -> Result<Option<std::fs::File>, StorageError> {
        match self {
            Self::Sqlite { file, .. } => file.hold().map(Some),
            Self::Postgres(_) => Ok(None),
        }
    }

    /// `RoomKept` where changes are refused for a full disk.
    pub fn check_room(&self) -> Result<(), StorageError> {
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
        (Room::ForFreeing { free }, Purpose::Change) => Err(StorageError::RoomKept { free }),
        _ => Ok(()),
    }
}
