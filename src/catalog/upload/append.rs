//! Appends bytes to an open session: they are written as they arrive, and acknowledged when they are on stable storage.
//!
//! Progress is recorded while bytes arrive, so that little is sent again after a crash of the machine. However an
//! append ends (its connection breaks, a newer request arrives, the disk is full, the request is simply dropped), what
//! has arrived is saved. Only bytes that come with a checksum and are not proven by it are discarded.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::Digest as _;

use super::Checksum;
use super::lease::{Claimed, RENEW_AFTER};
use super::writer_queue::Turn;
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{Upload, UploadState};
use crate::storage::StorageError;
use crate::storage::blobs::{Appender, Kept, WriteLease};

/// The time or the number of bytes after which progress is recorded, whichever comes first: the loss in a crash of the
/// machine, against one small commit each time.
const NOTE_AFTER: Duration = Duration::from_secs(1);
const NOTE_EVERY: u64 = 64 * 1024 * 1024;

/// The interval at which a writer whose client sends nothing checks whether another server wants the session.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The interval, in bytes written, at which the disk's free space is checked.
const FLOOR_EVERY: u64 = 1024 * 1024;

/// A session that is open for writing. Callers should [save](Self::save) it; one that is dropped is saved in the
/// background.
pub struct Appending(pub(super) Option<Open>);

/// The state of an append in progress.
pub(super) struct Open {
    pub(super) catalog: Catalog,
    actor: Actor,
    pub(super) upload: Upload,
    pub(super) claim: i64,
    pub(super) lease: WriteLease,
    pub(super) appender: Appender,
    pub(super) turn: Turn,
    /// The reason why the bytes are gone from the store, if they are. Nothing can be appended to them then.
    gone: Option<String>,
    check: Option<RunningCheck>,
    noted: Noted,
    floor_checked_at: Option<u64>,
}

struct Noted {
    received: u64,
    at: Instant,
}

/// The checksum that came with the bytes, and the checksum of the bytes so far.
struct RunningCheck {
    expected: Checksum,
    sha1: sha1::Sha1,
    sha256: sha2::Sha256,
}

impl Appending {
    fn open(&mut self) -> Result<&mut Open> {
        self.0.as_mut().ok_or(Error::UploadLost)
    }

    fn into_open(mut self) -> Result<Open> {
        self.0.take().ok_or(Error::UploadLost)
    }

    /// Returns the session as it was opened: its `received` is the place of the first byte.
    pub fn upload(&self) -> Option<&Upload> {
        self.0.as_ref().map(|open| &open.upload)
    }

    /// Writes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.open()?.write(bytes).await
    }

    /// Waits until a newer request, here or on another server, wants the session, or the session is gone.
    pub async fn superseded(&mut self) {
        if let Some(open) = &mut self.0 {
            open.superseded().await;
        }
    }

    /// Saves and acknowledges what has arrived: it is on stable storage when this returns. Returns `ChecksumMismatch`
    /// if it does not match its checksum; then nothing of it is kept.
    pub async fn save(self) -> Result<Upload> {
        let open = self.into_open()?;
        let catalog = open.catalog.clone();
        catalog.to_the_end(open.save()).await
    }

    /// Refuses an append that has more bytes than the file: none of them count. If the whole file was already
    /// acknowledged on the way, the session ends, because the next request for it would make it a file.
    pub async fn refuse_all(self) -> Result<()> {
        let mut open = self.into_open()?;
        let catalog = open.catalog.clone();
        let refusing = async move {
            if !open.upload.is_full() {
                return open.forget().await;
            }
            open.appender.stop().await;
            open.catalog.discard_or_log(&open.upload).await;
            Ok(open.catalog.blobs.clear_spool(&open.upload.blob_key)?)
        };
        catalog.to_the_end(refusing).await
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        // A client that disconnects drops the request's future. Only a separate task can still wait, and not a task of
        // the worker, which may be the next to stop.
        let (runtime, saving) = (open.catalog.runtime.clone(), open.catalog.shared.saving.clone());
        saving.spawn_on(open.save_or_log(), &runtime);
    }
}

impl Open {
    pub(super) fn new(
        catalog: &Catalog,
        actor: &Actor,
        claimed: Claimed,
        appender: Appender,
        turn: Turn,
    ) -> Self {
        let Claimed { upload, number: claim, lease, .. } = claimed;
        let noted = Noted { received: upload.received, at: Instant::now() };
        Self {
            catalog: catalog.clone(),
            actor: actor.clone(),
            upload,
            claim,
            lease,
            appender,
            turn,
            gone: None,
            check: None,
            noted,
            floor_checked_at: None,
        }
    }

    /// Sets the checksum that the bytes have to match to count.
    pub(super) fn proving(mut self, checksum: Option<Checksum>) -> Self {
        self.check = checksum.map(RunningCheck::new);
        self
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let end = self.appender.taken() + bytes.len() as u64;
        self.reserve_up_to(end).await?;
        if self.floor_checked_at.is_none_or(|at| end - at >= FLOOR_EVERY) {
            self.floor_checked_at = Some(end);
            self.catalog.check_floor()?;
        }
        if let Some(check) = &mut self.check {
            check.update(&bytes);
        }
        if self.lease.age() >= RENEW_AFTER {
            self.renew().await?;
        }
        let (id, claim) = (self.upload.id, self.claim);
        let writing = self.appender.write(bytes);
        let written = self.catalog.holding(id, claim, &self.lease, writing).await;
        if let Err(StorageError::Damaged(what)) = &written {
            self.gone = Some(what.clone());
        }
        written?;
        match self.appender.kept_meanwhile() {
            Some(kept) if self.check.is_some() => self.appender.release_spool(kept.received).await,
            Some(kept) if self.noted.is_due(&kept) => self.note(&kept).await?,
            _ => {}
        }
        Ok(())
    }

    /// Reserves what an upload of unknown length needs. Refuses bytes beyond the end of one of known length.
    async fn reserve_up_to(&mut self, end: u64) -> Result<()> {
        match self.upload.length() {
            Some(size) if end > size => Err(Error::BeyondEnd { size, end }),
            None if end >= self.upload.size => {
                self.catalog.check_open_ended(end)?;
                let (actor, claim) = (&self.actor, self.claim);
                let id = self.upload.id;
                let reserving = self.catalog.reserve_more(actor, &mut self.upload, claim, end);
                self.catalog.holding(id, claim, &self.lease, reserving).await
            }
            None => self.catalog.check_open_ended(end),
            Some(_) => Ok(()),
        }
    }

    /// Sets the length of the file, which was unknown: it ends here.
    pub(super) async fn settle_length(&mut self, length: u64) -> Result<()> {
        let (actor, claim) = (&self.actor, self.claim);
        self.catalog.settle_length(actor, &mut self.upload, claim, length).await?;
        self.appender.set_end(length);
        Ok(())
    }

    pub(super) async fn note(&mut self, kept: &Kept) -> Result<()> {
        let (catalog, claim) = (&self.catalog, self.claim);
        let newest = catalog.note_progress(&mut self.upload, claim, &self.lease, kept).await?;
        self.noted = Noted { received: kept.received, at: Instant::now() };
        self.appender.noted(kept.received);
        self.appender.release_spool(kept.received).await;
        if newest > claim { Err(Error::UploadTakenOver) } else { Ok(()) }
    }

    /// Renews the lease, for which a client that sends slowly and steadily gives no other occasion.
    async fn renew(&self) -> Result<()> {
        match self.catalog.renew(self.upload.id, self.claim, &self.lease).await {
            Ok(Some(newest)) if newest > self.claim => Err(Error::UploadTakenOver),
            Ok(None) => Err(Error::UploadLost),
            // The lease expires by itself if the database stays unreachable.
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    async fn superseded(&mut self) {
        loop {
            tokio::select! {
                () = self.turn.is_over() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // A database that is unreachable for a moment is no reason to stop.
            if let Ok(false) = self.still_holds().await {
                return;
            }
        }
    }

    /// Reports whether this writer still has the session. It only reads: a thousand idle writers that each reported
    /// every second would leave SQLite's one writer no time for anything else. If the lease expires meanwhile, the next
    /// bytes detect it.
    async fn still_holds(&self) -> Result<bool> {
        let upload = self.catalog.db.look().await?.upload(self.upload.id).await?;
        Ok(upload.is_some_and(|upload| {
            upload.newest_claim == self.claim && upload.state == UploadState::Receiving
        }))
    }

    async fn save(mut self) -> Result<Upload> {
        let check = self.check.take();
        let proven = check.is_some();
        if check.is_some_and(|check| !check.holds()) {
            self.forget().await?;
            return Err(Error::ChecksumMismatch);
        }
        let first = self.sync().await;
        if let Err(StorageError::Damaged(what)) = &first {
            self.gone = Some(what.clone());
        }
        if let Some(what) = self.gone.take() {
            self.appender.stop().await;
            return Err(self.catalog.end_without_bytes(&self.upload, &what).await);
        }
        if let Ok(kept) = &first
            && !proven
            && self.may_stay_open(kept)
        {
            let kept = kept.clone();
            return self.note_and_rest(&kept).await;
        }
        let kept = match &first {
            Ok(kept) => Ok(kept.clone()),
            // What could be written before the failure counts nevertheless.
            Err(_) => self.sync().await,
        };
        self.release(kept.ok().as_ref()).await?;
        first?;
        Ok(self.upload)
    }

    /// Brings everything that has arrived to stable storage.
    pub(super) async fn sync(&mut self) -> std::result::Result<Kept, StorageError> {
        let syncing = self.appender.sync();
        self.catalog.holding(self.upload.id, self.claim, &self.lease, syncing).await
    }

    async fn release(&mut self, kept: Option<&Kept>) -> Result<()> {
        let released = self.catalog.release(&mut self.upload, self.claim, kept).await;
        if matches!(released, Err(Error::UploadLost)) {
            self.take_back(kept).await;
        }
        released?;
        if let Err(error) = self.catalog.blobs.clear_spool(&self.upload.blob_key) {
            tracing::warn!(%error, upload = %self.upload.id,
                "the spool folder of an upload could not be removed; it stays until the upload ends");
        }
        Ok(())
    }

    /// Removes what was sent and cannot be recorded any more, because nobody else knows of it.
    async fn take_back(&self, kept: Option<&Kept>) {
        if let Some(tail) = kept.and_then(|kept| kept.tail.as_deref())
            && self.upload.tail.as_deref() != Some(tail)
            && let Err(error) = self.catalog.blobs.remove_tail(&self.upload.blob_key, tail).await
        {
            tracing::warn!(%error, upload = %self.upload.id, tail,
                "the tail of an upload could not be removed and may stay in the store");
        }
        self.catalog.remove_if_forgotten(&self.upload).await;
    }

    /// Releases the session as it was before.
    pub(super) async fn forget(mut self) -> Result<()> {
        self.appender.stop().await;
        let released = self.release(None).await;
        self.catalog.remove_if_forgotten(&self.upload).await;
        released
    }

    async fn save_or_log(self) {
        let id = self.upload.id;
        // Bytes that came with a checksum did not all arrive.
        let ended =
            if self.check.is_some() { self.forget().await } else { self.save().await.map(drop) };
        if let Err(error) = ended {
            tracing::info!(upload = %id, %error, "the bytes of an interrupted request were not saved");
        }
    }
}

impl Noted {
    fn is_due(&self, kept: &Kept) -> bool {
        // A part in a bucket is recorded at once, because until then it also stays in the spool folder.
        !kept.parts.is_empty()
            || kept.received - self.received >= NOTE_EVERY
            || self.at.elapsed() >= NOTE_AFTER
    }
}

impl RunningCheck {
    fn new(expected: Checksum) -> Self {
        Self { expected, sha1: sha1::Sha1::new(), sha256: sha2::Sha256::new() }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self.expected {
            Checksum::Sha1(_) => self.sha1.update(bytes),
            Checksum::Sha256(_) => self.sha256.update(bytes),
        }
    }

    fn holds(self) -> bool {
        match self.expected {
            Checksum::Sha1(expected) => expected[..] == self.sha1.finalize()[..],
            Checksum::Sha256(expected) => expected[..] == self.sha256.finalize()[..],
        }
    }
}
