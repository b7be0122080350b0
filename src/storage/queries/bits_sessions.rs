//! Sessions of BITS, and the drafts that their files may go to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::revisions::revision_columns;
use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{BitsSession, FileRole, Revision};
use crate::storage::db::Either;
use crate::storage::{StorageError, Tx};

/// What a [`BitsSession`] is read from.
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

    /// As [`Self::bits_session`], kept from other changes until the commit.
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

    /// Writes what can change of a session.
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

    /// Lets one transaction at a time count a caller's sessions and add one. SQLite's writer is alone
    /// as it is.
    pub async fn lock_bits_sessions(&mut self) -> Result<(), StorageError> {
        const BITS_SESSIONS: i64 = 0x696d_6467_0002;
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select pg_advisory_xact_lock($1)").bind(BITS_SESSIONS)).await?;
        }
        Ok(())
    }

    /// A caller's sessions that wait for bytes.
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

    /// Drafts of an image that have neither a file in the role nor one on its way there, the oldest
    /// first. What is on its way is an upload of any protocol, or a BITS session that is about to
    /// have one.
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

    /// Those of a caller that is gone; the uploads behind them go by themselves.
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

    /// Sessions whose upload is complete while they do not know: a server was killed in between. Those
    /// unchanged since are no request's that is just about to tell them.
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

    /// Forgets sessions that were closed before the first time, those that made no progress since the
    /// second, and those whose upload is gone.
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
