//! The two databases behind one type: one SQL text serves SQLite and PostgreSQL.
//!
//! A [`Tx`] is the only way to a row. [`Db::read`] gives one that sees a single moment, [`Db::look`] one
//! for a single statement, which is a moment by itself; [`Db::write`] gives one whose changes appear with
//! [`Tx::commit`] or not at all: dropping it rolls back. [`Db::write_to_free`] is for what frees room or shuts somebody
//! out, which goes on a full disk, too. The queries themselves are methods of `Tx`, in `queries/`, by noun.
//!
//! `database` opens the pools and begins transactions, `postgres` and `catalog_file` know what either database needs
//! besides, `transaction` is one, on a connection that is `held`, `compaction` gives the disk back what SQLite does not need any more, `migrations` brings the
//! schema up to date
//! by the files of `migration_list`, `news` tells of other processes' changes.
//! `try_write` says whether changes could be made.
//!
//! Rejected: `sqlx::Any` (knows neither UUIDs nor times), a trait with an implementation for each
//! database (they drift apart). Every query runs in the tests on both.

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

/// How long a caller waits for a connection or for SQLite's write lock before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections to PostgreSQL where nothing is said.
pub const CONNECTIONS: u32 = 16;

pub use self::database::{Db, Purpose};
pub(super) use self::held::in_time;
pub use self::migration_list::newest_schema;
pub(super) use self::news::CHANNEL;
pub use self::news::News;
pub use self::transaction::Tx;
pub(super) use self::transaction::{Either, on, stream_on};
