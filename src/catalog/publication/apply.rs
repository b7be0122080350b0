//! Carries out a plan one step at a time, so that the next run can continue after a crash.
//!
//! All of it also works on a full disk: it follows from changes that were accepted, which on a full disk are
//! withdrawals.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::plan::{Plan, Step};
use crate::catalog::events::News;
use crate::catalog::{Catalog, Error, Result};
use crate::model::event::EventPlace;
use crate::model::{EventType, Publication, PublicationState, TransferKind};
use crate::storage::{Change, StorageError};

impl Catalog {
    /// Carries out all steps in order. The error is the first one that occurred.
    pub(super) async fn carry_out(&self, plan: &Plan) -> Result<()> {
        let mut failed = Failed::default();
        for step in &plan.steps {
            if failed.holds_up(step) {
                continue;
            }
            match self.perform(step).await {
                Ok(()) => {}
                Err(error) if error.is_database_unreachable() => return Err(error),
                Err(error) => {
                    self.give_up_unusable_transfer_file(step, &error).await?;
                    failed.note(step, error);
                }
            }
            if failed.is_store_away() {
                break;
            }
        }
        self.remove_files(plan, &mut failed).await?;
        if !plan.steps.is_empty() {
            // The tree may have released bytes that nothing else needs.
            self.sweep_is_due();
        }
        failed.first.map_or(Ok(()), Err)
    }

    /// A chunk list or delta whose bytes are gone or damaged is made again, instead of waiting for the scrub.
    async fn give_up_unusable_transfer_file(&self, step: &Step, error: &Error) -> Result<()> {
        if let Step::Publish { publication, .. } = step
            && let Error::Storage(storage) = error
            && storage.is_about_the_bytes()
        {
            let what = storage.to_string();
            self.discard_damaged_transfer_file(publication.blob_id, &what).await?;
        }
        Ok(())
    }

    async fn perform(&self, step: &Step) -> Result<()> {
        match step {
            Step::Publish { publication, wanted } => {
                self.note_publishing(publication).await?;
                let path = &publication.path;
                let tag = self.tree.publish(path, &wanted.original(), &self.blobs).await?;
                self.note_published(publication, tag.as_deref()).await?;
                tracing::info!(tree.path = path, "published");
            }
            Step::Acknowledge { publication } => {
                self.note(publication, PublicationState::Published, None).await?;
            }
            Step::WriteDocument(wanted) => {
                // The record comes first: otherwise, after a crash in between, the file would count as a foreign one.
                let mut tx = self.db.write_to_free().await?;
                tx.put_document(&wanted.path).await?;
                tx.commit().await?;
                let content = wanted.content.clone();
                let served_as = wanted.document.served_as();
                self.tree.write_document(&wanted.path, served_as, content).await?;
            }
            Step::RemoveDocument { path } => {
                self.tree.remove(path).await?;
                let mut tx = self.db.write_to_free().await?;
                tx.delete_document(path).await?;
                tx.commit().await?;
            }
            Step::Withdraw { publication, at } => {
                self.note(publication, PublicationState::Withdrawing, Some(*at)).await?;
            }
            // Together at the end: see `remove_files`.
            Step::Remove { .. } => {}
            Step::Forget { publication } => self.forget(publication).await?,
            Step::Conflict { path } => {
                tracing::error!(
                    tree.path = path,
                    "a file that imagedepot did not make blocks a published file; move it"
                );
            }
        }
        Ok(())
    }

    /// Removes files from the tree that are due: first their HTTP names, then the files, then the records, so that
    /// after a crash in between the next run continues at that point.
    async fn remove_files(&self, plan: &Plan, failed: &mut Failed) -> Result<()> {
        let due = plan.steps.iter().filter_map(|step| match step {
            Step::Remove { publication } => Some(publication),
            _ => None,
        });
        let due: Vec<&Publication> = due.collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write_to_free().await?;
        let mut images = BTreeSet::new();
        for publication in &due {
            images.insert(tx.lock_image_of(publication.revision_id).await?);
        }
        for publication in &due {
            let state = PublicationState::Removing;
            tx.put_publication(&Publication { state, ..Publication::clone(publication) }).await?;
        }
        for image in images {
            tx.raise_catalog_version(Change::Image(image)).await?;
        }
        tx.commit().await?;
        self.try_refresh().await?;
        for publication in due {
            match self.tree.remove(&publication.path).await.map_err(Error::from) {
                Ok(()) => {
                    self.forget(publication).await?;
                    tracing::info!(tree.path = publication.path, "withdrawn");
                }
                Err(error) => {
                    failed.note(&Step::Remove { publication: publication.clone() }, error);
                }
            }
        }
        Ok(())
    }

    async fn note(
        &self,
        publication: &Publication,
        state: PublicationState,
        withdraw_at: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.put_publication(&Publication { state, withdraw_at, ..publication.clone() }).await?;
        Ok(tx.commit().await?)
    }

    async fn note_publishing(&self, publication: &Publication) -> Result<()> {
        let state = PublicationState::Publishing;
        let mut tx = self.db.write_to_free().await?;
        tx.put_publication(&Publication { state, ..publication.clone() }).await?;
        tx.put_publication_tag(&publication.path, None).await?;
        Ok(tx.commit().await?)
    }

    /// Records that a file is published, and the tag that identifies it from now on. Without that tag it counts as
    /// damaged, and is published again after a crash.
    async fn note_published(&self, publication: &Publication, tag: Option<&str>) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.put_publication(publication).await?;
        tx.put_publication_tag(&publication.path, tag).await?;
        let place = tx.place_of_publication(publication).await?.unwrap_or_default();
        self.tell_readers(&mut tx, done(publication, place));
        Ok(tx.commit().await?)
    }

    async fn forget(&self, publication: &Publication) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.delete_publication(&publication.path).await?;
        Ok(tx.commit().await?)
    }
}

fn done(publication: &Publication, place: EventPlace) -> News<'static> {
    News {
        kind: EventType::PublicationDone,
        actor: "system:publication",
        subject: "publications".to_owned(),
        place,
        data: json!({
            "path": publication.path, "role": publication.role, "digest": publication.digest.to_string(),
        }),
    }
}

/// The steps of one reconciliation that failed, and the ones that they block.
#[derive(Default)]
struct Failed {
    files: Vec<Publication>,
    first: Option<Error>,
    /// The number of requests that the bucket has failed to carry out.
    by_store: usize,
}

/// The number of failures after which a bucket counts as unreachable: each of the other steps would wait as long, and
/// fail the same way.
const FAILURES_UNTIL_UNREACHABLE: usize = 3;

impl Failed {
    fn note(&mut self, step: &Step, error: Error) {
        // At debug level, because every file fails if the store is unreachable. The caller reports the first error.
        tracing::debug!(%error, tree.path = step.path(), step = step.verb(),
            "a step failed; the next round tries it again");
        // Nothing waits for a chunk list or a delta: clients do without one that is not there yet.
        if let Step::Publish { publication, .. } = step
            && TransferKind::of_name(&publication.path).is_none()
        {
            self.files.push(publication.clone());
        }
        if let Error::Storage(storage @ StorageError::Store(_)) = &error
            && storage.is_temporary()
        {
            self.by_store += 1;
        }
        self.first.get_or_insert(error);
    }

    fn is_store_away(&self) -> bool {
        self.by_store >= FAILURES_UNTIL_UNREACHABLE
    }

    /// Reports whether a failure blocks a step: an index, or a document, must not refer to a file that is not there.
    fn holds_up(&self, step: &Step) -> bool {
        self.files.iter().any(|failed| match step {
            Step::Publish { publication, .. } => {
                publication.revision_id == failed.revision_id
                    && publication.channel_id == failed.channel_id
            }
            Step::WriteDocument(wanted) => folder_of(&wanted.path) == folder_of(&failed.path),
            _ => false,
        })
    }
}

pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
