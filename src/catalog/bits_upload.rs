//! Uploads by BITS, as the MED-V console makes them: a file's name alone determines where its bytes go.
//!
//! A session is opened for a [`Destination`]. The first fragment reports the size and gives the session a draft
//! (`target`). Fragments fill the upload behind it, and with the last byte the file becomes the draft's. A draft with
//! both files is sealed automatically and may be promoted (`conclude`). Each step may be repeated. A step that a kill
//! interrupted is completed when the client repeats the last fragment or Close, as it does if it gets no answer, or by
//! the sweep if no client returns (`close`).
//!
//! The [upload engine](super::upload) manages bytes and offsets, and decides which of several writers has the session.

mod close;
mod conclude;
mod destination;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rules::Commit;
use super::upload::{Appending, Piece, StartAt};
use super::{Actor, Catalog, Error, Result};
use crate::model::{BitsSession, BitsSessionState as State, ImageKind, Upload};
use crate::wire::bits::FragmentRange;
pub use destination::Destination;

/// The number of attempts. Requests that interfere with each other are few.
const ATTEMPTS: u32 = 5;

/// The unit of the waits after an interfering request, which only has to finish what is there. Two requests that
/// retried at once would keep overtaking each other.
const RETRY_WAIT: Duration = Duration::from_millis(30);

impl Catalog {
    /// Opens a session. Returns `TooManyUploads` if the caller has as many as are allowed.
    pub async fn open_bits_session(
        &self,
        actor: &Actor,
        destination: &Destination,
    ) -> Result<BitsSession> {
        self.check_kind(destination).await?;
        let now = self.clock.now();
        let session = BitsSession {
            id: self.ids.next(),
            file_name: destination.file_name.clone(),
            image: destination.image.clone(),
            role: destination.role,
            state: State::Open,
            revision_id: None,
            size: None,
            created_by: actor.name.clone(),
            created_at: now,
            updated_at: now,
        };
        let limit = self.rules().bits.max_sessions;
        let mut tx = self.db.write().await?;
        tx.lock_bits_sessions().await?;
        let open = tx.count_open_bits_sessions(&actor.name).await?;
        if limit > 0 && open >= limit {
            return Err(Error::TooManyUploads { open, limit });
        }
        tx.insert_bits_session(&session).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Refuses an image of the wrong kind early: a client that has 20 GB for it should learn that before it sends them.
    async fn check_kind(&self, destination: &Destination) -> Result<()> {
        match self.image(&destination.image).await {
            Ok(image) if image.kind != ImageKind::Medv => {
                Err(Error::RoleUnknown { kind: "single", role: destination.role })
            }
            Ok(_) | Err(Error::ImageNotFound) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Returns the session if it is the caller's, is for this file, and has not expired. Otherwise returns
    /// `UploadNotFound`, upon which the client starts again.
    pub async fn bits_session(
        &self,
        actor: &Actor,
        destination: &Destination,
        id: Uuid,
    ) -> Result<BitsSession> {
        let session = self.db.look().await?.bits_session(id).await?;
        let known = session.filter(|session| {
            session.created_by == actor.name
                && session.file_name.eq_ignore_ascii_case(&destination.file_name)
        });
        let session = known.ok_or(Error::UploadNotFound)?;
        let until = match session.state {
            State::Open | State::Complete => self.idle_since(),
            State::Closed => self.closed_since(),
            // These expire with their upload, which records the progress.
            State::Claimed | State::Receiving => DateTime::<Utc>::MIN_UTC,
        };
        if session.updated_at < until { Err(Error::UploadNotFound) } else { Ok(session) }
    }

    /// Opens the session's upload for a fragment. The caller must skip the bytes of the fragment that are before the
    /// upload's offset. Returns none if all bytes of the file are already there, because the client missed an answer.
    /// Returns `OffsetMismatch` if the fragment leaves a gap or has no new bytes.
    pub async fn take_fragment(
        &self,
        actor: &Actor,
        session: &BitsSession,
        range: FragmentRange,
    ) -> Result<Option<Appending>> {
        if session.size.is_some_and(|size| size != range.total) {
            return Err(Error::invalid("Content-Range", "must name the same size as before"));
        }
        match session.state {
            State::Closed => return Err(Error::UploadNotFound),
            State::Complete => return Ok(None),
            State::Open if range.first > 0 => {
                return Err(Error::OffsetMismatch { expected: 0, given: range.first });
            }
            State::Open | State::Claimed => {
                self.begin_bits_upload(actor, session, range.total).await?;
            }
            State::Receiving => {}
        }
        match self.open_for_fragment(actor, session, range).await {
            Ok(appending) => Ok(Some(appending)),
            Err(Error::OffsetMismatch { expected, .. }) if expected == range.total => {
                self.all_bytes_came(actor, session).await?;
                Ok(None)
            }
            Err(Error::UploadComplete) => {
                self.commit_bits_session(actor, session).await?;
                Ok(None)
            }
            Err(other) => Err(self.lost_with_its_draft(actor, session, other).await),
        }
    }

    /// Opens the upload for a fragment, if necessary in several attempts. A repeated fragment may meet the request
    /// whose answer was lost. That request goes on to finish the upload, and is then newer than the repeat, which has
    /// waited for it. If nothing is left to write, that is no reason to refuse the client.
    async fn open_for_fragment(
        &self,
        actor: &Actor,
        session: &BitsSession,
        range: FragmentRange,
    ) -> Result<Appending> {
        let piece = Piece {
            start: StartAt::OverlappingFrom(range.first),
            length: Some(range.length),
            checksum: None,
            file_length: None,
        };
        for attempt in 1..=ATTEMPTS {
            match self.append(actor, session.id, piece).await {
                Err(Error::UploadTakenOver) if self.upload(actor, session.id).await?.is_full() => {
                    tokio::time::sleep(RETRY_WAIT * 2 * attempt).await;
                }
                other => return other,
            }
        }
        Err(Error::UploadBusy)
    }

    /// Completes a fragment. Must be called when its bytes are on stable storage, before it is acknowledged.
    pub async fn fragment_taken(
        &self,
        actor: &Actor,
        session: &BitsSession,
        upload: &Upload,
    ) -> Result<()> {
        if upload.is_full() { self.all_bytes_came(actor, session).await } else { Ok(()) }
    }

    async fn all_bytes_came(&self, actor: &Actor, session: &BitsSession) -> Result<()> {
        match self.rules().bits.commit {
            Commit::LastFragment => self.commit_bits_session(actor, session).await,
            Commit::Close => Ok(()),
        }
    }
}
