//! Blobs: reservations for bytes that arrive, stored bytes, and garbage.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, execute, insert, optional, value};
use super::upload_writers::Progress;
use crate::model::{Blob, BlobState};
use crate::storage::db::Either;
use crate::storage::{StorageError, Tx};

impl Tx {
    /// Reserves `size` bytes for a blob that is about to arrive.
    pub async fn insert_arriving_blob(
        &mut self,
        id: Uuid,
        key: &str,
        size: i64,
        instance: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        insert!(self, "blob", {
            id: id,
            key: key,
            state: BlobState::Arriving,
            size: size,
            received: 0_i64,
            instance: instance,
            created_at: now,
            updated_at: now,
        })?;
        Ok(())
    }

    /// Returns the bytes that are reserved for uploads in progress and are not on the disk yet.
    pub async fn reserved_bytes(&mut self) -> Result<i64, StorageError> {
        // sum() of bigints is numeric on PostgreSQL. SQLite uses the partial index on blobs that are not stored only
        // for a query that contains exactly the index's condition, here and below.
        value!(
            self,
            "select cast(coalesce(sum(size - received), 0) as bigint) from blob \
             where state = 'arriving' and state <> 'stored'"
        )
    }

    /// Returns the bytes that one caller's uploads have reserved, and how many of them have arrived. None of these are
    /// files yet.
    pub async fn reserved_by(&mut self, creator: &str) -> Result<(i64, i64), StorageError> {
        let row: Option<(i64, i64)> = optional!(
            self,
            "select cast(coalesce(sum(b.size), 0) as bigint), cast(coalesce(sum(b.received), 0) as bigint) \
             from upload u join blob b on b.id = u.blob_id where u.created_by = $1 and u.state = 'receiving'",
            creator
        )?;
        Ok(row.unwrap_or_default())
    }

    /// Lets one transaction at a time compare the free space with the reservations. SQLite has only one writer anyway.
    pub async fn lock_reservations(&mut self) -> Result<(), StorageError> {
        const RESERVATIONS: i64 = 0x696d_6467_0001;
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select pg_advisory_xact_lock($1)").bind(RESERVATIONS)).await?;
        }
        Ok(())
    }

    /// Records progress, and reports whether the reservation still exists.
    pub(super) async fn note_kept(
        &mut self,
        id: Uuid,
        progress: &Progress<'_>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update blob set received = $2, tail = $3, updated_at = $4 where id = $1 and state = 'arriving'",
            id,
            progress.received,
            progress.tail,
            progress.now
        )?;
        for (number, part) in &progress.parts {
            execute!(
                self,
                "insert into blob_part (blob_id, number, part) values ($1, $2, $3) \
                 on conflict (blob_id, number) do update set part = excluded.part",
                id,
                number,
                part
            )?;
        }
        Ok(changed == 1)
    }

    /// Lists the parts of a blob in a bucket, in their order: number and id.
    pub async fn parts_of(&mut self, id: Uuid) -> Result<Vec<(i64, String)>, StorageError> {
        all!(self, "select number, part from blob_part where blob_id = $1 order by number", id)
    }

    /// Marks a blob as stored, and reports whether its reservation still existed.
    pub async fn settle_blob(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update blob set state = 'stored', received = size, multipart = null, part_size = null, tail = null, \
             updated_at = $2 where id = $1 and state = 'arriving'",
            id,
            now
        )?;
        execute!(self, "delete from blob_part where blob_id = $1", id)?;
        Ok(changed == 1)
    }

    /// Gives up a blob that neither a file nor a transfer file refers to any more; a shared one stays. Its bytes are deleted after `remove_after`.
    pub async fn discard_blob(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
        remove_after: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update blob set state = 'garbage', updated_at = $2, remove_after = $3 where id = $1 \
             and not exists (select 1 from file where file.blob_id = blob.id) \
             and not exists (select 1 from transfer_file t where t.blob_id = blob.id)",
            id,
            now,
            remove_after
        )?;
        Ok(())
    }

    /// Gives up bytes that were arriving. A blob that was stored meanwhile stays: a commit whose result was lost may
    /// have made it the blob of a file.
    pub async fn discard_arriving(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update blob set state = 'garbage', updated_at = $2 where id = $1 and state = 'arriving'",
            id,
            now
        )?;
        Ok(())
    }

    /// Makes garbage of the reservations without an upload session that a stopped server of this instance left, and
    /// returns how many there were.
    pub async fn discard_arriving_of(
        &mut self,
        instance: Uuid,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "update blob set state = 'garbage', updated_at = $2 where state = 'arriving' and state <> 'stored' and instance = $1 \
             and not exists (select 1 from upload where upload.blob_id = blob.id)",
            instance,
            now
        )
    }

    /// Makes garbage of the reservations of any instance that have no upload session and made no progress since
    /// `idle_since`: their writer must be gone.
    pub async fn discard_arriving_before(
        &mut self,
        idle_since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "update blob set state = 'garbage', updated_at = $2 where state = 'arriving' and state <> 'stored' and updated_at < $1 \
             and not exists (select 1 from upload where upload.blob_id = blob.id)",
            idle_since,
            now
        )
    }

    /// Reports whether a blob with this key is growing.
    pub async fn is_arriving(&mut self, key: &str) -> Result<bool, StorageError> {
        let found: i64 =
            value!(self, "select count(*) from blob where key = $1 and state = 'arriving'", key)?;
        Ok(found > 0)
    }

    /// Lists garbage that is due at `due` and that no file in the tree was made from. What was tried last comes at the
    /// end.
    pub async fn removable_blobs(
        &mut self,
        due: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Blob>, StorageError> {
        all!(
            self,
            "select id, key, state, size, multipart from blob where state = 'garbage' and state <> 'stored' \
             and (remove_after is null or remove_after <= $1) \
             and not exists (select 1 from publication p where p.blob_id = blob.id) \
             order by updated_at, id limit $2",
            due,
            limit
        )
    }

    pub async fn blob(&mut self, id: Uuid) -> Result<Option<Blob>, StorageError> {
        optional!(self, "select id, key, state, size, multipart from blob where id = $1", id)
    }

    /// Lists the sizes of all garbage.
    pub async fn garbage(&mut self) -> Result<Vec<u64>, StorageError> {
        let sizes: Vec<(i64,)> =
            all!(self, "select size from blob where state = 'garbage' and state <> 'stored'")?;
        Ok(sizes.into_iter().map(|(size,)| size.unsigned_abs()).collect())
    }

    /// Lists the keys of all blobs in any state, and whether their bytes are expected to exist. Bytes that are known to
    /// be damaged are not.
    pub async fn blob_keys(&mut self) -> Result<Vec<(String, bool)>, StorageError> {
        all!(
            self,
            "select b.key, b.state = 'stored' and d.blob_id is null \
             from blob b left join damage d on d.blob_id = b.id"
        )
    }

    /// Counts the files whose blob is not complete or was given up. There must be none.
    pub async fn count_files_without_blob(&mut self) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from file f join blob b on b.id = f.blob_id where b.state <> 'stored'"
        )
    }

    /// Lists the revisions that have the blob among their files.
    pub async fn revisions_with_blob(&mut self, id: Uuid) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(self, "select distinct revision_id from file where blob_id = $1", id)
    }

    /// Records stored bytes that no row knew as garbage, and reports whether they were still unknown.
    pub async fn insert_orphan(
        &mut self,
        id: Uuid,
        key: &str,
        size: i64,
        now: DateTime<Utc>,
        remove_after: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let inserted = insert!(self, "blob", {
            id: id,
            key: key,
            state: BlobState::Garbage,
            size: size,
            received: 0_i64,
            instance: Uuid::nil(),
            created_at: now,
            updated_at: now,
            remove_after: remove_after,
        }, " on conflict (key) do nothing")?;
        Ok(inserted == 1)
    }

    /// Puts garbage that could not be removed behind the rest.
    pub async fn postpone_garbage(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update blob set updated_at = $2 where id = $1 and state = 'garbage'",
            id,
            now
        )?;
        Ok(())
    }

    /// Deletes the row of a garbage blob whose bytes are gone.
    pub async fn delete_blob(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from blob_part where blob_id = \
             (select id from blob where id = $1 and state = 'garbage')",
            id
        )?;
        execute!(
            self,
            "delete from damage where blob_id = (select id from blob where id = $1 and state = 'garbage')",
            id
        )?;
        execute!(
            self,
            "delete from unread where blob_id = (select id from blob where id = $1 and state = 'garbage')",
            id
        )?;
        execute!(self, "delete from blob where id = $1 and state = 'garbage'", id)?;
        Ok(())
    }
}
