//! The signed metadata of the tree, and its keys.

use chrono::{DateTime, Utc};

use super::statement::{all, columns, execute, insert, optional};
use crate::model::Digest;
use crate::model::row::from_row;
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`TrustRow`] is read from.
macro_rules! trust_file_columns {
    ($name:ident) => {
        columns!($name: trust_role, version, content, digest, meaning, expires_at)
    };
}
#[cfg(test)]
pub(super) use trust_file_columns;

/// A signed file.
#[derive(Debug, Clone)]
pub struct TrustRow {
    pub trust_role: String,
    pub version: i64,
    pub content: String,
    pub digest: Digest,
    pub meaning: Digest,
    pub expires_at: DateTime<Utc>,
}

from_row!(TrustRow { trust_role, version, content, digest, meaning, expires_at });

impl Tx {
    /// Lists the files in force that came after a version of the catalog.
    pub async fn trust_files_after(&mut self, version: i64) -> Result<Vec<TrustRow>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                trust_file_columns!(trust_file),
                " from trust_file where superseded_at is null and changed_in > $1"
            ),
            version
        )
    }

    /// Returns one file, in force or older.
    pub async fn trust_file(
        &mut self,
        role: &str,
        version: i64,
    ) -> Result<Option<TrustRow>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                trust_file_columns!(trust_file),
                " from trust_file where trust_role = $1 and version = $2"
            ),
            role,
            version
        )
    }

    /// Lists the roles and versions of all files.
    pub async fn trust_file_names(&mut self) -> Result<Vec<(String, i64)>, StorageError> {
        all!(self, "select trust_role, version from trust_file order by trust_role, version")
    }

    /// Lists all roots, oldest first.
    pub async fn trust_roots(&mut self) -> Result<Vec<TrustRow>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                trust_file_columns!(trust_file),
                " from trust_file where trust_role = 'root' order by version"
            )
        )
    }

    /// Lists the highest number of each role.
    pub async fn trust_numbers(&mut self) -> Result<Vec<(String, i64)>, StorageError> {
        all!(self, "select trust_role, version from trust_number")
    }

    /// Sets the timestamp's number, and reports whether it was still the expected one (none: there was none). Of two
    /// signings at once, the second waits here for the first, and then fails.
    pub async fn draw_timestamp_number(
        &mut self,
        expected: Option<i64>,
        next: i64,
    ) -> Result<bool, StorageError> {
        let changed = match expected {
            Some(expected) => execute!(
                self,
                "update trust_number set version = $2 where trust_role = 'timestamp' and version = $1",
                expected,
                next
            )?,
            None => execute!(
                self,
                "insert into trust_number (trust_role, version) values ('timestamp', $1) \
                 on conflict (trust_role) do nothing",
                next
            )?,
        };
        Ok(changed == 1)
    }

    pub async fn insert_trust_file(
        &mut self,
        file: &TrustRow,
        changed_in: i64,
    ) -> Result<(), StorageError> {
        insert!(self, "trust_file", {
            trust_role: file.trust_role.as_str(),
            version: file.version,
            content: file.content.as_str(),
            digest: file.digest.to_string(),
            meaning: file.meaning.to_string(),
            expires_at: file.expires_at,
            changed_in: changed_in,
        })?;
        Ok(())
    }

    /// Records that the files that came with a version of the catalog are in force: their numbers are given out, and
    /// files before them are superseded.
    pub async fn settle_trust_files(
        &mut self,
        changed_in: i64,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into trust_number (trust_role, version) \
             select trust_role, max(version) from trust_file where changed_in = $1 group by trust_role \
             on conflict (trust_role) do update set version = excluded.version",
            changed_in
        )?;
        execute!(
            self,
            "update trust_file set superseded_at = $2 where superseded_at is null and exists ( \
                 select 1 from trust_file newer where newer.trust_role = trust_file.trust_role \
                 and newer.version > trust_file.version and newer.changed_in = $1)",
            changed_in,
            now
        )?;
        Ok(())
    }

    /// Deletes files that were superseded before `since`, or before the snapshot of number `oldest`. Roots stay, because
    /// clients follow them one by one.
    pub async fn forget_trust_files(
        &mut self,
        since: DateTime<Utc>,
        oldest: i64,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from trust_file where trust_role <> 'root' and superseded_at is not null \
             and (superseded_at < $1 or superseded_at <= ( \
                 select superseded_at from trust_file where trust_role = 'snapshot' and version = $2))",
            since,
            oldest
        )?;
        Ok(())
    }

    /// Raises all numbers but the root's, whose files follow each other without a gap.
    pub async fn skip_trust_numbers(&mut self, count: i64) -> Result<(), StorageError> {
        execute!(
            self,
            "update trust_number set version = version + $1 where trust_role <> 'root'",
            count
        )?;
        Ok(())
    }

    pub async fn insert_trust_key(
        &mut self,
        id: &str,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        insert!(self, "trust_key", { id: id, secret: secret, created_at: now, })?;
        Ok(())
    }

    /// Lists the secret halves of the keys that are here.
    pub async fn trust_secrets(&mut self) -> Result<Vec<(String, String)>, StorageError> {
        all!(self, "select id, secret from trust_key where secret is not null order by id")
    }

    /// Lists the names of the keys whose secret halves are here.
    pub async fn trust_keys_here(&mut self) -> Result<Vec<(String,)>, StorageError> {
        all!(self, "select id from trust_key where secret is not null")
    }

    /// Lists the documents as keys that are elsewhere have signed them.
    pub async fn trust_documents(&mut self) -> Result<Vec<(String, String)>, StorageError> {
        all!(self, "select path, content from trust_document")
    }

    /// Forgets all signed documents.
    pub async fn clear_trust_documents(&mut self) -> Result<(), StorageError> {
        execute!(self, "delete from trust_document")?;
        Ok(())
    }

    pub async fn insert_trust_document(
        &mut self,
        path: &str,
        content: &str,
    ) -> Result<(), StorageError> {
        insert!(self, "trust_document", { path: path, content: content, })?;
        Ok(())
    }

    /// Deletes the secret half of a key that no role needs any more.
    pub async fn forget_trust_secret(&mut self, id: &str) -> Result<(), StorageError> {
        execute!(self, "update trust_key set secret = null where id = $1", id)?;
        Ok(())
    }
}
