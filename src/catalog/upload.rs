//! How a draft gets its bytes: sessions that survive broken lines, restarts and kills.
//!
//! A session is made ([`Catalog::create_upload`]: its room is reserved), filled at its end
//! ([`Catalog::append`]), and finished ([`Catalog::finish_upload`]: its bytes become the draft's file). It is
//! continued from the offset that the row tells, which never counts a byte that is not on stable
//! storage. Which protocol speaks for it makes no difference here.
//!
//! Read on in the order of a session's life: `create` (what is refused at the start), `reserve` (room for what is to come), `writer_queue` and `lease` (of
//! several writers the newest gets the session: within this process by taking turns, among all servers by a number in
//! the row), `open_blob`, `open_session`, `append`, `checkpoint` (what is acknowledged), `kept_open` (between two pieces), `finish`,
//! `discard` (cancelled, expired, left behind). `whole_file` is the PUT of a file in one request, on the same engine.

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

pub use self::discard::{Untold, begin_at_zero};
pub use self::whole_file::Incoming;
pub(super) use self::writer_queue::Turns;
use super::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{
    Digest, File, FileRole, ImageName, RevisionState, Role, Upload, UploadProtocol, UploadState,
};
use crate::storage::StorageError;
pub use append::Appending;

/// What is to come.
#[derive(Debug, Clone)]
pub struct Announcement {
    pub image: ImageName,
    pub revision: i64,
    pub role: FileRole,
    /// In bytes; none where only its end will tell.
    pub size: Option<u64>,
    /// The digest that the uploader named, if any.
    pub digest: Option<Digest>,
    /// What tus has told beside it, to be told again.
    pub metadata: Option<String>,
    /// What the uploader demands of the file that has the role now.
    pub condition: Precondition,
    pub protocol: UploadProtocol,
}

/// Whether a revision in this state may get a file: a draft, or one in quarantine, to be healed.
fn takes_files(state: RevisionState) -> bool {
    matches!(state, RevisionState::Draft | RevisionState::Quarantined)
}

/// Where an append wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the offset and nowhere else.
    Exactly(u64),
    /// Here, and what is there already is not to be written again: the new bytes must go past it.
    OverlappingFrom(u64),
}

/// The bytes that one request brings.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub start: StartAt,
    /// In bytes; none where only their end will tell.
    pub length: Option<u64>,
    pub checksum: Option<Checksum>,
    /// Of the whole file, where the request tells it.
    pub file_length: Option<u64>,
}

/// The checksum of one append's bytes, which are only kept if they have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// What became of a complete upload.
#[derive(Debug, Clone)]
pub struct Received {
    pub file: File,
    /// The draft had a file in this role before.
    pub replaced: bool,
}

/// How long a session keeps the room that it has reserved without having brought a byte.
const EMPTY_KEPT: TimeDelta = TimeDelta::hours(1);

impl Catalog {
    /// What is known of an upload, without disturbing whoever writes to it. Its owner and
    /// administrators may ask, others are told that there is none.
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

    /// Uploads that are open, the oldest first, those after `after`.
    pub async fn uploads(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<Upload>> {
        let mut tx = self.db.read().await?;
        Ok(tx.uploads_after(after.unwrap_or(Uuid::nil()), limit).await?)
    }

    /// When an upload goes if it makes no progress.
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
    /// Does work that has to come to its end although whoever waits for it may be dropped at any moment,
    /// as a request is whose client hangs up: what is being written goes on on another thread, and the
    /// session must not pass to the next one before. Not on the worker's runtime, which ends first.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.shared.saving.spawn_on(work, &self.runtime);
        task.await.unwrap_or_else(|error| {
            Err(Error::Storage(StorageError::Unavailable(error.to_string())))
        })
    }
}

fn as_stored(size: u64) -> Result<i64> {
    i64::try_from(size).map_err(|_| Error::TooLarge { size, limit: i64::MAX.unsigned_abs() })
}

#[cfg(test)]
mod tests;
