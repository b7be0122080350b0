//! The writers of an upload: which of several has it, and what that one records.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{execute, optional};
use crate::model::Upload;
use crate::storage::{StorageError, Tx};

/// The writer that has an upload from now on.
pub struct Holder<'a> {
    pub claim: i64,
    pub instance: Uuid,
    pub boot: Option<&'a str>,
    pub until: DateTime<Utc>,
}

/// The progress that a writer records.
pub struct Progress<'a> {
    pub claim: i64,
    pub received: i64,
    pub hash_state: &'a str,
    /// The digest's state at the end of the last whole part, with its offset, if that is new.
    pub part_hash_state: Option<String>,
    /// The parts in a bucket that were not recorded before: number and id.
    pub parts: Vec<(i64, &'a str)>,
    pub tail: Option<&'a str>,
    pub held_until: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

impl Tx {
    /// Draws the next number for a writer; none if the session is not receiving (any more). Locks the row against other
    /// changes until the commit.
    pub async fn draw_claim(&mut self, id: Uuid) -> Result<Option<i64>, StorageError> {
        let row: Option<(i64,)> = optional!(
            self,
            "update upload set newest_claim = newest_claim + 1 where id = $1 and state = 'receiving' \
             returning newest_claim",
            id
        )?;
        Ok(row.map(|(claim,)| claim))
    }

    /// Gives the session to the writer, unless a newer one has drawn a number. Reports whether it did.
    pub async fn hold_upload(
        &mut self,
        id: Uuid,
        holder: &Holder<'_>,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update upload set held_claim = $2, holder = $3, holder_boot = $4, held_until = $5 \
             where id = $1 and newest_claim = $2",
            id,
            holder.claim,
            holder.instance,
            holder.boot,
            holder.until
        )?;
        Ok(changed == 1)
    }

    /// Records the machine's current boot: bytes past the offset may be trusted from now on, as long as the boot is the
    /// same.
    pub async fn note_boot(
        &mut self,
        id: Uuid,
        claim: i64,
        boot: &str,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update upload set holder_boot = $3 where id = $1 and held_claim = $2",
            id,
            claim,
            boot
        )?;
        Ok(())
    }

    /// Records that the writer is alive, and returns the newest number; none if the session is no longer the writer's.
    pub async fn renew_hold(
        &mut self,
        id: Uuid,
        claim: i64,
        until: DateTime<Utc>,
    ) -> Result<Option<i64>, StorageError> {
        let row: Option<(i64,)> = optional!(
            self,
            "update upload set held_until = $3 where id = $1 and held_claim = $2 and state = 'receiving' \
             returning newest_claim",
            id,
            claim,
            until
        )?;
        Ok(row.map(|(newest,)| newest))
    }

    /// Records what is on stable storage, and returns the newest number; none if the session is no longer the writer's.
    pub async fn note_upload(
        &mut self,
        upload: &Upload,
        progress: &Progress<'_>,
    ) -> Result<Option<i64>, StorageError> {
        let row: Option<(i64,)> = optional!(
            self,
            "update upload set hash_state = $3, held_until = $4, updated_at = $5, \
             part_hash_state = coalesce($6, part_hash_state) where id = $1 and held_claim = $2 and state = 'receiving' returning newest_claim",
            upload.id,
            progress.claim,
            progress.hash_state,
            progress.held_until,
            progress.now,
            progress.part_hash_state.as_deref()
        )?;
        let Some((newest,)) = row else { return Ok(None) };
        let there = self.note_kept(upload.blob_id, progress).await?;
        Ok(there.then_some(newest))
    }

    /// Sets the bytes that are reserved for an upload, and whether its length is still unknown. Reports whether the
    /// session is the writer's and no more bytes have arrived than that.
    pub async fn resize_upload(
        &mut self,
        upload: &Upload,
        claim: i64,
        size: i64,
        open_ended: bool,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update upload set open_ended = $3 where id = $1 and held_claim = $2 and state = 'receiving'",
            upload.id,
            claim,
            open_ended
        )?;
        let resized = execute!(
            self,
            "update blob set size = $2 where id = $1 and state = 'arriving' and received <= $2",
            upload.blob_id,
            size
        )?;
        Ok(changed == 1 && resized == 1)
    }

    /// Records the multipart upload in which the blob grows. Reports whether the session is the writer's and had none
    /// before.
    pub async fn note_multipart(
        &mut self,
        upload: &Upload,
        claim: i64,
        multipart: &str,
        part_size: i64,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update blob set multipart = $3, part_size = $4 where state = 'arriving' and multipart is null \
             and id = (select blob_id from upload where id = $1 and held_claim = $2 and state = 'receiving')",
            upload.id,
            claim,
            multipart,
            part_size
        )?;
        Ok(changed == 1)
    }

    /// Releases the session of a writer that has ended.
    pub async fn release_upload(&mut self, id: Uuid, claim: i64) -> Result<(), StorageError> {
        execute!(
            self,
            "update upload set holder = null, holder_boot = null where id = $1 and held_claim = $2",
            id,
            claim
        )?;
        Ok(())
    }
}
