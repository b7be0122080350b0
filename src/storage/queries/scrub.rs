//! The times at which stored bytes were last verified, and the damage that was found.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::statement::{all, execute, optional, value};
use crate::model::{Coverage, DamagedFile, Digest, RevisionState, StoredBlob};
use crate::storage::{StorageError, Tx};

/// The condition that the blob `b` is one of a file or of a transfer file.
macro_rules! is_used {
    () => {
        "(exists (select 1 from file f where f.blob_id = b.id) \
         or exists (select 1 from transfer_file t where t.blob_id = b.id)) "
    };
}

/// Builds a query for [`StoredBlob`], for all blobs that a file or a transfer file refers to.
macro_rules! stored_blobs {
    ($rest:literal) => {
        concat!(
            "select b.id, b.key, b.size, coalesce((select min(f.digest) from file f where f.blob_id = b.id), \
             (select min(t.digest) from transfer_file t where t.blob_id = b.id)) as digest, \
             d.blob_id is not null as is_damaged from blob b left join damage d on d.blob_id = b.id \
             where b.state = 'stored' and ",
            is_used!(),
            $rest
        )
    };
}

/// The blobs that are to be read.
#[derive(Debug, Clone, Copy)]
pub struct ScrubDue {
    /// A blob that was last read before this time is due.
    pub older_than: DateTime<Utc>,
    /// A damaged blob that was last read before this time is due as well.
    pub damaged_before: DateTime<Utc>,
    /// A blob that could not be read since this time is left out.
    pub tried_since: DateTime<Utc>,
    /// The latest credible time of a reading: a later one was written by a clock that has been set back since.
    pub latest: DateTime<Utc>,
}

impl Tx {
    /// Lists blobs that were requested to be read or are due: first the requested ones, then those that have waited
    /// longest.
    pub async fn blobs_to_scrub(
        &mut self,
        due: ScrubDue,
        limit: i64,
    ) -> Result<Vec<StoredBlob>, StorageError> {
        all!(
            self,
            stored_blobs!(
                "and (b.scrub_wanted_at is not null or coalesce(b.verified_at, b.created_at) < $1 \
              or coalesce(b.verified_at, b.created_at) > $4 \
              or (d.blob_id is not null and coalesce(b.verified_at, d.found_at) < $2)) \
             and not exists \
              (select 1 from unread u where u.blob_id = b.id and u.tried_at between $3 and $4) \
             order by case when b.scrub_wanted_at is null then 1 else 0 end, \
             coalesce(b.verified_at, b.created_at), b.id limit $5"
            ),
            due.older_than,
            due.damaged_before,
            due.tried_since,
            due.latest,
            limit
        )
    }

    /// Lists every stored blob that a file or a transfer file refers to, oldest first.
    pub async fn stored_blobs(&mut self) -> Result<Vec<StoredBlob>, StorageError> {
        all!(self, stored_blobs!("order by b.created_at, b.id"))
    }

    /// Marks all stored blobs, or those of one revision or image, as requested to be read, and returns how many.
    pub async fn want_scrub(
        &mut self,
        image: Option<Uuid>,
        revision: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "update blob set scrub_wanted_at = $1 where state = 'stored' and id in \
             (select f.blob_id from file f join revision r on r.id = f.revision_id \
              where ($2 is null or r.image_id = $2) and ($3 is null or r.number = $3) \
              union select t.blob_id from transfer_file t join revision r on r.id = t.revision_id \
              where ($2 is null or r.image_id = $2) and ($3 is null or r.number = $3))",
            now,
            image,
            revision
        )
    }

    /// Records that a blob was read.
    pub async fn note_scrubbed(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update blob set verified_at = $2, scrub_wanted_at = null where id = $1",
            id,
            now
        )?;
        execute!(self, "delete from unread where blob_id = $1", id)?;
        Ok(())
    }

    /// Records that a blob could not be read.
    pub async fn note_unread(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into unread (blob_id, tried_at) values ($1, $2) \
             on conflict (blob_id) do update set tried_at = excluded.tried_at",
            id,
            now
        )?;
        Ok(())
    }

    /// Counts the blobs that could not be read since `since`.
    pub async fn count_unread(&mut self, since: DateTime<Utc>) -> Result<i64, StorageError> {
        value!(self, "select count(*) from unread where tried_at >= $1", since)
    }

    /// Returns the time since which every blob was read at least once, or has arrived; none if there are no blobs.
    pub async fn oldest_reading(&mut self) -> Result<Option<DateTime<Utc>>, StorageError> {
        let oldest: Vec<(DateTime<Utc>,)> = all!(
            self,
            concat!(
                "select coalesce(b.verified_at, b.created_at) from blob b where b.state = 'stored' and ",
                is_used!(),
                "order by coalesce(b.verified_at, b.created_at) limit 1"
            )
        )?;
        Ok(oldest.first().map(|(oldest,)| *oldest))
    }

    pub async fn insert_damage(
        &mut self,
        blob: Uuid,
        what: &str,
        rescue_until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into damage (blob_id, found_at, what, rescue_until) values ($1, $2, $3, $4) \
             on conflict (blob_id) do update set what = excluded.what",
            blob,
            now,
            what,
            rescue_until
        )?;
        Ok(())
    }

    /// Ends the rescue of a blob: the copies of it in the tree are of no use.
    pub async fn end_rescue(&mut self, blob: Uuid) -> Result<(), StorageError> {
        execute!(self, "update damage set rescue_until = null where blob_id = $1", blob)?;
        Ok(())
    }

    pub async fn delete_damage(&mut self, blob: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from damage where blob_id = $1", blob)?;
        Ok(())
    }

    pub async fn is_damaged(&mut self, blob: Uuid) -> Result<bool, StorageError> {
        let found: i64 = value!(self, "select count(*) from damage where blob_id = $1", blob)?;
        Ok(found > 0)
    }

    /// Lists every file whose bytes are damaged, in the order of images, revisions and roles.
    pub async fn damaged_files(&mut self) -> Result<Vec<DamagedFile>, StorageError> {
        all!(
            self,
            "select d.blob_id, b.key as blob_key, i.name as image, r.number as revision, r.id as revision_id, \
             f.role, f.size, f.digest, d.found_at, d.what from damage d join blob b on b.id = d.blob_id \
             join file f on f.blob_id = d.blob_id join revision r on r.id = f.revision_id \
             join image i on i.id = r.image_id order by i.name_key collate \"C\", r.number, f.role"
        )
    }

    /// Lists the damaged blobs of an image that have the given bytes, except for one.
    pub async fn damaged_twins(
        &mut self,
        image: Uuid,
        digest: &Digest,
        size: i64,
        but: Uuid,
    ) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(
            self,
            "select distinct d.blob_id from damage d join file f on f.blob_id = d.blob_id \
             join revision r on r.id = f.revision_id \
             where r.image_id = $1 and f.digest = $2 and f.size = $3 and d.blob_id <> $4",
            image,
            digest.to_string(),
            size,
            but
        )
    }

    /// Makes all files that refer to one blob refer to another from now on.
    pub async fn replace_blob(&mut self, old: Uuid, new: Uuid) -> Result<(), StorageError> {
        execute!(self, "update file set blob_id = $2 where blob_id = $1", old, new)?;
        Ok(())
    }

    /// Counts a revision's damaged files.
    pub async fn count_damaged(&mut self, revision: Uuid) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from file f join damage d on d.blob_id = f.blob_id where f.revision_id = $1",
            revision
        )
    }

    pub async fn insert_quarantine(
        &mut self,
        revision: Uuid,
        before: RevisionState,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into quarantine (revision_id, state_before, since) values ($1, $2, $3) \
             on conflict (revision_id) do nothing",
            revision,
            before,
            now
        )?;
        Ok(())
    }

    /// Ends a quarantine, and returns the state that the revision had before.
    pub async fn end_quarantine(
        &mut self,
        revision: Uuid,
    ) -> Result<Option<RevisionState>, StorageError> {
        let before: Option<(RevisionState,)> = optional!(
            self,
            "delete from quarantine where revision_id = $1 returning state_before",
            revision
        )?;
        Ok(before.map(|(state,)| state))
    }

    /// Adjusts quarantine to the damage: exactly the sealed revisions with a damaged file are in it.
    pub async fn settle_quarantine(&mut self, now: DateTime<Utc>) -> Result<(), StorageError> {
        const DAMAGED: &str =
            "select f.revision_id from file f join damage d on d.blob_id = f.blob_id";
        let out = format!(
            "update revision set state = (select state_before from quarantine q where q.revision_id = revision.id) \
             where state = 'quarantined' and id in (select revision_id from quarantine) and id not in ({DAMAGED})"
        );
        let forget = format!("delete from quarantine where revision_id not in ({DAMAGED})");
        let note = format!(
            "insert into quarantine (revision_id, state_before, since) select id, state, $1 from revision \
             where state in ('ready', 'revoked') and id in ({DAMAGED}) on conflict (revision_id) do nothing"
        );
        let taken = format!(
            "update revision set state = 'quarantined' where state in ('ready', 'revoked') and id in ({DAMAGED})"
        );
        execute!(self, AssertSqlSafe(out))?;
        execute!(self, AssertSqlSafe(forget))?;
        execute!(self, AssertSqlSafe(note), now)?;
        execute!(self, AssertSqlSafe(taken))?;
        Ok(())
    }

    /// Returns how far the scrub has come. A blob counts as verified if it was read since `since`.
    pub async fn coverage(&mut self, since: DateTime<Utc>) -> Result<Coverage, StorageError> {
        // sum() of bigints is numeric on PostgreSQL.
        let found: Option<Coverage> = optional!(
            self,
            concat!(
                "select count(*) as blobs, cast(coalesce(sum(b.size), 0) as bigint) as bytes, \
             cast(coalesce(sum(case when coalesce(b.verified_at, b.created_at) >= $1 then 1 else 0 end), 0) as bigint) \
              as verified_blobs, \
             cast(coalesce(sum(case when coalesce(b.verified_at, b.created_at) >= $1 then b.size else 0 end), 0) as bigint) \
              as verified_bytes, \
             min(coalesce(b.verified_at, b.created_at)) as oldest_verified_at, \
             cast(coalesce(sum(case when b.scrub_wanted_at is null then 0 else 1 end), 0) as bigint) as wanted \
             from blob b where b.state = 'stored' and ",
                is_used!()
            ),
            since
        )?;
        found.ok_or_else(|| StorageError::Unusable("an aggregate gave no row".to_owned()))
    }
}
