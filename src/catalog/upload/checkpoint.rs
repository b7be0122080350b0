//! The checkpoint that a writer records in the session's row. Bytes are acknowledged when they are recorded here,
//! together with the digest up to there and, in a bucket, the parts that hold them, all in one step.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::catalog::{Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::Progress;
use crate::storage::blobs::{Kept, WriteLease};

impl Catalog {
    /// Acknowledges what is on stable storage. It changes the row in place and takes no more disk space: what has
    /// arrived is kept on a full disk, too, and more is refused before it is read (`check_floor`). Returns the newest
    /// claim number of the session.
    pub(super) async fn note_progress(
        &self,
        upload: &mut Upload,
        claim: i64,
        lease: &WriteLease,
        kept: &Kept,
    ) -> Result<i64> {
        let begun = Instant::now();
        let mut tx = self.db.write_to_free().await?;
        let progress = progress(upload, claim, kept, self.held_until(), self.clock.now())?;
        let newest = tx.note_upload(upload, &progress).await?.ok_or(Error::UploadLost)?;
        tx.commit().await?;
        lease.renew(begun);
        self.record_noted(upload, kept, progress.now).await;
        Ok(newest)
    }

    /// Releases the session at the end of a writer. With `kept`, what the writer has is acknowledged in the same step.
    pub(super) async fn release(
        &self,
        upload: &mut Upload,
        claim: i64,
        kept: Option<&Kept>,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let now = self.clock.now();
        if let Some(kept) = kept {
            let progress = progress(upload, claim, kept, now, now)?;
            tx.note_upload(upload, &progress).await?.ok_or(Error::UploadLost)?;
        }
        tx.release_upload(upload.id, claim).await?;
        tx.commit().await?;
        if let Some(kept) = kept {
            self.record_noted(upload, kept, now).await;
        }
        Ok(())
    }

    /// Updates the upload in memory to what was just recorded. The previous tail is not needed any more; if it cannot
    /// be removed, it is removed with the others when the upload ends.
    async fn record_noted(&self, upload: &mut Upload, kept: &Kept, now: DateTime<Utc>) {
        upload.received = kept.received;
        upload.hash_state.clone_from(&kept.hash_state);
        if let Some(at_part) = &kept.part_hash_state {
            upload.part_hash_state = Some(as_noted(at_part));
        }
        upload.updated_at = now;
        let before = std::mem::replace(&mut upload.tail, kept.tail.clone());
        if let Some(tail) = before.filter(|before| upload.tail.as_ref() != Some(before))
            && let Err(error) = self.blobs.remove_tail(&upload.blob_key, &tail).await
        {
            tracing::info!(%error, upload = %upload.id, tail,
                "an old tail could not be removed; it stays until its upload ends");
        }
    }
}

/// Returns the state with the offset that it belongs to: a server of the previous version continues without updating
/// it.
fn as_noted((end, state): &(u64, String)) -> String {
    format!("{end}:{state}")
}

/// Returns the state at exactly this offset, if it was recorded there.
pub(super) fn part_hash_state_at(upload: &Upload, end: u64) -> Option<String> {
    let (noted, state) = upload.part_hash_state.as_deref()?.split_once(':')?;
    (noted.parse() == Ok(end)).then(|| state.to_owned())
}

/// Returns what has to be recorded. Of the parts, these are the ones past the offset, or the one that replaces a tail.
fn progress<'a>(
    upload: &Upload,
    claim: i64,
    kept: &'a Kept,
    held_until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Progress<'a>> {
    let news = kept.parts.iter().filter(|part| part.end >= upload.received);
    let parts = news.map(|part| Ok((super::as_stored(part.number)?, part.id.as_str())));
    Ok(Progress {
        claim,
        received: super::as_stored(kept.received)?,
        hash_state: &kept.hash_state,
        part_hash_state: kept.part_hash_state.as_ref().map(as_noted),
        parts: parts.collect::<Result<_>>()?,
        tail: kept.tail.as_deref(),
        held_until,
        now,
    })
}
