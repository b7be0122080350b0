//! Opens the bytes of a session that this process holds, at their end.

use super::checkpoint::part_hash_state_at;
use super::lease::Claimed;
use crate::catalog::{Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::StorageError;
use crate::storage::blobs::{
    Appender, Growing, Kept, Multipart, RunningHash, Unacknowledged, WriteLease,
};

impl Catalog {
    /// Opens the bytes of a claimed session, and records what a crash left unrecorded.
    pub(super) async fn open_claimed(&self, claimed: &mut Claimed) -> Result<Appender> {
        let Claimed { upload, number, lease, unacknowledged, boot_to_note } = claimed;
        let (id, number) = (upload.id, *number);
        let opening = self.open_bytes(upload, number, lease, *unacknowledged);
        let mut appender = match self.holding(id, number, lease, opening).await {
            Err(Error::Storage(StorageError::Damaged(what))) => {
                return Err(self.end_without_bytes(upload, &what).await);
            }
            opened => opened?,
        };
        if let Some(boot) = boot_to_note.take() {
            let mut tx = self.db.write_to_free().await?;
            tx.note_boot(id, number, boot).await?;
            tx.commit().await?;
        }
        if appender.taken() > upload.received {
            let found = self.holding(id, number, lease, appender.sync()).await?;
            tracing::info!(upload = %id, bytes = found.received - upload.received,
                "recovered bytes that a killed server had received");
            self.note_progress(upload, number, lease, &found).await?;
            appender.noted(found.received);
        }
        Ok(appender)
    }

    /// Checks the bytes that the next ones are appended to. If they have changed in the bucket, the session goes back
    /// to the last whole part, and the sender is told so.
    pub(super) async fn prepare(
        &self,
        claimed: &mut Claimed,
        appender: &mut Appender,
    ) -> Result<()> {
        let Claimed { upload, number, lease, .. } = claimed;
        let preparing = appender.prepare();
        match self.holding(upload.id, *number, lease, preparing).await {
            Err(StorageError::TailChanged(what)) => {
                let given = upload.received;
                self.go_back(upload, *number, lease, &what).await?;
                Err(Error::OffsetMismatch { expected: upload.received, given })
            }
            Err(StorageError::Damaged(what)) => Err(self.end_without_bytes(upload, &what).await),
            prepared => Ok(prepared?),
        }
    }

    /// Goes back to the end of the last whole part.
    async fn go_back(
        &self,
        upload: &mut Upload,
        number: i64,
        lease: &WriteLease,
        what: &str,
    ) -> Result<()> {
        let part_size = multipart_of(upload).map_or(1, |multipart| multipart.part_size.max(1));
        let received = upload.received / part_size * part_size;
        let at_part = part_hash_state_at(upload, received);
        let hash_state = if received == 0 { Some(RunningHash::default().save()) } else { at_part };
        let Some(hash_state) = hash_state else {
            return Err(self.end_without_bytes(upload, what).await);
        };
        tracing::error!(upload = %upload.id, from = upload.received, to = received,
            "an upload goes back to an earlier offset: {what}");
        self.note_progress(upload, number, lease, &Kept::at(received, hash_state)).await?;
        Ok(())
    }

    /// Ends an upload whose bytes are gone, so that its client starts again.
    pub(super) async fn end_without_bytes(&self, upload: &Upload, what: &str) -> Error {
        tracing::error!(upload = %upload.id, "an upload ends because its bytes are gone: {what}");
        self.discard_or_log(upload).await;
        if let Err(error) = self.blobs.clear_spool(&upload.blob_key) {
            tracing::warn!(%error, upload = %upload.id,
                "the spool folder of an upload could not be removed; it stays until the next start");
        }
        Error::UploadNotFound
    }

    /// Opens the bytes of a session that this process holds.
    pub(super) async fn open_bytes(
        &self,
        upload: &mut Upload,
        claim: i64,
        lease: &WriteLease,
        unacknowledged: Unacknowledged,
    ) -> Result<Appender> {
        if upload.multipart.is_none() && !upload.is_full() {
            self.begin_multipart(upload, claim).await?;
        }
        let kept = Kept {
            tail: upload.tail.clone(),
            ..Kept::at(upload.received, upload.hash_state.clone())
        };
        let growing = Growing {
            key: upload.blob_key.clone(),
            size: upload.length(),
            kept,
            unacknowledged,
            multipart: multipart_of(upload),
            writer: claim,
            lease: lease.clone(),
        };
        Ok(self.blobs.appender(growing).await?)
    }

    /// Begins a multipart upload if the store is a bucket. It is recorded before it gets any bytes, because its id is
    /// needed to remove them.
    async fn begin_multipart(&self, upload: &mut Upload, claim: i64) -> Result<()> {
        let largest = upload.length().unwrap_or_else(|| self.largest_open_ended());
        let Some(begun) = self.blobs.begin_multipart(&upload.blob_key, largest).await? else {
            return Ok(());
        };
        let part_size = super::as_stored(begun.part_size)?;
        let noted = async {
            let mut tx = self.db.write_to_free().await?;
            let noted = tx.note_multipart(upload, claim, &begun.id, part_size).await?;
            tx.commit().await?;
            if noted { Ok(()) } else { Err(Error::UploadLost) }
        };
        if let Err(error) = noted.await {
            // With any other error, the commit may have been made nevertheless, and the multipart upload may be in use.
            if matches!(error, Error::UploadLost) {
                self.blobs.abort_multipart(&upload.blob_key, &begun.id).await?;
            }
            return Err(error);
        }
        upload.part_size = Some(part_size);
        upload.multipart = Some(begun.id);
        Ok(())
    }
}

pub(super) fn multipart_of(upload: &Upload) -> Option<Multipart> {
    let id = upload.multipart.clone()?;
    Some(Multipart { id, part_size: u64::try_from(upload.part_size?).ok()? })
}
