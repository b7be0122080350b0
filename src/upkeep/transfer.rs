//! Imports revisions unchanged, from an export or from a folder that another system kept.
//!
//! The bytes come first, each file compared with its digest, then the revision in one step. An interrupted import is
//! invisible, and the sweep removes what it copied. A revision that exists already stays, and is healed if it is
//! damaged.

use std::path::PathBuf;

use chrono::{DateTime, Datelike as _, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::image::{ImageDefinition, check_labels, living_image, locked_image};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::revision::LARGEST_NUMBER;
use crate::model::{
    DamagedFile, Digest, File, FileRole, Image, ImageKind, ImageName, Labels, Revision,
    RevisionState,
};
use crate::storage::blobs::{BlobReader, ReadFile};
use crate::storage::{StorageError, Tx};

/// The number that an imported revision gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbering {
    /// Its own number.
    #[default]
    Own,
    /// The image's next number.
    Next,
}

/// A revision to be imported.
pub struct IncomingRevision {
    pub image: ImageName,
    pub kind: ImageKind,
    pub extension: String,
    /// The revision's number, or none for the image's next one.
    pub number: Option<i64>,
    pub notes: String,
    pub labels: Labels,
    pub protected: bool,
    pub created_by: String,
    pub sealed_at: DateTime<Utc>,
    pub files: Vec<IncomingFile>,
    /// The revision's origin and history there, for the audit log.
    pub origin: Value,
}

pub struct IncomingFile {
    pub role: FileRole,
    pub size: u64,
    pub digest: Digest,
    pub source: Source,
}

/// The place of a file's bytes.
pub enum Source {
    /// A local file, which is hard-linked if possible.
    Link {
        path: PathBuf,
        read: ReadFile,
        reader: BlobReader,
    },
    Copy(BlobReader),
}

/// The result of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    New(i64),
    /// The revision existed already, with the same bytes.
    There(i64),
}

/// A stored blob that does not belong to a file yet.
struct Stored {
    blob: Uuid,
    role: FileRole,
    size: i64,
    digest: Digest,
}

impl Catalog {
    /// Imports a revision. Creates its image if it does not exist. A revision that exists already is healed if its
    /// bytes are damaged.
    pub async fn take_in(&self, actor: &Actor, incoming: &IncomingRevision) -> Result<Taken> {
        check(incoming)?;
        if let Some(there) = self.look_before(actor, incoming).await? {
            self.heal_from_incoming(actor, incoming, there).await?;
            return Ok(Taken::There(there));
        }
        let mut stored = Vec::new();
        for file in &incoming.files {
            match self.store(file).await {
                Ok(file) => stored.push(file),
                Err(error) => {
                    self.give_up_blobs(stored.iter().map(|file| file.blob)).await?;
                    return Err(error);
                }
            }
        }
        let taken = self.insert_incoming(actor, incoming, &stored).await;
        if !matches!(taken, Ok(Taken::New(_))) {
            self.give_up_blobs(stored.iter().map(|file| file.blob)).await?;
        }
        taken
    }

    /// Checks everything that can be checked before any byte is moved, and creates the image.
    async fn look_before(&self, actor: &Actor, incoming: &IncomingRevision) -> Result<Option<i64>> {
        let mut tx = self.db.read().await?;
        match living_image(&mut tx, &incoming.image).await {
            Ok(image) => {
                check_kind(&image, incoming)?;
                number_for(&mut tx, &image, incoming).await.map(Number::there)
            }
            Err(Error::ImageNotFound) => {
                drop(tx);
                let definition = ImageDefinition {
                    extension: Some(incoming.extension.clone()),
                    ..ImageDefinition::bare(incoming.image.clone(), incoming.kind)
                };
                self.create_image(actor, &definition).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn heal_from_incoming(
        &self,
        actor: &Actor,
        incoming: &IncomingRevision,
        number: i64,
    ) -> Result<()> {
        let damaged = self.db.read().await?.damaged_files().await?;
        let is_of_it =
            |file: &&DamagedFile| file.image == incoming.image && file.revision == number;
        for file in damaged.iter().filter(is_of_it) {
            let same = incoming.files.iter().find(|other| other.digest == file.digest);
            if let Some(IncomingFile { source, .. }) = same {
                let (Source::Copy(reader) | Source::Link { reader, .. }) = source;
                self.heal_from(actor, file, reader).await?;
            }
        }
        Ok(())
    }

    async fn store(&self, file: &IncomingFile) -> Result<Stored> {
        let size = i64::try_from(file.size).unwrap_or(i64::MAX);
        let stored = |blob| Stored { blob, role: file.role, size, digest: file.digest };
        let (Source::Copy(reader) | Source::Link { reader, .. }) = &file.source;
        if let Source::Link { path, read, .. } = &file.source {
            // A hard link takes no disk space.
            let (blob, key) = self.announce_blob(file.size, 0).await?;
            match self.blobs.link(path, &key, read).await {
                Ok(true) => return Ok(stored(blob)),
                Ok(false) => self.give_up_blobs([blob]).await?,
                Err(error) => {
                    self.give_up_blobs([blob]).await?;
                    return Err(error.into());
                }
            }
        }
        self.store_whole(reader, &file.digest).await.map(stored)
    }

    async fn insert_incoming(
        &self,
        actor: &Actor,
        incoming: &IncomingRevision,
        stored: &[Stored],
    ) -> Result<Taken> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, &incoming.image).await?;
        check_kind(&image, incoming)?;
        // Check again under the lock.
        let number = match number_for(&mut tx, &image, incoming).await? {
            Number::There(number) => return Ok(Taken::There(number)),
            Number::Next => tx.take_revision_number(image.id).await?,
            Number::Free(number) => {
                tx.set_next_revision(image.id, number + 1).await?;
                number
            }
        };
        let revision = Revision {
            id: self.ids.next(),
            image_id: image.id,
            number,
            state: RevisionState::Ready,
            notes: incoming.notes.clone(),
            labels: incoming.labels.clone(),
            protected: incoming.protected,
            version: 1,
            created_by: incoming.created_by.clone(),
            created_at: now,
            updated_at: now,
            sealed_at: Some(incoming.sealed_at),
        };
        tx.insert_revision(&revision).await?;
        for file in stored {
            if !tx.settle_blob(file.blob, now).await? {
                return Err(Error::UploadLost);
            }
            let digest = file.digest.to_string();
            tx.insert_file(revision.id, file.role, file.blob, file.size, &digest).await?;
        }
        let subject = format!("images/{}/revisions/{number}", image.name);
        let entry = Entry { action: "revision.import", subject, actor };
        self.audit(&mut tx, entry, NOTHING, Some(&incoming.origin));
        tx.commit().await?;
        Ok(Taken::New(number))
    }
}

/// The number that a revision gets.
enum Number {
    There(i64),
    Free(i64),
    Next,
}

impl Number {
    fn there(self) -> Option<i64> {
        match self {
            Self::There(number) => Some(number),
            Self::Free(_) | Self::Next => None,
        }
    }
}

async fn number_for(tx: &mut Tx, image: &Image, incoming: &IncomingRevision) -> Result<Number> {
    let Some(number) = incoming.number else {
        // It may have been imported before, for example by a run that was interrupted.
        for revision in tx.living_revisions(image.id).await? {
            if is_same(&revision, &tx.files_of(revision.id).await?, incoming) {
                return Ok(Number::There(revision.number));
            }
        }
        return Ok(Number::Next);
    };
    let Some(revision) = tx.revision(image.id, number).await? else {
        let next = tx.next_revision(image.id).await?;
        return if number >= next {
            Ok(Number::Free(number))
        } else {
            Err(taken(image, number, "was used before"))
        };
    };
    if revision.state == RevisionState::Deleted {
        return Err(taken(image, number, "was deleted here"));
    }
    if is_same(&revision, &tx.files_of(revision.id).await?, incoming) {
        return Ok(Number::There(number));
    }
    Err(taken(image, number, "has other bytes here"))
}

fn is_same(revision: &Revision, files: &[File], incoming: &IncomingRevision) -> bool {
    revision.sealed_at.is_some()
        && files.len() == incoming.files.len()
        && incoming.files.iter().all(|file| {
            files.iter().any(|other| (other.role, other.digest) == (file.role, file.digest))
        })
}

/// Checks that an imported revision follows the same rules as one that is made here.
fn check(incoming: &IncomingRevision) -> Result<()> {
    let refuse = |detail: &str| {
        let name = &incoming.image;
        Err(StorageError::Unusable(format!("{name}: {detail}")).into())
    };
    let mut roles: Vec<_> = incoming.files.iter().map(|file| file.role).collect();
    roles.sort_unstable();
    let mut expected = incoming.kind.roles().to_vec();
    expected.sort_unstable();
    if roles != expected {
        return refuse("it must have exactly one file of each role");
    }
    if incoming.number.is_some_and(|number| !(1..=LARGEST_NUMBER).contains(&number)) {
        return refuse("its number is not a valid revision number");
    }
    if !(1970..=9999).contains(&incoming.sealed_at.year()) {
        return refuse("its date is not between 1970 and 9999");
    }
    let texts = incoming.labels.iter().flat_map(|(key, value)| [key, value]);
    if texts.chain([&incoming.notes, &incoming.created_by]).any(|text| text.contains('\0')) {
        return refuse("its notes, labels or creator contain a NUL character");
    }
    if incoming.notes.len() > 100_000 || incoming.created_by.len() > 1000 {
        return refuse("its notes or the name of its creator are too long");
    }
    check_labels(&incoming.labels)
}

fn taken(image: &Image, number: i64, why: &str) -> Error {
    let detail = format!(
        "{} revision {number} {why}, and numbers are never used again; import it with --renumber",
        image.name
    );
    StorageError::Unusable(detail).into()
}

fn check_kind(image: &Image, incoming: &IncomingRevision) -> Result<()> {
    if (image.kind, &image.extension) == (incoming.kind, &incoming.extension) {
        return Ok(());
    }
    let (name, extension) = (&image.name, &image.extension);
    let detail = format!(
        "the image {name} has files with the extension {extension} here, not {}",
        incoming.extension
    );
    Err(StorageError::Unusable(detail).into())
}
