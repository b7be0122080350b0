//! The holder of each job, and when the job is due again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{execute, optional, value};
use crate::model::{Job, JobState};
use crate::storage::{StorageError, Tx};

impl Tx {
    pub async fn job(&mut self, job: Job) -> Result<Option<JobState>, StorageError> {
        optional!(
            self,
            "select holder, held_until, done_version, due_at from job where name = $1",
            job
        )
    }

    /// Gives the job to a server if no other has it or its holder is gone, and reports whether it did.
    ///
    /// A hold that ends after `longest` was written by a clock that has been set back since.
    pub async fn take_job(
        &mut self,
        job: Job,
        holder: Uuid,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        longest: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "insert into job (name, holder, held_until, done_version, due_at) values ($1, $2, $4, -1, $3) \
             on conflict (name) do update set holder = excluded.holder, held_until = excluded.held_until \
             where job.holder is null or job.holder = $2 or job.held_until < $3 or job.held_until > $5",
            job,
            holder,
            now,
            until,
            longest
        )?;
        Ok(changed == 1)
    }

    /// Records that the holder is working, and reports whether it still has the job and the catalog accepts changes.
    pub async fn renew_job(
        &mut self,
        job: Job,
        holder: Uuid,
        until: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update job set held_until = $3 where name = $1 and holder = $2 \
             and not exists (select 1 from catalog_state where frozen is not null)",
            job,
            holder,
            until
        )?;
        Ok(changed == 1)
    }

    /// Counts the jobs with a holder that is not gone.
    pub async fn count_held_jobs(
        &mut self,
        now: DateTime<Utc>,
        longest: DateTime<Utc>,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from job where holder is not null and held_until between $1 and $2",
            now,
            longest
        )
    }

    /// Gives all jobs of a server back.
    pub async fn leave_jobs(&mut self, holder: Uuid) -> Result<(), StorageError> {
        execute!(self, "update job set holder = null where holder = $1", holder)?;
        Ok(())
    }

    /// Gives the job back. `version` is the one that the round has completed; none if the round failed.
    pub async fn give_job_back(
        &mut self,
        job: Job,
        holder: Uuid,
        version: Option<i64>,
        due_at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update job set holder = null, done_version = coalesce($3, done_version), due_at = $4 \
             where name = $1 and holder = $2",
            job,
            holder,
            version,
            due_at
        )?;
        Ok(())
    }
}
