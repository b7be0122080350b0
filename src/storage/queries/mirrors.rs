//! The record of mirrors. It is small (`catalog::fleet::mirrors` limits it), so lists and counts read the whole table.

use sqlx::types::Json;

use super::like::like;
use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{IdPattern, Mirror};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Mirror`] is read from.
macro_rules! mirror_columns {
    ($name:ident) => {
        columns!(
            $name: name, kind, version, channels, bytes, bytes_missing, error, reported_by, reported_at
        )
    };
}
#[cfg(test)]
pub(super) use mirror_columns;

impl Tx {
    pub async fn mirror(&mut self, name_key: &str) -> Result<Option<Mirror>, StorageError> {
        let query = concat!("select ", mirror_columns!(mirror), " from mirror where name_key = $1");
        optional!(self, query, name_key)
    }

    /// Lists mirrors after a name's key, in the order of the keys. Without a pattern, all names match.
    pub async fn mirrors_after(
        &mut self,
        names: Option<&IdPattern>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Mirror>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                mirror_columns!(mirror),
                " from mirror where name_key collate \"C\" > $1 and name_key like $2 escape '\\' \
                 order by name_key collate \"C\" limit $3"
            ),
            after,
            like(names.map_or("*", IdPattern::as_str)),
            limit
        )
    }

    /// Writes what a mirror tells, in place of what it told before.
    pub async fn put_mirror(&mut self, mirror: &Mirror) -> Result<(), StorageError> {
        insert!(self, "mirror", {
            name_key: mirror.name.key(),
            name: &mirror.name,
            kind: mirror.kind,
            version: &mirror.version,
            channels: Json(&mirror.channels),
            bytes: mirror.bytes,
            bytes_missing: mirror.bytes_missing,
            error: &mirror.error,
            reported_by: &mirror.reported_by,
            reported_at: mirror.reported_at,
        }, " on conflict (name_key) do update set name = excluded.name, kind = excluded.kind, \
            version = excluded.version, channels = excluded.channels, bytes = excluded.bytes, \
            bytes_missing = excluded.bytes_missing, error = excluded.error, \
            reported_by = excluded.reported_by, reported_at = excluded.reported_at")?;
        Ok(())
    }

    pub async fn count_mirrors(&mut self) -> Result<i64, StorageError> {
        value!(self, "select count(*) from mirror")
    }

    /// Deletes a mirror. Returns whether it was there.
    pub async fn delete_mirror(&mut self, name_key: &str) -> Result<bool, StorageError> {
        Ok(execute!(self, "delete from mirror where name_key = $1", name_key)? > 0)
    }

    /// Deletes the mirrors that told nothing for the longest time, except one.
    pub async fn delete_silent_mirrors(
        &mut self,
        count: i64,
        except_key: &str,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from mirror where name_key in \
             (select name_key from mirror where name_key <> $1 order by reported_at, name_key limit $2)",
            except_key,
            count
        )?;
        Ok(())
    }
}
