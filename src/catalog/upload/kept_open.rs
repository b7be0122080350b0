//! A writer that has saved what arrived keeps its session open for a moment: the next piece of the file usually follows
//! at once, as the fragments of BITS do, and finds everything open. Taking the session over again took a tenth of the
//! time of a fragment of 13 MB.
//!
//! Another request in this process gets the session at once (its [`Turn`] ends the rest), and one on another server
//! within that moment. After a kill, the state is as if the writer had been killed between two pieces.

use std::time::Duration;

use super::Piece;
use super::append::Open;
use super::lease::{Claimed, RENEW_AFTER};
use super::open_session::check_start;
use super::writer_queue::{Resting, Turn};
use crate::catalog::{Actor, Catalog, Result};
use crate::model::Upload;
use crate::storage::blobs::{Appender, Kept, Unacknowledged};

/// The time for which a session is kept open: longer than a client needs to begin its next request on a connection for
/// which that matters.
const REST: Duration = Duration::from_millis(100);

impl Open {
    /// Reports whether the session may be kept open for the next piece.
    pub(super) fn may_stay_open(&self, kept: &Kept) -> bool {
        Some(kept.received) != self.upload.length()
            && self.appender.may_stay_open()
            && !self.turn.is_wanted()
    }

    /// Acknowledges what has arrived and keeps the session open.
    pub(super) async fn note_and_rest(mut self, kept: &Kept) -> Result<Upload> {
        let (catalog, claim) = (self.catalog.clone(), self.claim);
        let newest = catalog.note_progress(&mut self.upload, claim, &self.lease, kept).await?;
        let Self { mut upload, lease, appender, turn, .. } = self;
        if newest > claim {
            catalog.release(&mut upload, claim, None).await?;
            return Ok(upload);
        }
        let id = upload.id;
        let line = turn.rest(Resting { upload: upload.clone(), claim, lease, appender });
        let (runtime, saving) = (catalog.runtime.clone(), catalog.shared.saving.clone());
        let ending = async move {
            tokio::time::sleep(REST).await;
            let Some(mut turn) = catalog.shared.turns.take_if_free(id) else { return };
            drop(line);
            if let Some(Resting { mut upload, claim, .. }) = turn.rested()
                && let Err(error) = catalog.release(&mut upload, claim, None).await
            {
                tracing::debug!(upload = %id, %error, "an upload session was ended while it was idle");
            }
        };
        saving.spawn_on(ending, &runtime);
        Ok(upload)
    }
}

impl Catalog {
    /// Returns the session as the last writer has left it. Returns none if no writer has, or if that was too long ago.
    /// A newer writer on another server is detected when progress is recorded, as always.
    pub(super) fn reopen(
        &self,
        actor: &Actor,
        turn: &mut Turn,
        piece: &Piece,
    ) -> Option<(Claimed, Appender)> {
        let Resting { upload, claim, lease, mut appender } = turn.rested()?;
        if lease.age() >= RENEW_AFTER || self.may_append(actor, &upload).is_err() {
            return None;
        }
        appender.expect_end(check_start(&upload, piece).ok()?);
        let claimed = Claimed {
            upload,
            number: claim,
            lease,
            unacknowledged: Unacknowledged::CutOff,
            boot_to_note: None,
        };
        Some((claimed, appender))
    }
}
