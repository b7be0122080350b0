//! Uploads: resumable sessions. [`super::upload_writers`] has the statements on which of several writers has one.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, execute, insert, optional, value};
use super::upload_writers::Holder;
use crate::model::{FileRole, Upload, UploadProtocol, UploadState};
use crate::storage::{StorageError, Tx};

/// The initial values of a new session; its blob's row must exist.
pub struct UploadRecord<'a> {
    pub id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub protocol: UploadProtocol,
    pub digest: Option<String>,
    pub open_ended: bool,
    pub metadata: Option<&'a str>,
    pub condition: Option<String>,
    pub hash_state: &'a str,
    pub created_by: &'a str,
    pub now: DateTime<Utc>,
}

/// Builds a query for [`Upload`], from the session, its target and its blob.
macro_rules! uploads {
    ($rest:literal) => {
        concat!(
            "select u.id, i.id as image_id, i.name as image, u.revision_id, r.number as revision, r.state as revision_state, u.role, \
             u.protocol, u.state, u.blob_id, b.key as blob_key, b.size, u.open_ended, b.received, u.digest, u.metadata, u.condition, u.hash_state, u.part_hash_state, \
             b.multipart, b.part_size, b.tail, u.newest_claim, u.held_claim, u.holder, u.held_until, u.holder_boot, u.created_by, u.created_at, \
             u.updated_at from upload u join revision r on r.id = u.revision_id \
             join image i on i.id = r.image_id join blob b on b.id = u.blob_id ",
            $rest
        )
    };
}

impl Tx {
    /// Inserts a session, held by its first writer if there is one.
    pub async fn insert_upload(
        &mut self,
        new: &UploadRecord<'_>,
        holder: Option<&Holder<'_>>,
    ) -> Result<(), StorageError> {
        let claim = holder.map_or(0, |holder| holder.claim);
        insert!(self, "upload", {
            id: new.id,
            revision_id: new.revision_id,
            role: new.role,
            blob_id: new.blob_id,
            protocol: new.protocol,
            state: UploadState::Receiving,
            digest: &new.digest,
            hash_state: new.hash_state,
            newest_claim: claim,
            held_claim: claim,
            holder: holder.map(|holder| holder.instance),
            held_until: holder.map_or(new.now, |holder| holder.until),
            holder_boot: holder.and_then(|holder| holder.boot),
            created_by: new.created_by,
            created_at: new.now,
            updated_at: new.now,
            condition: &new.condition,
            open_ended: new.open_ended,
            metadata: new.metadata,
        })?;
        Ok(())
    }

    pub async fn upload(&mut self, id: Uuid) -> Result<Option<Upload>, StorageError> {
        optional!(self, uploads!("where u.id = $1"), id)
    }

    /// Lists sessions that are receiving after `after`, oldest first.
    pub async fn uploads_after(
        &mut self,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Upload>, StorageError> {
        all!(
            self,
            uploads!("where u.state = 'receiving' and u.id > $1 order by u.id limit $2"),
            after,
            limit
        )
    }

    /// Lists up to 100 sessions that are receiving and have made no progress since `since`, the longest idle first.
    pub async fn idle_uploads(
        &mut self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Upload>, StorageError> {
        all!(
            self,
            uploads!(
                "where u.state = 'receiving' and u.updated_at < $1 order by u.updated_at limit 100"
            ),
            since
        )
    }

    /// Does the same as [`Self::idle_uploads`], only for sessions that have not received a byte.
    pub async fn empty_uploads(
        &mut self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Upload>, StorageError> {
        all!(
            self,
            uploads!(
                "where u.state = 'receiving' and b.received = 0 and b.size > 0 and u.updated_at < $1 \
                 order by u.updated_at limit 100"
            ),
            since
        )
    }

    /// Does the same as [`Self::idle_uploads`], only for whole-file uploads.
    pub async fn idle_puts(&mut self, since: DateTime<Utc>) -> Result<Vec<Upload>, StorageError> {
        all!(
            self,
            uploads!(
                "where u.protocol = 'put' and u.state = 'receiving' and u.updated_at < $1 \
                 order by u.updated_at limit 100"
            ),
            since
        )
    }

    /// Lists the whole-file uploads of a server, which end with their request.
    pub async fn puts_of(&mut self, instance: Uuid) -> Result<Vec<Upload>, StorageError> {
        all!(self, uploads!("where u.protocol = 'put' and u.holder = $1"), instance)
    }

    pub async fn count_open_uploads(
        &mut self,
        created_by: &str,
        protocol: UploadProtocol,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from upload where created_by = $1 and protocol = $2 and state = 'receiving'",
            created_by,
            protocol
        )
    }

    /// Counts the sessions that are receiving.
    pub async fn count_uploads(&mut self) -> Result<i64, StorageError> {
        value!(self, "select count(*) from upload where state = 'receiving'")
    }

    /// Returns the bytes of an image's files, except for one role of one revision, and of its uploads in progress.
    pub async fn bytes_of_image(
        &mut self,
        image: Uuid,
        except_revision: Uuid,
        except_role: FileRole,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select cast(coalesce(sum(size), 0) as bigint) from ( \
             select f.size as size from file f join revision r on r.id = f.revision_id where r.image_id = $1 \
             and not (f.revision_id = $2 and f.role = $3) \
             union all \
             select b.size as size from upload u join blob b on b.id = u.blob_id \
             join revision r on r.id = u.revision_id where r.image_id = $1 and u.state = 'receiving') as held",
            image,
            except_revision,
            except_role
        )
    }

    /// Reports whether a revision has uploads in progress.
    pub async fn has_open_uploads(&mut self, revision: Uuid) -> Result<bool, StorageError> {
        let open: i64 = value!(
            self,
            "select count(*) from upload where revision_id = $1 and state = 'receiving'",
            revision
        )?;
        Ok(open > 0)
    }

    /// Deletes the open sessions of a revision that accepts no more files. Returns the blobs that they were filling.
    pub async fn delete_open_uploads_of(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<Uuid>, StorageError> {
        let rows: Vec<(Uuid,)> = all!(
            self,
            "delete from upload where revision_id = $1 and state = 'receiving' returning blob_id",
            revision
        )?;
        Ok(rows.into_iter().map(|(blob,)| blob).collect())
    }

    /// Deletes the open sessions of a caller that no longer exists. Returns the blobs that they were filling.
    pub async fn delete_open_uploads_by(
        &mut self,
        creator: &str,
    ) -> Result<Vec<Uuid>, StorageError> {
        let rows: Vec<(Uuid,)> = all!(
            self,
            "delete from upload where created_by = $1 and state = 'receiving' returning blob_id",
            creator
        )?;
        Ok(rows.into_iter().map(|(blob,)| blob).collect())
    }

    /// Marks the session as complete, because its bytes belong to a file now. Reports whether it was still the
    /// writer's.
    pub async fn complete_upload(
        &mut self,
        id: Uuid,
        claim: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update upload set state = 'complete', holder = null, holder_boot = null, updated_at = $3 \
             where id = $1 and held_claim = $2 and state = 'receiving'",
            id,
            claim,
            now
        )?;
        Ok(changed == 1)
    }

    pub async fn delete_upload(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from upload where id = $1", id)?;
        Ok(())
    }

    /// Deletes the whole-file uploads for the same role that are still receiving and began before `later`, which has
    /// arrived completely. Returns the blobs that they were filling.
    pub async fn delete_puts_before(&mut self, later: &Upload) -> Result<Vec<Uuid>, StorageError> {
        let rows: Vec<(Uuid,)> = all!(
            self,
            "delete from upload where revision_id = $1 and role = $2 and protocol = 'put' and state = 'receiving' \
             and id < $3 returning blob_id",
            later.revision_id,
            later.role,
            later.id
        )?;
        Ok(rows.into_iter().map(|(blob,)| blob).collect())
    }

    /// Deletes the sessions of a revision that is being deleted. Returns the blobs that they were filling.
    pub async fn delete_uploads_of(&mut self, revision: Uuid) -> Result<Vec<Uuid>, StorageError> {
        let rows: Vec<(Uuid,)> =
            all!(self, "delete from upload where revision_id = $1 returning blob_id", revision)?;
        Ok(rows.into_iter().map(|(blob,)| blob).collect())
    }

    /// Deletes complete sessions that no client will ask about any more.
    pub async fn forget_complete_uploads(
        &mut self,
        before: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(self, "delete from upload where state = 'complete' and updated_at < $1", before)
    }
}
