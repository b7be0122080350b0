//! The two databases behind one type: one SQL text serves SQLite and PostgreSQL.
//!
//! A [`Tx`] is the only way to a row. [`Db::read`] gives one that sees a single moment, [`Db::look`] one
//! for a single statement, which is a moment by itself; [`Db::write`] gives one whose changes appear with
//! [`Tx::commit`] or not at all: dropping it rolls back. The queries themselves are methods of `Tx`, in
//! `queries/`, by noun.
//!
//! `database` opens the pools and begins transactions, `transaction` is one, `migrations` brings the schema up to date
//! by the files of `migration_list`, `news` tells of other processes' changes.
//!
//! Rejected: `sqlx::Any` (knows neither UUIDs nor times), a trait with an implementation for each
//! database (they drift apart). Every query runs in the tests on both.

mod database;
mod migration_list;
mod migrations;
mod news;
mod transaction;

pub use self::database::Db;
pub(super) use self::news::CHANNEL;
pub use self::news::News;
pub use self::transaction::Tx;
pub(super) use self::transaction::{Either, on};
