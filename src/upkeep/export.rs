//! Exports: chosen revisions with their notes and history, to be carried to an air-gapped depot and imported there.
//!
//! The place has the same form as a backup's, with files by their digests. The note is written last.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::transfer::{IncomingFile, IncomingRevision, Numbering, Source, Taken};
use crate::catalog::revision::RevisionDetails;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{
    Digest, FileRole, ImageKind, ImageName, Labels, PromotionKind, RevisionState, Terms,
};
use crate::storage::StorageError;
use crate::storage::backup_store::{BackupStore, Notes, note_name};

const FORMAT: u32 = 1;

/// The note of an export: what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportNote {
    pub format: u32,
    pub exported_at: DateTime<Utc>,
    /// The catalog from which it was exported.
    pub identity: Uuid,
    pub revisions: Vec<ExportedRevision>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportedRevision {
    pub image: ImageName,
    pub kind: ImageKind,
    pub extension: String,
    pub number: i64,
    pub notes: String,
    pub labels: Labels,
    pub protected: bool,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub sealed_at: DateTime<Utc>,
    pub files: Vec<ExportedFile>,
    /// The revision's promotions, the newest first.
    pub history: Vec<ExportedPromotion>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ExportedFile {
    pub role: FileRole,
    pub size: u64,
    pub digest: Digest,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportedPromotion {
    pub channel: String,
    pub epoch: i64,
    pub kind: PromotionKind,
    #[serde(flatten)]
    pub terms: Terms,
    pub by: String,
    pub at: DateTime<Utc>,
}

impl Catalog {
    /// Exports revisions: all ready ones of an image, or the one with a number. Returns the export's name and note.
    pub async fn export(
        &self,
        backup_store: &BackupStore,
        chosen: &[(ImageName, Option<i64>)],
    ) -> Result<(String, ExportNote)> {
        backup_store.remove_leftovers(self.clock.now()).await;
        let mention = |image: &ImageName| chosen.iter().position(|(other, _)| other == image);
        // In the order of their numbers for each image, since an importing depot gives out no number below one it has
        // given out.
        let mut chosen: Vec<_> = chosen.iter().collect();
        chosen.sort_by_key(|(image, number)| (mention(image), *number));
        chosen.dedup();
        let mut revisions = Vec::new();
        for (image, number) in chosen {
            let details = match number {
                Some(number) => vec![self.ready_revision(image, *number).await?],
                None => self.all_ready(image).await?,
            };
            for details in details {
                revisions.push(self.export_one(backup_store, &details).await?);
            }
        }
        let exported_at = self.clock.now();
        let identity = self.identity().await?;
        let note = ExportNote { format: FORMAT, exported_at, identity, revisions };
        let name = note_name(exported_at);
        let text = serde_json::to_vec_pretty(&note).unwrap_or_default();
        backup_store.put(Notes::Exports, &format!("{name}.json"), Bytes::from(text)).await?;
        Ok((name, note))
    }

    async fn all_ready(&self, image: &ImageName) -> Result<Vec<RevisionDetails>> {
        let mut all = self.revisions(image, i64::MAX, i64::MAX).await?;
        all.retain(|details| details.revision.state == RevisionState::Ready);
        all.reverse();
        Ok(all)
    }

    async fn export_one(
        &self,
        backup_store: &BackupStore,
        details: &RevisionDetails,
    ) -> Result<ExportedRevision> {
        let RevisionDetails { image, revision, files } = details;
        for file in files {
            if backup_store.blob_size(&file.digest).await? != Some(file.size) {
                let reader = self.blobs.reader(&file.blob_key, file.size).await?;
                backup_store.put_blob(&reader, &file.digest).await?;
            }
        }
        let mut history = Vec::new();
        for (promotion, channel) in self.db.read().await?.promotions_of(revision.id).await? {
            history.push(ExportedPromotion {
                channel: channel.to_string(),
                epoch: promotion.epoch,
                kind: promotion.kind,
                terms: promotion.terms,
                by: promotion.created_by,
                at: promotion.created_at,
            });
        }
        Ok(ExportedRevision {
            image: image.name.clone(),
            kind: image.kind,
            extension: image.extension.clone(),
            number: revision.number,
            notes: revision.notes.clone(),
            labels: revision.labels.clone(),
            protected: revision.protected,
            created_by: revision.created_by.clone(),
            created_at: revision.created_at,
            sealed_at: revision.sealed_at.unwrap_or(revision.updated_at),
            files: files
                .iter()
                .map(|file| ExportedFile { role: file.role, size: file.size, digest: file.digest })
                .collect(),
            history,
        })
    }

    /// Imports one revision of an export.
    pub async fn import(
        &self,
        actor: &Actor,
        backup_store: &BackupStore,
        note: &ExportNote,
        exported: &ExportedRevision,
        numbering: Numbering,
    ) -> Result<Taken> {
        let file = |file: &ExportedFile| {
            let reader = backup_store.reader(&file.digest, file.size)?;
            let (role, size, digest) = (file.role, file.size, file.digest);
            Ok(IncomingFile { role, size, digest, source: Source::Copy(reader) })
        };
        let files = exported.files.iter().map(file).collect::<Result<_>>()?;
        let incoming = IncomingRevision {
            image: exported.image.clone(),
            kind: exported.kind,
            extension: exported.extension.clone(),
            number: (numbering == Numbering::Own).then_some(exported.number),
            notes: exported.notes.clone(),
            labels: exported.labels.clone(),
            protected: exported.protected,
            created_by: exported.created_by.clone(),
            sealed_at: exported.sealed_at,
            files,
            origin: json!({
                "catalog": note.identity, "exported_at": note.exported_at, "revision": exported.number,
                "created_by": exported.created_by, "created_at": exported.created_at, "history": exported.history,
            }),
        };
        self.take_in(actor, &incoming).await
    }
}

/// Returns the names of all exports in a place, the oldest first.
pub async fn exports(backup_store: &BackupStore) -> Result<Vec<String>> {
    let names = backup_store.names(Notes::Exports).await?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect())
}

pub async fn read_export(backup_store: &BackupStore, name: &str) -> Result<ExportNote> {
    let text = backup_store.get(Notes::Exports, &format!("{name}.json")).await?;
    let note: ExportNote = serde_json::from_slice(&text)
        .map_err(|error| StorageError::Damaged(format!("{name}.json: {error}")))?;
    if note.format > FORMAT {
        let detail = format!(
            "the export {name} was written by a newer program; use that program to read it"
        );
        return Err(Error::Storage(StorageError::Unusable(detail)));
    }
    Ok(note)
}
