//! Writing a blob: bytes are hashed and stored at the same time, part by part, in bounded memory.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{MultipartUpload, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::write_back::WriteBack;
use crate::model::Digest;
use crate::storage::error::StorageError;

/// Large enough that the hop to a blocking thread costs nothing beside the copy, small enough to stay
/// in the processor's cache between hashing and writing.
pub const LOCAL_PART: usize = 2 * 1024 * 1024;

/// Object stores take 10,000 parts at the most: 16 MiB reaches 156 GiB.
pub const REMOTE_PART: usize = 16 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    pub size: u64,
    pub digest: Digest,
}

/// A blob that is being written. Dropped unfinished, it leaves nothing under its key.
pub struct BlobWriter {
    upload: Box<dyn MultipartUpload>,
    part_size: usize,
    part: Vec<Bytes>,
    part_bytes: usize,
    size: u64,
    /// None while the part before is still being hashed.
    hasher: Option<Sha256>,
    in_flight: Option<InFlight>,
    /// For local files.
    write_back: Option<WriteBack>,
}

/// The part that is on its way while the next one is collected.
struct InFlight {
    stored: JoinHandle<object_store::Result<()>>,
    hashed: JoinHandle<Sha256>,
}

impl BlobWriter {
    pub(super) fn new(
        upload: Box<dyn MultipartUpload>,
        part_size: usize,
        write_back: Option<WriteBack>,
    ) -> Self {
        Self {
            upload,
            part_size,
            part: Vec::new(),
            part_bytes: 0,
            size: 0,
            hasher: Some(Sha256::new()),
            in_flight: None,
            write_back,
        }
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits when a whole part is collected and the one before is not stored.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StorageError> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            // Object stores want parts of equal size, so a chunk that crosses the border is cut.
            let piece = bytes.split_to(bytes.len().min(self.part_size - self.part_bytes));
            self.part_bytes += piece.len();
            self.part.push(piece);
            if self.part_bytes == self.part_size {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Stores the rest, and returns once everything is on stable storage.
    pub async fn finish(mut self) -> Result<Written, StorageError> {
        if self.part_bytes > 0 {
            self.send_part().await?;
        }
        let hasher = self.settle().await?;
        self.upload.complete().await?;
        Ok(Written { size: self.size, digest: Digest::from_bytes(hasher.finalize().into()) })
    }

    /// Gives up what was written.
    pub async fn abort(mut self) -> Result<(), StorageError> {
        // The part in flight would otherwise be written into a file that is gone; its result is moot.
        let _moot = self.settle().await;
        self.upload.abort().await?;
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), StorageError> {
        let mut hasher = self.settle().await?;
        if let Some(write_back) = &mut self.write_back {
            write_back.arrived(self.size);
        }
        let part: Arc<[Bytes]> = std::mem::take(&mut self.part).into();
        self.part_bytes = 0;
        let payload: PutPayload = part.iter().cloned().collect();
        self.in_flight = Some(InFlight {
            stored: tokio::spawn(self.upload.put_part(payload)),
            hashed: tokio::task::spawn_blocking(move || {
                for bytes in part.iter() {
                    hasher.update(bytes);
                }
                hasher
            }),
        });
        Ok(())
    }

    /// Waits for the part in flight and takes the hasher out.
    async fn settle(&mut self) -> Result<Sha256, StorageError> {
        let lost = |error: tokio::task::JoinError| StorageError::Unavailable(error.to_string());
        if let Some(InFlight { stored, hashed }) = self.in_flight.take() {
            let (stored, hashed) = tokio::join!(stored, hashed);
            self.hasher = Some(hashed.map_err(lost)?);
            stored.map_err(lost)??;
        }
        self.hasher
            .take()
            .ok_or_else(|| StorageError::Unavailable("the write failed before".to_owned()))
    }
}
