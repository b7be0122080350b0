//! The two databases behind one type: the same SQL text serves SQLite and PostgreSQL.
//!
//! A [`Tx`] is the only way to a row. [`Db::read`] returns one that sees a single state of the database, and
//! [`Db::look`] one for a single statement, which needs no transaction for that. [`Db::write`] returns one whose
//! changes appear with [`Tx::commit`] or not at all: dropping it rolls back. [`Db::write_to_free`] is for changes that
//! free disk space or lock a caller out, which are possible on a full disk, too. The queries themselves are methods of
//! `Tx` in `queries/`, grouped by noun.
//!
//! `database` opens the pools and begins transactions, and `postgres` and `catalog_file` contain what only one of the
//! databases needs. `transaction` is a transaction, in PostgreSQL on a connection from `held`. `compaction` gives disk
//! space back that SQLite does not need any more. `migrations` brings the schema up to date with the files of
//! `migration_list`. `news` reports changes by other processes. `try_write` tests whether changes are possible.
//!
//! Rejected: `sqlx::Any` (knows neither UUIDs nor times), and a trait with an implementation for each database (they
//! drift apart). Every query runs in the tests on both.

mod catalog_file;
mod compaction;
mod database;
mod held;
mod migration_list;
mod migrations;
mod news;
mod postgres;
mod postgres_url;
mod transaction;
mod try_write;

use std::time::Duration;

/// The time that a caller waits for a connection or for SQLite's write lock before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// The default number of connections to PostgreSQL.
pub const CONNECTIONS: u32 = 16;

pub use self::database::{Db, Purpose};
pub(super) use self::held::in_time;
pub use self::migration_list::newest_schema;
pub(super) use self::news::CHANNEL;
pub use self::news::News;
pub use self::transaction::Tx;
pub(super) use self::transaction::{Either, on, stream_on};
