//! BITS sessions, and the drafts that their files may go to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::revisions::revision_columns;
use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{BitsSession, FileRole, Revision};
use crate::storage::db::Either;
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`BitsSession`] is read from.
macro_rules! bits_session_columns {
    ($name:ident) => {
        columns!(
            $name: id, file_name, image, role, state, revision_id, size, created_by, created_at,
            updated_at
        )
    };
}
#[cfg(test)]
pub(super) use bits_session_columns;

impl Tx {
    pub async fn insert_bits_session(&mut self, session: &BitsSession) -> Result<(), StorageError> {
        insert!(self, "bits_session", {
            id: session.id,
            file_name: &session.file_name,
            image: &session.image,
            role: session.role,
            state: session.state,
            created_by: &session.created_by,
            created_at: session.created_at,
            updated_at: session.updated_at,
        })?;
        Ok(())
    }

    pub async fn bits_session(&mut self, id: Uuid) -> Result<Option<BitsSession>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                bits_session_columns!(bits_session),
                " from bits_session where id = $1"
            ),
            id
        )
    }

    /// Does the same as [`Self::bits_session`], and locks the row against other changes until the commit.
    pub async fn locked_bits_session(
        &mut self,
        id: Uuid,
    ) -> Result<Option<BitsSession>, StorageError> {
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select 1 from bits_session where id = $1 for update").bind(id))
                .await?;
        }
        self.bits_session(id).await
    }

    /// Updates the fields of a session that can change.
    pub async fn update_bits_session(&mut self, session: &BitsSession) -> Result<(), StorageError> {
        execute!(
            self,
            "update bits_session set state = $2, revision_id = $3, size = $4, updated_at = $5 where id = $1",
            session.id,
            session.state,
            session.revision_id,
            session.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
            session.updated_at,
        )?;
        Ok(())
    }

    pub async fn delete_bits_session(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from bits_session where id = $1", id)?;
        Ok(())
    }

    /// Lets one transaction at a time count a caller's sessions and add one. SQLite has only one writer anyway.
    pub async fn lock_bits_sessions(&mut self) -> Result<(), StorageError> {
        const BITS_SESSIONS: i64 = 0x696d_6467_0002;
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select pg_advisory_xact_lock($1)").bind(BITS_SESSIONS)).await?;
        }
        Ok(())
    }

    /// Counts a caller's sessions that wait for bytes.
    pub async fn count_open_bits_sessions(
        &mut self,
        created_by: &str,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from bits_session where created_by = $1 and state in ('open', 'claimed', 'receiving')",
            created_by
        )
    }

    /// Lists a caller's drafts of an image that have no file in the role and none on its way, oldest first. A file is
    /// on its way if there is an upload of any protocol, or a BITS session that is about to have one.
    pub async fn drafts_lacking(
        &mut self,
        image: Uuid,
        role: FileRole,
        creator: &str,
    ) -> Result<Vec<Revision>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                revision_columns!(r),
                " from revision r where r.image_id = $1 and r.state = 'draft' and r.created_by = $3 \
             and not exists (select 1 from file f where f.revision_id = r.id and f.role = $2) \
             and not exists (select 1 from upload u where u.revision_id = r.id and u.role = $2 \
             and u.state = 'receiving') \
             and not exists (select 1 from bits_session s where s.revision_id = r.id and s.role = $2 \
             and s.state = 'claimed') order by r.number"
            ),
            image,
            role,
            creator
        )
    }

    /// Deletes the sessions of a caller that no longer exists. Their uploads are deleted separately.
    pub async fn delete_bits_sessions_by(&mut self, creator: &str) -> Result<(), StorageError> {
        execute!(self, "delete from bits_session where created_by = $1", creator)?;
        Ok(())
    }

    pub async fn newest_draft(
        &mut self,
        image: Uuid,
        creator: &str,
    ) -> Result<Option<Revision>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                revision_columns!(revision),
                " from revision where image_id = $1 and state = 'draft' and created_by = $2 \
             order by number desc limit 1"
            ),
            image,
            creator
        )
    }

    /// Lists up to 100 sessions whose upload is complete but which do not know it, because a server was killed in
    /// between. The uploads must be unchanged since `unchanged_since`, so that no request is just about to update the
    /// session.
    pub async fn unconcluded_bits_sessions(
        &mut self,
        unchanged_since: DateTime<Utc>,
    ) -> Result<Vec<BitsSession>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                bits_session_columns!(s),
                " from bits_session s join upload u on u.id = s.id \
             where s.state in ('claimed', 'receiving') and u.state = 'complete' and u.updated_at < $1 \
             order by s.id limit 100"
            ),
            unchanged_since
        )
    }

    /// Deletes sessions that were closed before `closed_before`, those without progress since `idle_since`, and those
    /// whose upload is gone.
    pub async fn forget_bits_sessions(
        &mut self,
        closed_before: DateTime<Utc>,
        idle_since: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "delete from bits_session where (state = 'closed' and updated_at < $1) \
             or (state in ('open', 'complete') and updated_at < $2) \
             or (state = 'claimed' and updated_at < $2 \
             and not exists (select 1 from upload u where u.id = bits_session.id)) \
             or (state = 'receiving' and not exists (select 1 from upload u where u.id = bits_session.id))",
            closed_before,
            idle_since
        )
    }
}
