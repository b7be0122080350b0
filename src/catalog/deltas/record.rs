//! Puts transfer files into effect, and takes them out of it.

use std::time::Duration;

use uuid::Uuid;

use super::work::{Outcome, Work};
use crate::catalog::{Catalog, Result};
use crate::model::{Image, RevisionState, TransferState, metric};
use crate::storage::{NewTransferFile, Scope, Tx};

impl Catalog {
    /// Records the outcome. A file that was made is shown from now on, unless its revision was ended meanwhile.
    pub(super) async fn record(&self, work: &Work, outcome: Outcome) -> Result<()> {
        let (state, instead_of, cpu, stored) = match outcome {
            Outcome::Made { blob, size, digest, instead_of, cpu } => {
                (TransferState::Made, instead_of, cpu, Some((blob, size, digest)))
            }
            Outcome::Useless { instead_of } => {
                (TransferState::Useless, instead_of, Duration::ZERO, None)
            }
        };
        let mut row = self.row_about(work, state);
        row.instead_of = instead_of;
        row.cpu_milliseconds = i64::try_from(cpu.as_millis()).unwrap_or(i64::MAX);
        row.stored = stored;
        let blob = stored.map(|(blob, ..)| blob);
        match self.insert_and_show(&row).await {
            Ok(true) => {}
            Ok(false) => return self.give_up_blobs(blob).await,
            Err(error) => {
                // A blob that was settled after all, and only the answer was lost, stays.
                self.give_up_blobs(blob).await?;
                return Err(error);
            }
        }
        if let Some((_, size, _)) = stored {
            let kind = if row.base_revision_id.is_some() { "delta" } else { "chunks" };
            metric::TRANSFER_FILES_MADE.with([kind]).increment(1);
            metric::TRANSFER_FILE_BYTES.with([kind]).increment(size);
            let (revision, key) = (row.revision_id, &work.target().blob_key);
            tracing::info!(%revision, blob.key = key, kind, size, instead_of, cpu_seconds = cpu.as_secs_f64(), "made a transfer file");
        }
        Ok(())
    }

    pub(super) async fn record_failure(&self, work: &Work) -> Result<()> {
        self.insert_and_show(&self.row_about(work, TransferState::Failed)).await.map(drop)
    }

    fn row_about(&self, work: &Work, state: TransferState) -> NewTransferFile {
        NewTransferFile {
            id: self.ids.next(),
            revision_id: work.target().revision_id,
            role: work.target().role,
            base_revision_id: work.base_revision(),
            state,
            stored: None,
            instead_of: 0,
            cpu_milliseconds: 0,
            made_at: self.clock.now(),
        }
    }

    /// Reports whether the row is in force: not if the revision was ended, or the reservation is gone.
    async fn insert_and_show(&self, row: &NewTransferFile) -> Result<bool> {
        let mut tx = self.db.write().await?;
        let image_id = tx.lock_image_of(row.revision_id).await?;
        let revision = tx.revision_by_id(row.revision_id).await?;
        let is_ready = revision.is_some_and(|revision| revision.state == RevisionState::Ready);
        let Some(image) = tx.image_by_id(image_id).await?.filter(|_| is_ready) else {
            return Ok(false);
        };
        if let Some((blob, ..)) = row.stored
            && !tx.settle_blob(blob, self.clock.now()).await?
        {
            return Ok(false);
        }
        if !tx.insert_transfer_file(row).await? {
            return Ok(false);
        }
        // What nobody is offered changes nothing that anybody sees.
        let is_shown = row.stored.is_some() && is_offered(&mut tx, &image, row.revision_id).await?;
        if is_shown {
            self.show_change_of(&mut tx, &image).await?;
        }
        tx.commit().await?;
        if is_shown {
            self.refresh().await;
            self.tree_is_due();
        }
        Ok(true)
    }

    /// Gives up the transfer files of a revision that is ended in this transaction.
    pub(crate) async fn discard_transfer_files(&self, tx: &mut Tx, revision: Uuid) -> Result<()> {
        let now = self.clock.now();
        for blob in tx.delete_transfer_files_of(revision).await? {
            tx.discard_blob(blob, now, now).await?;
        }
        Ok(())
    }

    /// Gives up a transfer file whose bytes were found damaged; it is made again. Reports whether the blob was one.
    pub(crate) async fn discard_damaged_transfer_file(
        &self,
        blob: Uuid,
        what: &str,
    ) -> Result<bool> {
        let now = self.clock.now();
        let mut tx = self.db.write_to_free().await?;
        let Some(image_id) = tx.image_of_transfer_file(blob).await? else { return Ok(false) };
        tx.lock_image(image_id).await?;
        // It may have been given up meanwhile.
        if !tx.delete_transfer_file(blob).await? {
            return Ok(true);
        }
        // With this, its copies in the tree go at once.
        tx.insert_damage(blob, what, None, now).await?;
        tx.discard_blob(blob, now, now).await?;
        if let Some(image) = tx.image_by_id(image_id).await? {
            self.show_change_of(&mut tx, &image).await?;
        }
        tx.commit().await?;
        tracing::error!(%blob, what, "a chunk list or delta was damaged, and is made again");
        self.refresh().await;
        self.tree_is_due();
        self.transfer_files_are_due(image_id);
        Ok(true)
    }

    /// Gives up what a server of an earlier version left when it revoked or deleted a revision.
    pub(super) async fn end_those_of_ended_revisions(&self) -> Result<()> {
        for (revision,) in self.db.read().await?.ended_revisions_with_transfer_files().await? {
            let mut tx = self.db.write_to_free().await?;
            tx.lock_image_of(revision).await?;
            self.discard_transfer_files(&mut tx, revision).await?;
            tx.commit().await?;
            self.tree_is_due();
        }
        Ok(())
    }
}

async fn is_offered(tx: &mut Tx, image: &Image, revision: Uuid) -> Result<bool> {
    let offered = tx.offered_files(Scope::Image(image.id)).await?;
    Ok(offered.iter().any(|file| file.revision_id == revision))
}
