//! Shrinking SQLite's file: unused pages are given back to the file system.
//!
//! Rejected: `vacuum` at regular times, which writes the whole file again, needs as much disk space once more, and lets
//! nobody else write meanwhile. New catalogs are created with `auto_vacuum = incremental`; older ones become so by
//! [`Db::vacuum`]. PostgreSQL does it by itself.

use sqlx::SqlitePool;

use super::database::Db;
use crate::storage::error::StorageError;

/// The largest number of unused pages (of 4 KiB) that are left in the file for new rows.
const MANY: i64 = 1024;

/// The largest share of unused pages, one page in so many, that is left in the file.
const SHARE: i64 = 10;

/// The number of steps in one round; the next round continues.
const STEPS: usize = 256;

/// The value of `pragma auto_vacuum` for the incremental mode.
const INCREMENTAL: i64 = 2;

impl Db {
    /// Gives unused pages back if there are many, and returns how many it gave back. It works in steps of 1 MiB,
    /// between which others can write.
    pub async fn give_pages_back(&self) -> Result<i64, StorageError> {
        let Self::Sqlite { writer, .. } = self else { return Ok(0) };
        let all = number(writer, "pragma page_count").await?;
        let unused = number(writer, "pragma freelist_count").await?;
        let is_possible = number(writer, "pragma auto_vacuum").await? == INCREMENTAL;
        if !is_possible || unused <= MANY.max(all / SHARE) {
            return Ok(0);
        }
        let mut left = unused;
        for _ in 0..STEPS {
            sqlx::query("pragma incremental_vacuum(256)").fetch_all(writer).await?;
            let before = left;
            left = number(writer, "pragma freelist_count").await?;
            if left <= MANY || left >= before {
                break;
            }
        }
        // The file itself becomes shorter only when the log is written into it.
        sqlx::query("pragma wal_checkpoint(passive)").fetch_all(writer).await?;
        Ok(unused - left)
    }

    /// Writes SQLite's file again without any unused page, and so that it shrinks by itself from then on. Needs as much
    /// disk space once more; nobody else can write meanwhile.
    pub async fn vacuum(&self) -> Result<(), StorageError> {
        let Self::Sqlite { writer, .. } = self else {
            return Err(StorageError::Unusable(
                "PostgreSQL maintains its files itself: there is nothing to vacuum".to_owned(),
            ));
        };
        self.check_free_space()?;
        let mut connection = writer.acquire().await?;
        // For a catalog that was created without it.
        sqlx::query("pragma auto_vacuum = incremental").execute(&mut *connection).await?;
        sqlx::query("vacuum").execute(&mut *connection).await?;
        drop(connection);
        sqlx::query("pragma wal_checkpoint(truncate)").fetch_all(writer).await?;
        Ok(())
    }
}

async fn number(writer: &SqlitePool, pragma: &'static str) -> Result<i64, StorageError> {
    Ok(sqlx::query_scalar(pragma).fetch_one(writer).await?)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::storage::db::CONNECTIONS;

    /// A statement that inserts 32 MB.
    const FILL: &str = "insert into filler (text) \
        with recursive count(n) as (select 1 union all select n + 1 from count where n < 16000) \
        select hex(randomblob(1000)) from count";

    async fn execute(db: &Db, sql: &'static str) {
        let Db::Sqlite { writer, .. } = db else { unreachable!("opened so") };
        sqlx::query(sql).execute(writer).await.unwrap();
    }

    async fn fill_and_empty(db: &Db) {
        execute(db, "create table if not exists filler (text text)").await;
        execute(db, FILL).await;
        execute(db, "delete from filler").await;
    }

    #[tokio::test]
    async fn a_new_catalog_becomes_smaller_when_its_rows_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let db = Db::open(&format!("sqlite:{}", path.display()), CONNECTIONS).await.unwrap();
        fill_and_empty(&db).await;
        assert!(db.give_pages_back().await.unwrap() > 5000);
        let bytes = path.metadata().unwrap().len();
        assert!(bytes < 8 << 20, "{bytes} bytes");
        assert_eq!(db.give_pages_back().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_older_one_does_so_after_a_vacuum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut older = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("create table older (id bigint)").execute(&mut older).await.unwrap();
        older.close().await.unwrap();
        let db = Db::open(&format!("sqlite:{}", path.display()), CONNECTIONS).await.unwrap();
        fill_and_empty(&db).await;
        assert_eq!(db.give_pages_back().await.unwrap(), 0);
        db.vacuum().await.unwrap();
        assert!(path.metadata().unwrap().len() < 1 << 20);
        fill_and_empty(&db).await;
        assert!(db.give_pages_back().await.unwrap() > 5000);
    }
}
