//! Opens a session for the bytes of one request: takes it over from the current writer, at the offset that the request
//! names.

use uuid::Uuid;

use super::append::{Appending, Open};
use super::lease::{Claimed, Unrecorded};
use super::{Piece, StartAt, takes_files};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::blobs::Appender;

impl Catalog {
    /// Opens a session, which the caller has looked up, for more bytes. The current writer is asked to stop, and what
    /// it has received is saved before the offset is compared.
    pub async fn append(&self, actor: &Actor, id: Uuid, piece: Piece) -> Result<Appending> {
        let (catalog, actor) = (self.clone(), actor.clone());
        self.to_the_end(async move { catalog.open_for_append(&actor, id, piece).await }).await
    }

    /// Ends the file of a session of unknown length: what has arrived is the whole file.
    pub async fn end_upload_at(&self, actor: &Actor, id: Uuid, length: u64) -> Result<Upload> {
        let piece = Piece {
            start: StartAt::Exactly(length),
            length: Some(0),
            checksum: None,
            file_length: Some(length),
        };
        self.append(actor, id, piece).await?.save().await
    }

    async fn open_for_append(&self, actor: &Actor, id: Uuid, piece: Piece) -> Result<Appending> {
        let mut turn = self.shared.turns.take(id).await?;
        if piece.checksum.is_none()
            && piece.file_length.is_none()
            && let Some((claimed, appender)) = self.reopen(actor, &mut turn, &piece)
        {
            return Ok(Appending(Some(Open::new(self, actor, claimed, appender, turn))));
        }
        let unnoted =
            if piece.checksum.is_some() { Unrecorded::AreNothing } else { Unrecorded::Count };
        let may_append = |upload: &Upload| self.may_append(actor, upload);
        let mut claimed = self.claim(&mut turn, id, unnoted, &may_append).await?;
        match self.open_for_piece(actor, &mut claimed, &piece).await {
            Ok(appender) => {
                let open = Open::new(self, actor, claimed, appender, turn);
                Ok(Appending(Some(open.proving(piece.checksum))))
            }
            Err(error) => {
                self.release(&mut claimed.upload, claimed.number, None).await?;
                Err(error)
            }
        }
    }

    async fn open_for_piece(
        &self,
        actor: &Actor,
        claimed: &mut Claimed,
        piece: &Piece,
    ) -> Result<Appender> {
        let mut appender = self.open_claimed(claimed).await?;
        let end = check_start(&claimed.upload, piece)?;
        if let Some(length) = piece.file_length {
            self.settle_length(actor, &mut claimed.upload, claimed.number, length).await?;
            appender.set_end(length);
        }
        if piece.length.is_some() && claimed.upload.open_ended {
            self.check_open_ended(end)?;
            if end >= claimed.upload.size {
                self.reserve_more(actor, &mut claimed.upload, claimed.number, end).await?;
            }
        }
        if piece.length != Some(0) || claimed.upload.is_full() {
            self.prepare(claimed, &mut appender).await?;
        }
        appender.expect_end(end);
        Ok(appender)
    }

    pub(super) fn may_append(&self, actor: &Actor, upload: &Upload) -> Result<()> {
        self.may_know(actor, upload)?;
        if !takes_files(upload.revision_state) {
            return Err(Error::RevisionSealed(upload.revision));
        }
        Ok(())
    }
}

/// Checks where the bytes begin, and returns where they will end. If their length is unknown, this is the end of the
/// file, if that is known.
pub(super) fn check_start(upload: &Upload, piece: &Piece) -> Result<u64> {
    let next = upload.received;
    let first = match piece.start {
        StartAt::Exactly(first) | StartAt::OverlappingFrom(first) => first,
    };
    let end = first.saturating_add(piece.length.unwrap_or(0));
    let follows = match piece.start {
        StartAt::Exactly(_) => first == next,
        StartAt::OverlappingFrom(_) => first <= next && end > next,
    };
    if !follows {
        return Err(Error::OffsetMismatch { expected: next, given: first });
    }
    let file_ends = upload.length().or(piece.file_length);
    if let Some(size) = file_ends.filter(|size| end > *size) {
        return Err(Error::BeyondEnd { size, end });
    }
    Ok(if piece.length.is_some() { end } else { file_ends.unwrap_or(u64::MAX) })
}
