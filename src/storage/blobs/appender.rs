//! Appending to a blob. Bytes are hashed and written at the same time, piece by piece, in bounded memory, and sent to
//! their final place while more arrive: the disk of a [folder](in_folder), or a [bucket](in_bucket).
//!
//! ```text
//!   write()          batch full               both done               sync()
//!     │                  │                        │                      │
//!     ▼                  ▼                        ▼                      ▼
//!  collected ──────► written and hashed ──────► settled ────────────► kept
//!  (memory, 512 KiB)  at the same time          (the system has it)    (stable storage)
//!  └─ taken ends here                           └─ a failure falls back to here, or to kept
//! ```
//!
//! There are three offsets, from the highest to the lowest. `taken`: bytes that were handed in. `settled`: bytes that
//! the operating system has, with the digest up to there. [`Kept`]: bytes on stable storage, the only ones that may be
//! acknowledged. After a failure, writing falls back to the next lower offset, so that after a full disk everything up
//! to the last whole piece is still valid.

mod batch;
mod blocking_task;
mod in_bucket;
mod in_folder;
mod memory_budget;
pub(super) mod spool;
#[cfg(test)]
mod tests;
mod write_back;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use self::blocking_task::Pending;
use self::memory_budget::Share;
use super::bucket::Bucket;
use super::growing::{Growing, Kept, Unacknowledged};
use super::running_hash::RunningHash;
use super::staged_file::write_at;
use crate::storage::error::StorageError;
use batch::Batch;
use in_bucket::InBucket;
use in_folder::InFolder;

/// A blob that grows at its end.
pub struct Appender {
    place: Place,
    batch: Batch,
    settled: u64,
    hash: RunningHash,
    in_flight: Option<InFlight>,
    _share: Share,
}

enum Place {
    Folder(Box<InFolder>),
    Bucket(Box<InBucket>),
}

/// The batch that is being written while the next one is collected.
struct InFlight {
    length: u64,
    written: Pending<std::io::Result<()>>,
    hashed: Pending<RunningHash>,
}

impl Appender {
    /// Opens a file at the end of what was kept. After a crash between the final rename and the update of the row, the
    /// file is found under its final name, `complete`.
    pub(super) async fn in_folder(
        path: PathBuf,
        complete: PathBuf,
        growing: Growing,
    ) -> Result<Self, StorageError> {
        let (place, settled, hash) = InFolder::open(path, complete, growing).await?;
        Ok(Self::new(Place::Folder(Box::new(place)), settled, hash))
    }

    /// Opens a multipart upload at the end of what was kept.
    pub(super) async fn in_bucket(bucket: Bucket, growing: Growing) -> Result<Self, StorageError> {
        let (mut hash, mut settled) = (growing.kept.hash()?, growing.kept.received);
        let take_in = matches!(growing.unacknowledged, Unacknowledged::TakeIn { .. });
        let mut place = InBucket::open(bucket, growing).await?;
        if take_in {
            (settled, hash) = place.take_in_all(settled, hash).await?;
        }
        Ok(Self::new(Place::Bucket(Box::new(place)), settled, hash))
    }

    fn new(place: Place, settled: u64, hash: RunningHash) -> Self {
        let (batch, share) = (Batch::default(), Share::take());
        Self { place, batch, settled, hash, in_flight: None, _share: share }
    }

    /// Returns the offset of the next byte.
    pub fn taken(&self) -> u64 {
        self.batch_start() + self.batch.len()
    }

    /// Returns the offset at which the batch that is being collected begins.
    fn batch_start(&self) -> u64 {
        self.settled + self.in_flight.as_ref().map_or(0, |batch| batch.length)
    }

    /// Reports whether the appender can be kept open between two pieces without losing anything. In a bucket, the bytes
    /// that do not fill a part would stay on this machine.
    pub const fn may_stay_open(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    /// Announces that the sender is going to wait for an answer at `end`, as far as is known now.
    pub fn expect_end(&mut self, end: u64) {
        if let Place::Folder(place) = &mut self.place {
            place.expect_end(end);
        }
    }

    /// Sets the length of the blob. To be called before the [last sync](Self::sync) of a blob whose length was unknown.
    pub fn set_end(&mut self, end: u64) {
        match &mut self.place {
            Place::Folder(place) => place.expect_end(end),
            Place::Bucket(place) => place.set_end(end),
        }
    }

    /// Verifies the bytes that the next ones are appended to. Returns `TailChanged` if they are not what was kept.
    pub async fn prepare(&mut self) -> Result<(), StorageError> {
        match &mut self.place {
            Place::Folder(_) => Ok(()),
            Place::Bucket(place) => place.prepare(self.settled).await,
        }
    }

    /// Takes the next bytes. Waits if a whole batch is collected and the one before it is not written yet.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            let room = self.place.room(self.batch_start()).min(Share::size());
            self.batch.push(&mut bytes, room);
            if self.batch.is_whole() {
                self.send_batch().await?;
            }
        }
        Ok(())
    }

    /// Returns what has reached stable storage by itself since the last call.
    pub fn kept_meanwhile(&mut self) -> Option<Kept> {
        match &mut self.place {
            Place::Folder(place) => place.kept(),
            Place::Bucket(place) => place.kept(),
        }
    }

    /// Notes that the bytes up to `received` are acknowledged: the catalog has recorded their parts.
    pub fn noted(&mut self, received: u64) {
        if let Place::Bucket(place) = &mut self.place {
            place.noted(received);
        }
    }

    /// Releases the local copies of the bytes up to `kept`: they are on stable storage and will not be needed after a
    /// kill.
    pub async fn release_spool(&self, kept: u64) {
        if let Place::Bucket(place) = &self.place {
            place.release_spool(kept).await;
        }
    }

    /// Brings everything that was taken to stable storage. After a failure, whatever could be written is written, and
    /// the next call reports how much that was; only a sync that failed in a folder is never repeated.
    pub async fn sync(&mut self) -> Result<Kept, StorageError> {
        if let Place::Bucket(place) = &self.place
            && let Some(kept) = place.after_failure()
        {
            return Ok(kept);
        }
        if self.batch.len() > 0 {
            self.send_batch().await?;
        }
        self.settle().await?;
        match &mut self.place {
            Place::Folder(place) => place.flush(self.settled, &self.hash).await,
            Place::Bucket(place) => place.flush(self.settled, &self.hash).await,
        }
    }

    /// Drops what is not written yet and waits for what is being written. Nothing more is written afterwards.
    pub async fn stop(&mut self) {
        self.batch = Batch::default();
        // A failure drops the batch, which is all that is wanted here.
        let _moot = self.settle().await;
        if let Place::Bucket(place) = &mut self.place {
            place.stop().await;
        }
    }

    async fn send_batch(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        self.place.on_settled(self.settled, &self.hash).await?;
        let (file, offset) = self.place.file(self.settled).await?;
        let length = self.batch.len();
        let pieces = self.batch.take();
        let to_hash = pieces.clone();
        let mut hash = self.hash.clone();
        self.in_flight = Some(InFlight {
            length,
            written: Pending::start(move || write_at(&file, &pieces, offset)),
            hashed: Pending::start(move || {
                for bytes in to_hash.iter() {
                    hash.update(bytes);
                }
                hash
            }),
        });
        Ok(())
    }

    /// Waits for the batch in flight. A batch that failed counts as never taken.
    async fn settle(&mut self) -> Result<(), StorageError> {
        let Some(batch) = &mut self.in_flight else { return Ok(()) };
        batch.written.ended().await;
        batch.hashed.ended().await;
        // Nothing is awaited from here on, so that a dropped request cannot lose a batch.
        let Some(InFlight { length, written, hashed }) = self.in_flight.take() else {
            return Ok(());
        };
        let settled = match (written.result(), hashed.result()) {
            (Ok(Ok(())), Ok(hash)) => Ok(hash),
            (Ok(Err(error)), _) => Err(StorageError::file("an upload", error)),
            (Err(error), _) | (_, Err(error)) => Err(StorageError::Unavailable(error)),
        };
        match settled {
            Ok(hash) => {
                self.hash = hash;
                self.settled += length;
                Ok(())
            }
            Err(error) => {
                // The bytes collected behind it have lost their place.
                self.batch = Batch::default();
                Err(error)
            }
        }
    }
}

impl Place {
    /// Returns how many bytes may be written together from `at` on.
    fn room(&self, at: u64) -> u64 {
        match self {
            Self::Folder(_) => u64::MAX,
            Self::Bucket(place) => place.room(at),
        }
    }

    async fn on_settled(&mut self, settled: u64, hash: &RunningHash) -> Result<(), StorageError> {
        match self {
            Self::Folder(place) => place.on_settled(settled, hash),
            Self::Bucket(place) => place.on_settled(settled, hash).await,
        }
    }

    /// Returns the file for the bytes at `at`, and their offset in it.
    async fn file(&mut self, at: u64) -> Result<(Arc<File>, u64), StorageError> {
        match self {
            Self::Folder(place) => Ok((place.file(), at)),
            Self::Bucket(place) => place.file(at).await,
        }
    }
}
