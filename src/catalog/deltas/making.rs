//! Makes one transfer file, in an unnamed file first. The bytes that it is made from are compared with their digests on
//! the way, so that damage in the store does not get into it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::pace::{Paced, stop};
use super::stored_file::StoredFile;
use super::work::{Failed, Outcome, Work};
use crate::catalog::{Catalog, Error, Result};
use crate::delta::chunks::{self, ChunkList, WholeDigest};
use crate::delta::{self, SHORTEST_GAP, Seeds};
use crate::file_system;
use crate::model::TransferFile;
use crate::storage::blobs::BlobReader;
use crate::storage::blobs::verify::{ReadPace, digest_of};
use crate::storage::{MissingDelta, StorageError, TargetFile};

/// Chunk lists that have more bytes together, those of images of some 100 GiB, are not compared: in memory they would
/// take several times as much.
pub(super) const MOST_COMPARED: u64 = 32 << 20;

/// Room for a file that is being made.
struct Reservation {
    catalog: Catalog,
    blob: Uuid,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (catalog, blob) = (self.catalog.clone(), self.blob);
        // In a task, because the work may have been dropped as well.
        self.catalog.runtime.spawn(async move {
            if let Err(error) = catalog.give_up_blobs([blob]).await {
                tracing::warn!(%error, "room that a transfer file needed is reserved until the next start");
            }
        });
    }
}

/// A file that was made on a blocking thread.
struct MadeFile {
    file: File,
    size: u64,
    cpu: Duration,
}

impl Catalog {
    pub(super) async fn make(&self, work: &Work) -> Result<(), Failed> {
        let (made, instead_of) = match work {
            Work::ChunkList(target) => {
                let _reserved = self.reserve(ChunkList::largest(target.size)).await?;
                (Some(self.make_chunk_list(target).await?), target.size)
            }
            Work::Delta(missing) => {
                let instead_of = self.cost_by_chunks(missing).await?;
                let _reserved = self.reserve(instead_of).await?;
                (self.make_delta(missing, instead_of).await?, instead_of)
            }
        };
        let outcome = match made {
            Some(made) => self.store_made(made, instead_of).await?,
            None => Outcome::Useless { instead_of },
        };
        Ok(self.record(work, outcome).await?)
    }

    /// Reserves room for an unnamed file of at most so many bytes, until the reservation is dropped.
    async fn reserve(&self, largest: u64) -> Result<Reservation, Failed> {
        // Where the store is a bucket, the file lies on the disk that uploads use on their way into it.
        let available = self.blobs.free_bytes_of_disk()?.saturating_sub(self.rules().min_free);
        if largest > available {
            return Err(Failed::NoRoom(Error::NoRoom { needed: largest, available }));
        }
        let (blob, _) = self.announce_blob(largest, largest).await?;
        Ok(Reservation { catalog: self.clone(), blob })
    }

    async fn store_made(&self, made: MadeFile, instead_of: u64) -> Result<Outcome> {
        let reader = BlobReader::local(Arc::new(made.file), made.size);
        let digest = digest_of(&reader, &mut ReadPace::new(None)).await;
        let digest = digest.map_err(|error| StorageError::file("a new transfer file", error))?;
        let blob = self.store_whole(&reader, &digest).await?;
        Ok(Outcome::Made { blob, size: made.size, digest, instead_of, cpu: made.cpu })
    }

    async fn make_chunk_list(&self, target: &TargetFile) -> Result<MadeFile, Failed> {
        let file = self.open(&target.blob_key, target.size).await?;
        let (size, digest) = (target.size, target.digest);
        self.on_thread(move |to, pace| {
            let writer = BufWriter::new(to);
            let made =
                chunks::make(file.sequential(size), size, WholeDigest::Compute, writer, pace)?;
            Ok((made.digest == digest).then_some(Some(made.list_size)))
        })
        .await?
        .ok_or_else(|| Failed::ThisOne("no chunk list was made".to_owned()))
    }

    /// Makes a delta of at most `largest` bytes; none if it would be larger.
    async fn make_delta(
        &self,
        missing: &MissingDelta,
        largest: u64,
    ) -> Result<Option<MadeFile>, Failed> {
        let target = &missing.target;
        let base = self.open(&missing.base_key, missing.base_size).await?;
        let result = self.open(&target.blob_key, target.size).await?;
        let (base_size, size) = (missing.base_size, target.size);
        let digests = (missing.base_digest, target.digest);
        self.on_thread(move |to, pace| {
            let base = delta::Input { file: &base, size: base_size };
            let result = delta::Input { file: &result, size };
            match delta::make(&base, &result, to, largest, pace) {
                Ok(made) => {
                    let found = (made.header.base.digest, made.header.result.digest);
                    Ok((found == digests).then_some(Some(made.size)))
                }
                Err(delta::Error::NotWorthIt) => Ok(Some(None)),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Runs the work on a thread of its own, with an unnamed file to write to. It returns the number of bytes, or none
    /// if they are not worth it, or none at all if what it read has not its digest.
    async fn on_thread(
        &self,
        work: impl FnOnce(&File, &mut Paced) -> Result<Option<Option<u64>>, delta::Error>
        + Send
        + 'static,
    ) -> Result<Option<MadeFile>, Failed> {
        let (rules, scratch) = (self.rules().delta, self.blobs.scratch_folder().to_owned());
        let (flag, _stop_if_nobody_waits) = stop();
        let worked = spawn_blocking(move || {
            let fail = |error| StorageError::file(scratch.display(), error);
            let file = file_system::unnamed(&scratch).map_err(fail)?;
            let mut pace = Paced::new(rules, flag);
            let made = work(&file, &mut pace);
            Ok::<_, StorageError>((made, file, pace.cpu()))
        });
        let (made, file, cpu) =
            worked.await.map_err(|error| StorageError::Unavailable(error.to_string()))??;
        match made {
            Ok(Some(size)) => Ok(size.map(|size| MadeFile { file, size, cpu })),
            Ok(None) => Err(Failed::ThisOne("stored bytes have not their digest".to_owned())),
            Err(delta::Error::Io { source, .. }) if self.concerns_all(&source) => {
                Err(StorageError::file(self.blobs.scratch_folder().display(), source).into())
            }
            Err(error) => Err(Failed::ThisOne(error.to_string())),
        }
    }

    /// Reports whether an error of reading or writing would meet the next file as well: the disk is full, or the bucket
    /// does not answer.
    fn concerns_all(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{InvalidData, NotFound, StorageFull, UnexpectedEof};

        match error.kind() {
            StorageFull => true,
            UnexpectedEof | NotFound | InvalidData => false,
            _ => !self.blobs.is_folder(),
        }
    }

    async fn open(&self, key: &str, size: u64) -> Result<StoredFile> {
        let reader = self.blobs.reader(key, size).await?;
        Ok(StoredFile::new(reader, &self.runtime))
    }

    /// Returns what a client would fetch that has the base and no delta.
    async fn cost_by_chunks(&self, missing: &MissingDelta) -> Result<u64, Failed> {
        let target = &missing.target;
        let lists = self.db.read().await?.transfer_files(target.image_id).await?;
        let of = |revision| {
            lists.iter().find(|list| {
                list.base.is_none() && (list.revision_id, list.role) == (revision, target.role)
            })
        };
        let (Some(new), Some(old)) = (of(target.revision_id), of(missing.base_id)) else {
            return Ok(target.size);
        };
        if new.size + old.size > MOST_COMPARED {
            return Ok(target.size);
        }
        let lists = (self.usable_list(new).await?, self.usable_list(old).await?);
        let planned = spawn_blocking(move || {
            let mut seeds = Seeds::default();
            seeds.add(&lists.1);
            delta::plan(&lists.0, &seeds, SHORTEST_GAP).bytes_to_fetch()
        });
        let planned =
            planned.await.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Ok((planned + new.size).min(target.size))
    }

    /// Reads a stored chunk list. One that is damaged is given up, so that it is made again.
    async fn usable_list(&self, list: &TransferFile) -> Result<ChunkList> {
        let read = self.read_chunk_list(list).await;
        if let Err(Error::Storage(error)) = &read
            && error.is_about_the_bytes()
        {
            self.discard_damaged_transfer_file(list.blob_id, &error.to_string()).await?;
        }
        read
    }

    /// Reads a stored chunk list.
    pub(super) async fn read_chunk_list(&self, list: &TransferFile) -> Result<ChunkList> {
        let damaged = |reason: String| StorageError::Damaged(format!("a chunk list: {reason}"));
        let reader = self.blobs.reader(&list.blob_key, list.size).await?;
        let (mut bytes, mut stream) = (Vec::new(), reader.stream(0..list.size));
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| damaged(error.to_string()))?);
        }
        let read = spawn_blocking(move || ChunkList::read(&bytes)).await;
        let read = read.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Ok(read.map_err(|error| damaged(error.to_string()))?)
    }
}
