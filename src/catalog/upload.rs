//! How a draft gets its bytes: one file in one piece.
//!
//! A reservation first ([`Catalog::receive`]), then the bytes ([`Incoming::write`]), then one short
//! transaction that makes them the draft's ([`Incoming::finish`]). The reservation's row is what a
//! crash leaves, and what the next start cleans by. An [`Incoming`] that is dropped on the way takes
//! its bytes and its row away.

use bytes::Bytes;
use uuid::Uuid;

use super::revision::locked_details;
use super::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{Digest, File, FileRole, ImageKind, ImageName, RevisionState};
use crate::storage::blobs::{BlobWriter, Written};

/// Progress is noted every so many bytes: it frees the reservation as the disk fills, and shows
/// other servers that the upload lives.
const NOTE_EVERY: u64 = 256 * 1024 * 1024;

/// What is to come.
#[derive(Debug, Clone)]
pub struct Announcement {
    pub image: ImageName,
    pub revision: i64,
    pub role: FileRole,
    /// In bytes.
    pub size: u64,
    /// The digest that the uploader named, if any.
    pub digest: Option<Digest>,
    /// What the uploader demands of the file that has the role now.
    pub condition: Precondition,
}

impl Announcement {
    fn check_condition(&self, present: Option<&File>) -> Result<()> {
        self.condition.check(present.map(File::tag).as_deref())
    }
}

impl File {
    /// The same for the same bytes, wherever they are served.
    pub fn tag(&self) -> String {
        format!("sha256-{}", self.digest.to_hex())
    }
}

/// A file that is arriving.
pub struct Incoming {
    catalog: Catalog,
    announced: Announcement,
    blob: Reservation,
    writer: Option<BlobWriter>,
    noted: u64,
}

/// What became of it.
pub struct Received {
    pub file: File,
    /// The draft had a file in this role before.
    pub replaced: bool,
}

impl Catalog {
    /// Reserves room for a file of a draft and opens it for writing.
    pub async fn receive(&self, announced: Announcement) -> Result<Incoming> {
        let limit = self.rules.max_file_size;
        if announced.size > limit {
            return Err(Error::TooLarge { size: announced.size, limit });
        }
        let blob = Reservation {
            catalog: self.clone(),
            id: self.ids.next(),
            key: self.ids.blob_key(),
            kept: false,
        };
        self.reserve(&announced, &blob).await?;
        let writer = self.blobs.writer(&blob.key).await?;
        Ok(Incoming { catalog: self.clone(), announced, blob, writer: Some(writer), noted: 0 })
    }

    async fn reserve(&self, announced: &Announcement, blob: &Reservation) -> Result<()> {
        let mut tx = self.db.write().await?;
        let details = locked_details(&mut tx, &announced.image, announced.revision).await?;
        if details.revision.state != RevisionState::Draft {
            return Err(Error::RevisionSealed(announced.revision));
        }
        check_role(details.image.kind, announced.role)?;
        announced.check_condition(details.file(announced.role).ok())?;
        tx.lock_reservations().await?;
        if let Some(free) = self.blobs.free_bytes()? {
            let reserved = u64::try_from(tx.reserved_bytes().await?).unwrap_or(0);
            let available = free.saturating_sub(reserved).saturating_sub(self.rules.min_free);
            if announced.size > available {
                return Err(Error::NoRoom { needed: announced.size, available });
            }
        }
        let size = as_stored(announced.size)?;
        tx.insert_arriving_blob(blob.id, &blob.key, size, self.instance, self.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

impl Incoming {
    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let writer = self.writer.as_mut().ok_or(Error::UploadLost)?;
        let received = writer.size() + bytes.len() as u64;
        if received > self.announced.size {
            return Err(Error::invalid("Content-Length", "more bytes came than were announced"));
        }
        writer.write(bytes).await?;
        if received - self.noted >= NOTE_EVERY {
            self.noted = received;
            self.blob.note(received).await?;
        }
        Ok(())
    }

    /// Checks what came, makes it durable, and gives it to the draft; on refusal nothing is kept.
    pub async fn finish(mut self, actor: &Actor) -> Result<Received> {
        match self.complete(actor).await {
            Ok(received) => {
                self.blob.kept = true;
                if received.replaced {
                    self.catalog.sweep_is_due();
                }
                Ok(received)
            }
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    /// Takes everything away that has arrived.
    pub async fn abandon(mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.abort().await
        {
            tracing::debug!(%error, "the bytes of a broken upload were gone already");
        }
        self.blob.kept = true;
        self.catalog.give_up(self.blob.id).await;
    }

    async fn complete(&mut self, actor: &Actor) -> Result<Received> {
        let received = self.writer.as_ref().map_or(0, BlobWriter::size);
        if received < self.announced.size {
            return Err(Error::Truncated { announced: self.announced.size, received });
        }
        let written = self.writer.take().ok_or(Error::UploadLost)?.finish().await?;
        if let Some(expected) = self.announced.digest.filter(|expected| *expected != written.digest)
        {
            return Err(Error::DigestMismatch {
                expected: expected.to_string(),
                actual: written.digest.to_string(),
            });
        }
        self.attach(actor, written).await
    }

    async fn attach(&self, actor: &Actor, written: Written) -> Result<Received> {
        let Announcement { image, revision, role, .. } = &self.announced;
        let now = self.catalog.clock.now();
        let mut tx = self.catalog.db.write().await?;
        // Everything is asked again: the draft may have been sealed or deleted while bytes moved.
        let mut details = locked_details(&mut tx, image, *revision).await?;
        if details.revision.state != RevisionState::Draft {
            return Err(Error::RevisionSealed(*revision));
        }
        if !tx.settle_blob(self.blob.id, now).await? {
            return Err(Error::UploadLost);
        }
        let old = details.file(*role).ok().cloned();
        self.announced.check_condition(old.as_ref())?;
        if let Some(old) = &old {
            tx.delete_file(details.revision.id, *role).await?;
            tx.discard_blob(old.blob_id, now).await?;
        }
        let digest = written.digest.to_string();
        tx.insert_file(details.revision.id, *role, self.blob.id, as_stored(written.size)?, &digest)
            .await?;
        let before = old.as_ref().map(|file| file.digest.to_string());
        let entry = details.entry("file.put", actor);
        self.catalog.audit(&mut tx, entry, before.as_ref(), Some(&(role, digest))).await?;
        self.catalog.save(&mut tx, &mut details.revision).await?;
        tx.commit().await?;
        let file = File {
            revision_id: details.revision.id,
            role: *role,
            blob_id: self.blob.id,
            blob_key: self.blob.key.clone(),
            size: written.size,
            digest: written.digest,
        };
        Ok(Received { file, replaced: old.is_some() })
    }
}

fn check_role(kind: ImageKind, role: FileRole) -> Result<()> {
    if kind.roles().contains(&role) {
        return Ok(());
    }
    let kind = match kind {
        ImageKind::Medv => "medv",
        ImageKind::Single => "single",
    };
    Err(Error::RoleUnknown { kind, role })
}

fn as_stored(size: u64) -> Result<i64> {
    i64::try_from(size).map_err(|_| Error::TooLarge { size, limit: i64::MAX.unsigned_abs() })
}

/// The row that promises room to bytes that arrive; given up when dropped before they were kept.
struct Reservation {
    catalog: Catalog,
    id: Uuid,
    key: String,
    kept: bool,
}

impl Reservation {
    async fn note(&self, received: u64) -> Result<()> {
        let mut tx = self.catalog.db.write().await?;
        if !tx.note_received(self.id, as_stored(received)?, self.catalog.clock.now()).await? {
            return Err(Error::UploadLost);
        }
        Ok(tx.commit().await?)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (catalog, id) = (self.catalog.clone(), self.id);
        // A client that hangs up drops the request's future; only a task of its own can still wait.
        // Where none can be started the server is stopping, and the next start cleans up.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { catalog.give_up(id).await });
        }
    }
}

impl Catalog {
    /// Ends a reservation. What fails here is found again by the sweep.
    async fn give_up(&self, blob: Uuid) {
        let discard = async {
            let mut tx = self.db.write().await?;
            tx.discard_arriving(blob, self.clock.now()).await?;
            tx.commit().await?;
            self.remove_garbage().await
        };
        if let Err(error) = discard.await {
            tracing::warn!(%error, blob.id = %blob, "a broken upload stays until the next sweep");
        }
    }
}
