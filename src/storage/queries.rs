//! Every SQL statement, by noun, as methods of [`Tx`](super::db::Tx).
//!
//! A look-up answers `Option`; the catalog decides what absence means. Rows come back as the
//! model's records.

pub(super) mod accounts;
pub(super) mod audit;
mod bits_sessions;
mod blobs;
pub(super) mod certificate_mappings;
pub(super) mod changes;
mod channels;
pub(super) mod idempotency;
pub(super) mod images;
mod jobs;
pub(super) mod offers;
mod promotions;
pub(super) mod publications;
pub(super) mod revisions;
pub(super) mod scrub;
pub(super) mod tokens;
pub(super) mod uploads;

/// One row or none.
macro_rules! optional {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_as($sql)$(.bind($bind))*.fetch_optional(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
/// All rows.
macro_rules! all {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_as($sql)$(.bind($bind))*.fetch_all(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
/// How many rows were changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => {
            sqlx::query($sql)$(.bind($bind))*.execute(conn).await.map(|done| done.rows_affected())
        })
        .map_err($crate::storage::StorageError::from)
    };
}
/// The first column of one row, which must be there.
macro_rules! value {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_scalar($sql)$(.bind($bind))*.fetch_one(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
use {all, execute, optional, value};
