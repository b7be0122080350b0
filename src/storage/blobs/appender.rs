//! Appending to a blob: bytes are hashed and written at the same time, piece by piece, in bounded
//! memory, and sent to the disk while more arrive.
//!
//! Three offsets follow one another. `taken`: bytes that were handed in. `settled`: bytes that the
//! system has, with the digest up to there. [`Kept`]: bytes on stable storage, the only ones that may be
//! acknowledged. What fails falls back to the offset before, so that after a full disk everything up
//! to the last whole piece is still good.

mod part;
mod pending;
mod write_back;

use std::path::PathBuf;

use bytes::Bytes;
use tokio::task::{JoinError, spawn_blocking};

use super::running_hash::RunningHash;
use super::staged_file::{StagedFile, write_at};
use crate::storage::error::StorageError;
use part::Part;
use pending::Pending;
use write_back::WriteBack;

/// Bytes that are on stable storage, and the digest up to there, ready to be gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub received: u64,
    pub hash_state: String,
}

/// What to do with bytes past those that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The server was killed and the machine was not: they are what was sent. Takes them in.
    TakeIn,
    /// Nobody knows what they are: cuts them off.
    CutOff,
}

/// A blob that grows at its end.
pub struct Appender {
    staged: StagedFile,
    part: Part,
    settled: u64,
    hash: RunningHash,
    in_flight: Option<InFlight>,
    write_back: WriteBack,
}

/// The part that is on its way while the next one is collected.
struct InFlight {
    length: u64,
    written: Pending<std::io::Result<()>>,
    hashed: Pending<RunningHash>,
}

impl Appender {
    /// Opens the blob at the end of what was kept; under its final name, `complete`, where a crash came
    /// between that and the row. `size` is what the whole blob will have.
    pub(super) async fn open(
        path: PathBuf,
        complete: PathBuf,
        kept: Kept,
        size: u64,
        tail: Tail,
    ) -> Result<Self, StorageError> {
        let opened = spawn_blocking(move || {
            let mut hash = RunningHash::restore(&kept.hash_state)
                .map_err(|error| StorageError::Damaged(error.to_string()))?;
            let staged = StagedFile::open(path, &complete)?;
            let settled = match tail {
                Tail::TakeIn => staged.read_tail(kept.received, size, &mut hash)?,
                Tail::CutOff => kept.received,
            };
            staged.cut(settled)?;
            Ok::<_, StorageError>((staged, settled, hash))
        });
        let (staged, settled, hash) = opened.await.map_err(|error| lost(&error))??;
        let write_back = WriteBack::of(staged.file(), settled);
        Ok(Self { staged, part: Part::default(), settled, hash, in_flight: None, write_back })
    }

    /// Where the next byte goes.
    pub fn taken(&self) -> u64 {
        let in_flight = self.in_flight.as_ref().map_or(0, |part| part.length);
        self.settled + in_flight + self.part.len()
    }

    /// Takes the next bytes; waits when a whole part is collected and the one before is not written.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StorageError> {
        while !bytes.is_empty() {
            self.part.push(&mut bytes);
            if self.part.is_whole() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// What has reached stable storage by itself since the last call.
    pub fn kept_meanwhile(&mut self) -> Option<Kept> {
        self.write_back.kept()
    }

    /// Everything that was taken is on stable storage when this returns. After a failure what could be
    /// written is, and the next call says how much that was.
    pub async fn sync(&mut self) -> Result<Kept, StorageError> {
        if self.part.len() > 0 {
            self.send_part().await?;
        }
        self.settle().await?;
        self.write_back.finish(self.settled, &self.hash).await
    }

    /// Lets go of what was not written yet and waits for what is on its way: afterwards nothing more
    /// is written.
    pub async fn stop(&mut self) {
        self.part = Part::default();
        // A failure leaves the part out, which is all that is wanted here.
        let _moot = self.settle().await;
    }

    async fn send_part(&mut self) -> Result<(), StorageError> {
        self.settle().await?;
        self.write_back.arrived(self.settled, &self.hash)?;
        let length = self.part.len();
        let pieces = self.part.take();
        let (file, to_hash, offset) = (self.staged.file(), pieces.clone(), self.settled);
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

    /// Waits for the part in flight; one that failed is as if it had never been taken.
    async fn settle(&mut self) -> Result<(), StorageError> {
        let Some(part) = &mut self.in_flight else { return Ok(()) };
        part.written.ended().await;
        part.hashed.ended().await;
        // From here on nothing waits, so that no part is forgotten by a request that is dropped.
        let Some(InFlight { length, written, hashed }) = self.in_flight.take() else {
            return Ok(());
        };
        let settled = match (written.result(), hashed.result()) {
            (Ok(Ok(())), Ok(hash)) => Ok(hash),
            (Ok(Err(error)), _) => Err(StorageError::file("an upload")(error)),
            (Err(error), _) | (_, Err(error)) => Err(StorageError::Unavailable(error)),
        };
        match settled {
            Ok(hash) => {
                self.hash = hash;
                self.settled += length;
                Ok(())
            }
            Err(error) => {
                // What was collected behind it has lost its place.
                self.part = Part::default();
                Err(error)
            }
        }
    }
}

fn lost(error: &JoinError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}
