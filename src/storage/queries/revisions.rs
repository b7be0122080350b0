//! Revisions and their files.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::row::from_row;
use crate::model::{File, FileRole, Revision, RevisionState};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Revision`] is read from.
macro_rules! revision_columns {
    ($name:ident) => {
        columns!(
            $name: id, image_id, number, state, notes, labels, protected, version, created_by,
            created_at, updated_at, sealed_at
        )
    };
}
pub(super) use revision_columns;

/// A sealed revision, as retention sees it.
#[derive(Debug, Clone)]
pub struct RetainedRevision {
    pub id: Uuid,
    pub number: i64,
    pub state: RevisionState,
    pub protected: bool,
    /// Set if it is assigned in a channel, or one of its files is in the tree.
    pub held: bool,
    /// The size of its files together.
    pub bytes: u64,
}

from_row!(RetainedRevision { id, number, state, protected, held, bytes: size });

impl Tx {
    pub async fn insert_revision(&mut self, revision: &Revision) -> Result<(), StorageError> {
        insert!(self, "revision", {
            id: revision.id,
            image_id: revision.image_id,
            number: revision.number,
            state: revision.state,
            notes: &revision.notes,
            labels: Json(&revision.labels),
            protected: revision.protected,
            version: revision.version,
            created_by: &revision.created_by,
            created_at: revision.created_at,
            updated_at: revision.updated_at,
            sealed_at: revision.sealed_at,
        })?;
        Ok(())
    }

    pub async fn revision(
        &mut self,
        image: Uuid,
        number: i64,
    ) -> Result<Option<Revision>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                revision_columns!(revision),
                " from revision where image_id = $1 and number = $2"
            ),
            image,
            number
        )
    }

    pub async fn revision_by_id(&mut self, id: Uuid) -> Result<Option<Revision>, StorageError> {
        optional!(
            self,
            concat!("select ", revision_columns!(revision), " from revision where id = $1"),
            id
        )
    }

    /// Lists the revisions below `before`, without tombstones, newest first.
    pub async fn revisions_before(
        &mut self,
        image: Uuid,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Revision>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                revision_columns!(revision),
                " from revision where image_id = $1 and number < $2 and state <> 'deleted' \
             order by number desc limit $3"
            ),
            image,
            before,
            limit
        )
    }

    pub async fn living_revisions(&mut self, image: Uuid) -> Result<Vec<Revision>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                revision_columns!(revision),
                " from revision where image_id = $1 and state <> 'deleted' order by number"
            ),
            image
        )
    }

    pub async fn update_revision(&mut self, revision: &Revision) -> Result<(), StorageError> {
        execute!(
            self,
            "update revision set state = $2, notes = $3, labels = $4, protected = $5, version = $6, \
             updated_at = $7, sealed_at = $8 where id = $1",
            revision.id,
            revision.state,
            &revision.notes,
            Json(&revision.labels),
            revision.protected,
            revision.version,
            revision.updated_at,
            revision.sealed_at,
        )?;
        Ok(())
    }

    /// Lists the oldest 100 unprotected drafts that were not changed since `untouched_since` and have no upload in
    /// progress.
    pub async fn stale_drafts(
        &mut self,
        untouched_since: DateTime<Utc>,
    ) -> Result<Vec<Revision>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                revision_columns!(revision),
                " from revision where state = 'draft' and protected = false and updated_at < $1 \
             and not exists (select 1 from upload u where u.revision_id = revision.id and u.state = 'receiving') \
             order by updated_at limit 100"
            ),
            untouched_since
        )
    }

    /// Lists the images that have more sealed revisions than they should keep.
    pub async fn images_with_surplus(&mut self) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(
            self,
            "select id from image where keep_revisions is not null and deleted_at is null and keep_revisions < \
             (select count(*) from revision r where r.image_id = image.id \
              and r.state in ('ready', 'revoked', 'quarantined')) order by name_key collate \"C\""
        )
    }

    /// Lists the sealed revisions of an image, newest first.
    pub async fn retained_revisions(
        &mut self,
        image: Uuid,
    ) -> Result<Vec<RetainedRevision>, StorageError> {
        all!(
            self,
            "select r.id, r.number, r.state, r.protected, \
             exists (select 1 from publication p where p.revision_id = r.id) or exists \
             (select 1 from assignment a join promotion p on p.id = a.promotion_id where p.revision_id = r.id) as held, \
             (select cast(coalesce(sum(f.size), 0) as bigint) from file f where f.revision_id = r.id) as bytes \
             from revision r where r.image_id = $1 and r.state in ('ready', 'revoked', 'quarantined') \
             order by r.number desc",
            image
        )
    }

    pub async fn count_revisions(
        &mut self,
        image: Uuid,
        state: RevisionState,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from revision where image_id = $1 and state = $2",
            image,
            state
        )
    }

    pub async fn files_of(&mut self, revision: Uuid) -> Result<Vec<File>, StorageError> {
        all!(
            self,
            "select f.revision_id, f.role, f.blob_id, b.key as blob_key, f.size, f.digest \
             from file f join blob b on b.id = f.blob_id where f.revision_id = $1 order by f.role",
            revision
        )
    }

    pub async fn file_of(
        &mut self,
        revision: Uuid,
        role: FileRole,
    ) -> Result<Option<File>, StorageError> {
        optional!(
            self,
            "select f.revision_id, f.role, f.blob_id, b.key as blob_key, f.size, f.digest \
             from file f join blob b on b.id = f.blob_id where f.revision_id = $1 and f.role = $2",
            revision,
            role
        )
    }

    /// Inserts a file in its role. A file that had the role before must have been deleted.
    pub async fn insert_file(
        &mut self,
        revision: Uuid,
        role: FileRole,
        blob: Uuid,
        size: i64,
        digest: &str,
    ) -> Result<(), StorageError> {
        insert!(self, "file", {
            revision_id: revision,
            role: role,
            blob_id: blob,
            size: size,
            digest: digest,
        })?;
        Ok(())
    }

    pub async fn delete_file(
        &mut self,
        revision: Uuid,
        role: FileRole,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from file where revision_id = $1 and role = $2", revision, role)?;
        Ok(())
    }
}
