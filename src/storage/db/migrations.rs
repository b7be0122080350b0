//! The schema, and bringing it up to this program's version. The migrations are in `migration_list`.

use sqlx::migrate::MigrateError;

use super::database::Db;
use super::migration_list::MIGRATIONS;
use crate::storage::error::StorageError;

/// The indexes in byte order, regardless of the language that the database was created for.
const ORDERS: [(&str, &str); 3] = [
    ("image_order", "create index if not exists image_order on image (name_key collate \"C\")"),
    (
        "publication_order",
        "create index if not exists publication_order on publication (path collate \"C\")",
    ),
    (
        "client_record_order",
        "create index if not exists client_record_order on client_record \
         (client_key collate \"C\", image_id, channel_id)",
    ),
];

impl Db {
    /// Reports whether there is a catalog in the database.
    pub async fn has_schema(&self) -> Result<bool, StorageError> {
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
        Ok(known > 0)
    }

    /// Reports whether there is a schema that is older than this program's.
    pub async fn is_behind(&self) -> Result<bool, StorageError> {
        if !self.has_schema().await? {
            return Ok(false);
        }
        let there = self.look().await?.schema_version().await?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        Ok(there > 0 && newest.is_some_and(|newest| there < newest))
    }

    /// Brings the schema up to this program's version. Returns `Unusable` if it is newer, because an older program
    /// would misread it.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let migrated = match self {
            Self::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
            Self::Postgres(pool) => MIGRATIONS.run(pool).await,
        };
        migrated.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StorageError::Unusable(format!(
                "the catalog's schema {version} is newer than this program supports; use the newer program"
            )),
            other => other.into(),
        })?;
        self.make_orders().await?;
        // Read before anything is written: once there is a chain, a start does not have to wait for other changes.
        if self.look().await?.audit_head().await?.is_some_and(|head| head.sequence > 0) {
            return Ok(());
        }
        let mut tx = self.write().await?;
        tx.chain_older_rows().await?;
        tx.commit().await
    }

    /// Creates the indexes that lists are read by. They are not among the migrations, which both databases share:
    /// SQLite orders by bytes anyway, and other programs could not write to a file that names the order `C`.
    async fn make_orders(&self) -> Result<(), StorageError> {
        let Self::Postgres(pool) = self else { return Ok(()) };
        for (name, index) in ORDERS {
            let known = "select count(*) from pg_indexes where schemaname = current_schema() and indexname = $1";
            let known: i64 = sqlx::query_scalar(known).bind(name).fetch_one(pool).await?;
            if known > 0 {
                continue;
            }
            match sqlx::query(index).execute(pool).await.map_err(StorageError::from) {
                // Another replica was faster.
                Err(StorageError::Duplicate) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
