//! Running one SQL statement on the database at hand, by what is wanted of its answer.

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
/// A new row; how many were inserted. Each column stands beside its value, so that none can come to another's place. What
/// else the statement says follows.
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
/// One place for each column.
macro_rules! places {
    ([] [$($spare:literal)*]) => { "" };
    ([$column:ident $($columns:ident)*] [$place:literal $($spare:literal)*]) => {
        concat!($place, $crate::storage::queries::statement::places!([$($columns)*] [$($spare)*]))
    };
}
/// A table's columns for a `select`, with the table's name, or what it goes by in the statement, before each.
///
/// Each table that is read as a record has one list, beside its statements. None selects `*`: servers of this version go
/// on while a later one's migration adds columns.
macro_rules! columns {
    ($name:ident: $first:ident $(, $column:ident)* $(,)?) => {
        concat!(stringify!($name), ".", stringify!($first)$(, ", ", stringify!($name), ".", stringify!($column))*)
    };
}
pub(super) use {all, columns, execute, insert, optional, places, value};
