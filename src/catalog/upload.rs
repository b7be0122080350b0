//! Uploads: sessions that give a draft its bytes, and survive broken connections, restarts and kills.
//!
//! A session is created ([`Catalog::create_upload`]: its disk space is reserved), filled at its end
//! ([`Catalog::append`]), and finished ([`Catalog::finish_upload`]: its bytes become the draft's file). It continues
//! from the offset in its row, which never counts a byte that is not on stable storage. The protocol makes no
//! difference here.
//!
//! The modules, in the order of a session's life: `create` (what is refused at the start), `reserve` (disk space for
//! what is to come), `writer_queue` and `lease` (the newest of several writers gets the session: within this process by
//! taking turns, among all servers by a number in the row), `open_blob`, `open_session`, `append`, `checkpoint` (what
//! is acknowledged), `kept_open` (between two pieces), `finish`, `discard` (cancelled, expired, left behind).
//! `whole_file` is the PUT of a file in one request, on the same engine.

pub mod append;
mod checkpoint;
mod create;
mod discard;
mod finish;
mod kept_open;
mod lease;
mod open_blob;
mod open_session;
mod reserve;
mod whole_file;
mod writer_queue;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub use self::discard::{CancelUnlessAnnounced, begin_at_zero};
pub use self::whole_file::Incoming;
pub(super) use self::writer_queue::Turns;
use super::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{
    Digest, File, FileRole, ImageName, RevisionState, Role, Upload, UploadProtocol, UploadState,
};
use crate::storage::StorageError;
pub use append::Appending;

/// The announcement of an upload.
#[derive(Debug, Clone)]
pub struct Announcement {
    pub image: ImageName,
    pub revision: i64,
    pub role: FileRole,
    /// The size in bytes; none if it is not known before the end.
    pub size: Option<u64>,
    /// The digest that the uploader named, if any.
    pub digest: Option<Digest>,
    /// The metadata that a tus client has sent, to be returned to it.
    pub metadata: Option<String>,
    /// The uploader's precondition on the file that has the role now.
    pub condition: Precondition,
    pub protocol: UploadProtocol,
}

/// Reports whether a revision in this state may get a file: a draft, or one in quarantine, to be healed.
fn takes_files(state: RevisionState) -> bool {
    matches!(state, RevisionState::Draft | RevisionState::Quarantined)
}

/// The position at which an append begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The offset and nothing else.
    Exactly(u64),
    /// This position. Bytes that are already there are not written again; the new bytes must go past them.
    OverlappingFrom(u64),
}

/// The bytes that one request brings.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub start: StartAt,
    /// The length in bytes; none if it is not known before their end.
    pub length: Option<u64>,
    pub checksum: Option<Checksum>,
    /// The length of the whole file, if the request gives it.
    pub file_length: Option<u64>,
}

/// The checksum of one append's bytes, which are only kept if they match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// The result of a complete upload.
#[derive(Debug, Clone)]
pub struct Received {
    pub file: File,
    /// True if the draft had a file in this role before.
    pub replaced: bool,
}

/// The time for which a session that has received no byte keeps the disk space that it has reserved.
const EMPTY_KEPT: TimeDelta = TimeDelta::hours(1);

impl Catalog {
    /// Returns the state of an upload, without disturbing its writer. Only its owner and administrators may ask; others
    /// are told that it does not exist.
    pub async fn upload(&self, actor: &Actor, id: Uuid) -> Result<Upload> {
        let upload = self.db.look().await?.upload(id).await?.ok_or(Error::UploadNotFound)?;
        self.may_know(actor, &upload)?;
        Ok(upload)
    }

    fn may_know(&self, actor: &Actor, upload: &Upload) -> Result<()> {
        let known = upload.created_by == actor.name || actor.holds(Role::Admin);
        let expired = upload.state == UploadState::Receiving
            && self.upload_expires_at(upload) < self.clock.now();
        if known && !expired { Ok(()) } else { Err(Error::UploadNotFound) }
    }

    /// Returns the open uploads after `after`, oldest first.
    pub async fn uploads(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<Upload>> {
        let mut tx = self.db.read().await?;
        Ok(tx.uploads_after(after.unwrap_or(Uuid::nil()), limit).await?)
    }

    /// Returns the time at which an upload is deleted if it makes no progress.
    pub fn upload_expires_at(&self, upload: &Upload) -> DateTime<Utc> {
        let lifetime = TimeDelta::from_std(self.rules().uploads.expire_after).ok();
        let is_empty = upload.received == 0 && upload.size > 0;
        lifetime
            .map(|lifetime| if is_empty { lifetime.min(EMPTY_KEPT) } else { lifetime })
            .and_then(|lifetime| upload.updated_at.checked_add_signed(lifetime))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl Catalog {
    /// Does work that has to be completed although its caller may be dropped at any moment, as a request is when its
    /// client disconnects: bytes are still being written on another thread, and the session must not pass to the next
    /// writer before that is done. It does not run on the worker's runtime, which ends first.
    fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> {
        // Spawned before the first await, so that no caller's future contains the work.
        let task = self.shared.saving.spawn_on(work, &self.runtime);
        async move {
            task.await.unwrap_or_else(|error| {
                Err(Error::Storage(StorageError::Unavailable(error.to_string())))
            })
        }
    }
}

fn as_stored(size: u64) -> Result<i64> {
    i64::try_from(size).map_err(|_| Error::TooLarge { size, limit: i64::MAX.unsigned_abs() })
}

#[cfg(test)]
mod tests;
