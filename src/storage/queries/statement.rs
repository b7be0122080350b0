//! The macros that run one SQL statement on the database in use, by the kind of answer.

/// Runs a statement and returns one row or none.
macro_rules! optional {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_as($sql)$(.bind($bind))*.fetch_optional(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
/// Runs a statement and returns all rows.
macro_rules! all {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_as($sql)$(.bind($bind))*.fetch_all(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
/// Runs a statement and returns how many rows were changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => {
            sqlx::query($sql)$(.bind($bind))*.execute(conn).await.map(|done| done.rows_affected())
        })
        .map_err($crate::storage::StorageError::from)
    };
}
/// Runs a statement and returns the first column of one row, which must exist.
macro_rules! value {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, conn => sqlx::query_scalar($sql)$(.bind($bind))*.fetch_one(conn).await)
            .map_err($crate::storage::StorageError::from)
    };
}
/// Inserts a row and returns how many were inserted. Each column is written beside its value, so that no value gets
/// into another column. The rest of the statement follows.
macro_rules! insert {
    ($tx:expr, $table:literal, { $($row:tt)+ }) => {
        $crate::storage::queries::statement::insert!($tx, $table, { $($row)+ }, "")
    };
    ($tx:expr, $table:literal, { $first:ident: $value:expr, $($column:ident: $more:expr,)* }, $rest:literal $(,)?) => {
        $crate::storage::queries::statement::execute!(
            $tx,
            concat!(
                "insert into ", $table, " (", stringify!($first) $(, ", ", stringify!($column))*, ") values ($1",
                $crate::storage::queries::statement::places!(
                    [$($column)*]
                    [", $2" ", $3" ", $4" ", $5" ", $6" ", $7" ", $8" ", $9" ", $10" ", $11" ", $12" ", $13" ", $14"
                     ", $15" ", $16" ", $17" ", $18" ", $19" ", $20" ", $21" ", $22" ", $23" ", $24"]
                ),
                ")", $rest
            ),
            $value $(, $more)*
        )
    };
}
/// Lists one placeholder for each column.
macro_rules! places {
    ([] [$($spare:literal)*]) => { "" };
    ([$column:ident $($columns:ident)*] [$place:literal $($spare:literal)*]) => {
        concat!($place, $crate::storage::queries::statement::places!([$($columns)*] [$($spare)*]))
    };
}
/// Lists a table's columns for a `select`, each with the table's name, or its alias in the statement, before it.
///
/// Each table that is read as a record has one list, beside its statements. No statement selects `*`, because servers
/// of this version continue to run while a later version's migration adds columns.
macro_rules! columns {
    ($name:ident: $first:ident $(, $column:ident)* $(,)?) => {
        concat!(stringify!($name), ".", stringify!($first)$(, ", ", stringify!($name), ".", stringify!($column))*)
    };
}
pub(super) use {all, columns, execute, insert, optional, places, value};
