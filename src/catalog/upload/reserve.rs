//! Reserves disk space for what is to come: in rows before the bytes are there, within the free space, the image's
//! quota and the caller's share.
//!
//! An upload of unknown length reserves in steps as its bytes arrive. The steps double, so that a small file needs
//! little disk space and a large one few transactions. If a whole step does not fit, the space that is needed at the
//! moment may.

use uuid::Uuid;

use super::as_stored;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{FileRole, Role, Upload};
use crate::storage::Tx;

/// The space that is reserved at first for a file of unknown length, and the most that is reserved ahead of it, in
/// bytes.
const FIRST_STEP: u64 = 1024 * 1024;
const LARGEST_STEP: u64 = 256 * 1024 * 1024;

/// The largest file of unknown length in a bucket, where the part size has to be chosen beforehand. Larger files would
/// need parts that are too large for all others.
const LARGEST_OPEN_ENDED_IN_BUCKET: u64 = 256 * 1024 * 1024 * 1024;

/// The file that an upload is for: image, revision, role.
pub(super) type FileSlot = (Uuid, Uuid, FileRole);

/// The space to reserve for an upload, in bytes.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    size: u64,
    /// The number of these bytes that exist only in the row: while the length is unknown, the row has more bytes than
    /// have arrived.
    spare: u64,
    open_ended: bool,
}

impl Catalog {
    /// Returns the space to reserve at the start.
    pub(super) fn first_reservation(&self, length: Option<u64>) -> Result<u64> {
        match length {
            Some(length) => self.check_size(length).map(|()| length),
            None => Ok(FIRST_STEP),
        }
    }

    /// Checks whether `size` more bytes may be reserved, in a transaction that [has the lock](Tx::lock_reservations).
    pub(super) async fn check_reservation(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        target: FileSlot,
        size: u64,
    ) -> Result<()> {
        self.check_quota(tx, target, size).await?;
        self.check_free_space(tx, size).await?;
        self.check_share(tx, actor, size).await
    }

    /// Reserves disk space up to `end` and beyond, for an upload of unknown length.
    pub(super) async fn reserve_more(
        &self,
        actor: &Actor,
        upload: &mut Upload,
        claim: i64,
        end: u64,
    ) -> Result<()> {
        let step = end.clamp(FIRST_STEP, LARGEST_STEP);
        let generous = Reservation { size: end.saturating_add(step), spare: 0, open_ended: true };
        match self.resize(actor, upload, claim, generous).await {
            Err(
                Error::NoRoom { .. }
                | Error::QuotaExceeded { .. }
                | Error::CallerShareExceeded { .. },
            ) => {
                let scant = Reservation { size: end.saturating_add(1), spare: 1, open_ended: true };
                self.resize(actor, upload, claim, scant).await
            }
            resized => resized,
        }
    }

    /// Sets the length of the file. It is known from now on, and what was reserved beyond it is released.
    pub(super) async fn settle_length(
        &self,
        actor: &Actor,
        upload: &mut Upload,
        claim: i64,
        length: u64,
    ) -> Result<()> {
        match upload.length() {
            Some(known) if known == length => return Ok(()),
            Some(known) => return Err(Error::OtherLength { known, given: length }),
            None => self.check_open_ended(length)?,
        }
        if length < upload.received {
            return Err(Error::BeyondEnd { size: length, end: upload.received });
        }
        let exactly = Reservation { size: length, spare: 0, open_ended: false };
        self.resize(actor, upload, claim, exactly).await
    }

    async fn resize(
        &self,
        actor: &Actor,
        upload: &mut Upload,
        claim: i64,
        Reservation { size, spare, open_ended }: Reservation,
    ) -> Result<()> {
        let mut tx = self.db.write().await?;
        tx.lock_reservations().await?;
        if let Some(more) = size.checked_sub(upload.size).filter(|more| *more > 0) {
            let target = (upload.image_id, upload.revision_id, upload.role);
            self.check_reservation(&mut tx, actor, target, more.saturating_sub(spare)).await?;
        }
        if !tx.resize_upload(upload, claim, as_stored(size)?, open_ended).await? {
            return Err(Error::UploadLost);
        }
        tx.commit().await?;
        (upload.size, upload.open_ended) = (size, open_ended);
        Ok(())
    }

    pub(in crate::catalog) fn check_size(&self, size: u64) -> Result<()> {
        let limit = self.rules().uploads.max_size.as_u64();
        if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Checks the size of a file whose length was unknown at first.
    pub(super) fn check_open_ended(&self, size: u64) -> Result<()> {
        self.check_size(size)?;
        let limit = self.largest_open_ended();
        if size > limit { Err(Error::TooLargeUnannounced { limit }) } else { Ok(()) }
    }

    pub(super) fn largest_open_ended(&self) -> u64 {
        let limit = self.rules().uploads.max_size.as_u64();
        if self.blobs.is_folder() { limit } else { limit.min(LARGEST_OPEN_ENDED_IN_BUCKET) }
    }

    /// Checks the image's quota. A file that is to be replaced does not count: its bytes are deleted when the new ones
    /// are there.
    async fn check_quota(
        &self,
        tx: &mut Tx,
        (image, revision, role): FileSlot,
        size: u64,
    ) -> Result<()> {
        let limit = self.rules().uploads.image_quota.as_u64();
        if limit == 0 {
            return Ok(());
        }
        let used = tx.bytes_of_image(image, revision, role).await?.unsigned_abs();
        if used.saturating_add(size) > limit {
            return Err(Error::QuotaExceeded { used, size, limit });
        }
        Ok(())
    }

    /// Checks the caller's share, so that one caller cannot lock out all others. Bytes of the caller's uploads in
    /// progress that have arrived count as free, because they are part of what is reserved.
    async fn check_share(&self, tx: &mut Tx, actor: &Actor, size: u64) -> Result<()> {
        let share = u64::from(self.rules().uploads.caller_share);
        if share >= 100 || actor.holds(Role::Admin) {
            return Ok(());
        }
        let Some(free) = self.blobs.free_bytes()? else { return Ok(()) };
        let (reserved, arrived) = tx.reserved_by(&actor.name).await?;
        let (reserved, arrived) = (reserved.unsigned_abs(), arrived.unsigned_abs());
        let limit = (free + arrived).saturating_sub(self.rules().min_free) / 100 * share;
        if reserved.saturating_add(size) > limit {
            return Err(Error::CallerShareExceeded { reserved, size, limit });
        }
        Ok(())
    }

    pub(crate) async fn check_free_space(&self, tx: &mut Tx, needed: u64) -> Result<()> {
        let Some(free) = self.blobs.free_bytes()? else { return Ok(()) };
        let reserved = u64::try_from(tx.reserved_bytes().await?).unwrap_or(0);
        let available = free.saturating_sub(reserved).saturating_sub(self.rules().min_free);
        if needed > available {
            return Err(Error::NoRoom { needed, available });
        }
        Ok(())
    }

    /// Checks that the disk's free space is above the floor. Others than uploads may still use up what was reserved;
    /// the floor is kept all the same, so that the database can continue.
    pub(super) fn check_floor(&self) -> Result<()> {
        let (floor, free) = (self.rules().min_free, self.blobs.free_bytes_of_disk()?);
        if free < floor {
            return Err(Error::FloorReached { free, floor });
        }
        // The catalog may be on another disk. If that is full, what has arrived could not become a file.
        Ok(self.db.check_free_space()?)
    }
}
