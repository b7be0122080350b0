//! Uploads by BITS, as the MED-V console makes them: a file's name alone says where its bytes go.
//!
//! A session is opened for a [`Destination`], the first fragment tells its size and gives it a draft
//! (`target`), fragments fill the upload behind it, and with the last byte the file is the draft's; a draft
//! with both files seals itself and may be promoted (`conclude`). Each step may be repeated: what a kill
//! cut off is made good when the client sends the last fragment again, or Close, as it does without an
//! answer, and by the sweep where no client comes back (`close`).
//!
//! Bytes, offsets and who of several writers has the session are the [upload engine](super::upload)'s.

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

/// Requests that come in between are few.
const ATTEMPTS: u32 = 5;

/// How long to wait for one that came in between, the first time: it only has to finish what is there.
/// Two that ask again at once would go on overtaking each other.
const STEP_BACK: Duration = Duration::from_millis(30);

impl Catalog {
    /// Opens a session. `TooManyUploads` where the caller has as many as is allowed.
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

    /// Whoever has 20 GB for an image that cannot take them should hear it before they are sent.
    async fn check_kind(&self, destination: &Destination) -> Result<()> {
        match self.image(&destination.image).await {
            Ok(image) if image.kind != ImageKind::Medv => {
                Err(Error::RoleUnknown { kind: "single", role: destination.role })
            }
            Ok(_) | Err(Error::ImageNotFound) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// The session, if it is the caller's, is for this file, and has not expired; else
    /// `UploadNotFound`, upon which the client begins anew.
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
            // The upload knows of its progress.
            State::Claimed | State::Receiving => DateTime::<Utc>::MIN_UTC,
        };
        if session.updated_at < until { Err(Error::UploadNotFound) } else { Ok(session) }
    }

    /// Opens the session's upload for a fragment, whose bytes before the upload's offset are to be
    /// skipped. None where all bytes of the file are there already: the client missed an answer.
    /// `OffsetMismatch` where the fragment leaves a gap, or brings nothing that is not there.
    pub async fn take_fragment(
        &self,
        actor: &Actor,
        session: &BitsSession,
        range: FragmentRange,
    ) -> Result<Option<Appending>> {
        if session.size.is_some_and(|size| size != range.total) {
            return Err(Error::invalid("Content-Range", "another size than before"));
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

    /// A repeat may meet the request whose answer was lost: that goes on to finish the upload, newer than
    /// the repeat that has waited for it, and with nothing left to write it is no reason to turn the
    /// client away.
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
                    tokio::time::sleep(STEP_BACK * 2 * attempt).await;
                }
                other => return other,
            }
        }
        Err(Error::UploadBusy)
    }

    /// To be called when a fragment's bytes are on stable storage, before it is acknowledged.
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
