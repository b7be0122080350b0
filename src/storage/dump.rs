//! The catalog's rows as text, one JSON object a line, the same from either database: for backups, and for moving from
//! one database to the other.
//!
//! The columns are read from the database and not listed here, so that a new one is included. Rows that are temporary
//! (uploads in progress, holders of jobs) or belong to one place (the tree's contents, its backups) are left out.

mod forms;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::Tx;
use super::db::{Either, in_time, on, stream_on};
use super::error::StorageError;

/// The tables that are included, in an order in which their rows may be inserted.
pub const TABLES: [&str; 27] = [
    "catalog_state",
    "image",
    "revision",
    "blob",
    "file",
    "transfer_file",
    "channel",
    "promotion",
    "assignment",
    "epoch_floor",
    "pin",
    "pending_promotion",
    "approval",
    "report",
    "progress_point",
    "account",
    "certificate_mapping",
    "signing_key",
    "api_token",
    "webhook",
    "trust_key",
    "trust_number",
    "trust_file",
    "damage",
    "quarantine",
    "audit",
    "audit_head",
];

/// The tables that describe the tree of one place.
pub const OF_TREE: [&str; 4] = ["publication", "published_object", "manifest", "trust_document"];

/// The tables that are left out, because their rows are temporary or belong to one place.
#[cfg(test)]
const LEFT_OUT: [&str; 14] = [
    "upload",
    "blob_part",
    "bits_session",
    "idempotency",
    "job",
    "unread",
    "backup",
    "replica",
    // A fleet writes it anew within one period of its checks.
    "client_record",
    // Each mirror tells it again within a minute.
    "mirror",
    // A restored catalog tells nothing again, and its readers notice that it is another one.
    "event",
    "event_head",
    "webhook_place",
    "delivery",
];

/// The type of a column, in both databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uuid,
    Text,
    Number,
    Truth,
    Time,
    Json,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: Kind,
}

impl Kind {
    /// Parses a column's type: that of the migrations in SQLite, and its full name in PostgreSQL.
    fn of(declared: &str) -> Result<Self, StorageError> {
        Ok(match declared.to_ascii_lowercase().as_str() {
            "uuid" => Self::Uuid,
            "text" => Self::Text,
            "bigint" => Self::Number,
            "boolean" => Self::Truth,
            "timestamptz" | "timestamp with time zone" => Self::Time,
            "jsonb" => Self::Json,
            other => {
                return Err(StorageError::Unusable(format!(
                    "columns of the type {other} are not supported"
                )));
            }
        })
    }
}

/// Reads a column of a row of either database.
macro_rules! read {
    ($row:expr, $index:expr, $kind:expr) => {
        match $kind {
            Kind::Uuid => $row.try_get::<Option<Uuid>, _>($index)?.map(|id| id.to_string().into()),
            Kind::Text => $row.try_get::<Option<String>, _>($index)?.map(Value::from),
            Kind::Number => $row.try_get::<Option<i64>, _>($index)?.map(Value::from),
            Kind::Truth => $row.try_get::<Option<bool>, _>($index)?.map(Value::from),
            Kind::Time => $row
                .try_get::<Option<DateTime<Utc>>, _>($index)?
                .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true).into()),
            Kind::Json => $row.try_get::<Option<Json<Value>>, _>($index)?.map(|json| json.0),
        }
    };
}

/// Binds a value to a query of either database.
macro_rules! bind {
    ($query:expr, $kind:expr, $value:expr, $place:expr) => {
        match $kind {
            Kind::Uuid => $query.bind(parsed::<Uuid>($value, $place)?),
            Kind::Text => $query.bind($value.as_str().map(str::to_owned)),
            Kind::Number => $query.bind($value.as_i64()),
            Kind::Truth => $query.bind($value.as_bool()),
            Kind::Time => $query.bind(parsed::<DateTime<Utc>>($value, $place)?),
            Kind::Json => $query.bind((!$value.is_null()).then(|| Json($value.clone()))),
        }
    };
}

/// Parses a value. `place` is the table and the column. The error does not contain the value, which may be anything.
fn parsed<T: std::str::FromStr>(
    value: &Value,
    (table, column): (&str, &str),
) -> Result<Option<T>, StorageError> {
    let Some(text) = value.as_str() else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| damaged(&format!("{table}.{column} does not have the column's type")))
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("a row of the backup cannot be read: {what}"))
}

/// Refuses a line with a row that this program would not write, and names the column.
pub fn must_be_ours(line: &Value) -> Result<(), StorageError> {
    let table = line["table"].as_str().ok_or_else(|| damaged("it names no table"))?;
    must_fit(table, line["row"].as_object().ok_or_else(|| damaged("it has no values"))?)
}

fn must_fit(table: &str, row: &Map<String, Value>) -> Result<(), StorageError> {
    match forms::misfit(table, row) {
        Some((column, rule)) => Err(damaged(&format!("{table}.{column} is not {rule}"))),
        None => Ok(()),
    }
}

/// The choice whether to include the rows that describe the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeRows {
    /// Includes them, because the tree stays the same.
    Carried,
    LeftOut,
}

/// The condition that a blob is one of a file.
macro_rules! is_of_file {
    () => {
        "exists (select 1 from file where file.blob_id = blob.id)"
    };
}

/// The condition that a blob is one of a transfer file.
macro_rules! is_of_transfer_file {
    () => {
        "exists (select 1 from transfer_file where transfer_file.blob_id = blob.id)"
    };
}

/// Returns the condition for the rows to include, if not all are. A schema from before there were transfer files has
/// not their table.
fn filter(table: &str, tree: TreeRows, has_transfer_files: bool) -> &'static str {
    match (table, has_transfer_files) {
        // Includes blobs that were given up and are still in the tree for their grace.
        ("blob", true) if tree == TreeRows::Carried => concat!(
            " where (state = 'stored' and (",
            is_of_file!(),
            " or ",
            is_of_transfer_file!(),
            ")) or exists (select 1 from publication where publication.blob_id = blob.id)"
        ),
        ("blob", true) => concat!(
            " where state = 'stored' and (",
            is_of_file!(),
            " or ",
            is_of_transfer_file!(),
            ")"
        ),
        ("blob", false) => concat!(" where state = 'stored' and ", is_of_file!()),
        _ => filter_of_others(table, tree),
    }
}

fn filter_of_others(table: &str, tree: TreeRows) -> &'static str {
    match table {
        // Keys that are elsewhere cannot sign anew what stays the same.
        "trust_file" if tree == TreeRows::Carried => {
            " where trust_role = 'root' \
             or (superseded_at is null and trust_role not in ('snapshot', 'timestamp'))"
        }
        // All others are signed anew, with higher numbers.
        "trust_file" => " where trust_role = 'root'",
        "damage" => " where exists (select 1 from file where file.blob_id = damage.blob_id)",
        _ => "",
    }
}

/// Returns the order of a table's rows, so that the same catalog gives the same text.
fn order(table: &str) -> &'static str {
    match table {
        "file" => "revision_id, role",
        "assignment" | "epoch_floor" => "image_id, channel_id",
        "pin" => "image_id, channel_id, client_key collate \"C\"",
        "approval" => "pending_id, person collate \"C\"",
        "report" => "promotion_id, client_key collate \"C\"",
        "progress_point" => "promotion_id, at",
        "damage" => "blob_id",
        "quarantine" => "revision_id",
        "publication" | "published_object" | "manifest" | "trust_document" => "path collate \"C\"",
        "trust_number" => "trust_role collate \"C\"",
        "trust_file" => "trust_role collate \"C\", version",
        "trust_key" => "id collate \"C\"",
        "audit" => "sequence, id",
        _ => "id",
    }
}

impl Tx {
    async fn columns(&mut self, table: &str) -> Result<Vec<Column>, StorageError> {
        let sql = match &self.on {
            Either::Sqlite(_) => "select name, type from pragma_table_info($1) order by cid",
            Either::Postgres(_) => {
                "select column_name::text, data_type::text from information_schema.columns \
                 where table_schema = current_schema() and table_name = $1 order by ordinal_position"
            }
        };
        let rows: Vec<(String, String)> =
            on!(self, conn => sqlx::query_as(sql).bind(table).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(name, declared)| Ok(Column { kind: Kind::of(&declared)?, name }))
            .collect()
    }

    /// Passes every row that is included to `take`, as `{"table": …, "row": {…}}`.
    pub async fn dump(
        &mut self,
        tree: TreeRows,
        mut take: impl FnMut(&Value) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let has_transfer_files = !self.columns("transfer_file").await?.is_empty();
        let of_place = OF_TREE.iter().filter(|_| tree == TreeRows::Carried);
        for table in TABLES.iter().chain(of_place).copied() {
            let columns = self.columns(table).await?;
            if columns.is_empty() {
                // An older schema does not have this table yet.
                continue;
            }
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            let mut order = order(table);
            if order == "sequence, id" && !names.contains(&"sequence") {
                // In a schema from before the audit was a chain.
                order = "at, id";
            }
            let (names, filter) = (names.join(", "), filter(table, tree, has_transfer_files));
            let sql = format!("select {names} from {table}{filter} order by {order}");
            stream_on!(self, conn => {
                let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
                while let Some(row) = in_time(rows.try_next()).await? {
                    let mut fields = Map::new();
                    for (index, column) in columns.iter().enumerate() {
                        let value: Option<Value> = read!(row, index, column.kind);
                        fields.insert(column.name.clone(), value.unwrap_or_default());
                    }
                    take(&serde_json::json!({"table": table, "row": fields}))?;
                }
            });
        }
        Ok(())
    }

    /// Deletes all rows of the tables, such as those that the first migration inserts, before rows are loaded.
    pub async fn clear_for_load(&mut self) -> Result<(), StorageError> {
        for table in TABLES.iter().chain(&OF_TREE).rev() {
            let sql = format!("delete from {table}");
            on!(self, conn => sqlx::query(AssertSqlSafe(sql)).execute(conn).await.map(drop))?;
        }
        Ok(())
    }

    /// Inserts a row that [`Self::dump`] has returned.
    pub async fn load(&mut self, loader: &mut Loader, line: &Value) -> Result<(), StorageError> {
        let table = line["table"].as_str().ok_or_else(|| damaged("it names no table"))?;
        let table = TABLES.into_iter().chain(OF_TREE).find(|known| *known == table);
        let table = table.ok_or_else(|| damaged("its table is not known"))?;
        if loader.table != Some(table) {
            *loader = Loader { table: Some(table), columns: self.columns(table).await? };
        }
        let row = line["row"].as_object().ok_or_else(|| damaged("it has no values"))?;
        must_fit(table, row)?;
        if let Some(unknown) =
            row.keys().find(|name| !loader.columns.iter().any(|column| column.name == **name))
        {
            return Err(damaged(&format!(
                "{table} has no column {unknown}; use the newer program"
            )));
        }
        // A backup of an older program has fewer columns; the missing ones have a default.
        let columns: Vec<_> =
            loader.columns.iter().filter(|column| row.contains_key(&column.name)).collect();
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let places: Vec<_> = (1..=columns.len()).map(|place| format!("${place}")).collect();
        let (names, places) = (names.join(", "), places.join(", "));
        let sql = format!("insert into {table} ({names}) values ({places})");
        stream_on!(self, conn => {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for column in columns {
                query = bind!(query, column.kind, &row[&column.name], (table, &column.name));
            }
            in_time(query.execute(conn)).await.map(drop)?;
        });
        Ok(())
    }
}

/// The table that rows are being loaded into.
#[derive(Debug, Default)]
pub struct Loader {
    table: Option<&'static str>,
    columns: Vec<Column>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::storage::Db;

    #[tokio::test]
    async fn every_table_is_carried_or_left_out_on_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let db = Db::open(&format!("sqlite:{}", path.display()), crate::storage::CONNECTIONS)
            .await
            .unwrap();
        db.migrate().await.unwrap();
        let Db::Sqlite { readers, .. } = &db else { unreachable!("opened so") };
        let sql = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' \
                   and name <> '_sqlx_migrations'";
        let there: Vec<String> = sqlx::query_scalar(sql).fetch_all(readers).await.unwrap();
        let there: BTreeSet<_> = there.iter().map(String::as_str).collect();
        let known = TABLES.into_iter().chain(OF_TREE).chain(LEFT_OUT);
        assert_eq!(there, known.collect::<BTreeSet<_>>());
    }
}
