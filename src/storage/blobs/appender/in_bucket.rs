//! A blob that grows in a bucket: whole parts of a multipart upload, and a tail object with the bytes that do not fill
//! a part, from which any server can continue.
//!
//! A part is collected in the [`Spool`] and sent while the next one is collected. The last part ends with the file and
//! may be shorter, so a file that has arrived completely has no tail.
//!
//! A part request of a writer that was taken over may end after the new writer's request, for example on a server that
//! was suspended; [`WriteLease`](crate::storage::blobs::WriteLease) only keeps that writer from beginning another. It
//! cannot corrupt the file: parts are named by the ids that the store gave for their content, and completing with a
//! part that was replaced by other bytes fails. A tail has its writer's number in its name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::spool::Spool;
use crate::storage::blobs::bucket::Bucket;
use crate::storage::blobs::growing::{Growing, Kept, StoredPart, Unacknowledged};
use crate::storage::blobs::running_hash::RunningHash;
use crate::storage::error::{StorageError, away, lost};

pub(super) struct InBucket {
    bucket: Bucket,
    growing: Growing,
    part_size: u64,
    spool: Spool,
    /// The number and the file of the part that is being collected.
    file: Option<(u64, Arc<File>)>,
    /// The tail object with the first bytes of that part, until they are in the file.
    to_fetch: Option<String>,
    sending: Option<Sending>,
    /// The end of the last part that was sent or is being sent.
    sent: u64,
    kept: Kept,
    is_news: bool,
    failed: bool,
}

/// The part that is being sent while the next one is collected.
struct Sending {
    number: u64,
    end: u64,
    hash_state: String,
    task: JoinHandle<Result<String, StorageError>>,
}

impl InBucket {
    /// Opens the blob at the end of what was kept. Bytes that only the bucket has are fetched with the first new byte,
    /// because most clients that open a session only ask for its state.
    pub(super) async fn open(bucket: Bucket, growing: Growing) -> Result<Self, StorageError> {
        let before = match growing.unacknowledged {
            Unacknowledged::TakeIn { of_writer } => Some(of_writer),
            Unacknowledged::CutOff => None,
        };
        let (folder, writer) = (bucket.spool.join(&growing.key), growing.writer);
        let opened = spawn_blocking(move || Spool::open(&folder, writer, before));
        let spool = opened.await.map_err(|error| lost(&error))??;
        let part_size =
            growing.multipart.as_ref().map_or(bucket.part_size, |multipart| multipart.part_size);
        let part_size = part_size.max(1);
        let (kept, to_fetch) = (growing.kept.clone(), growing.kept.tail.clone());
        // Bytes in a tail still have to be sent as a part, even in a file of unknown length that turned out to end
        // there.
        let is_whole = growing.size == Some(kept.received) && kept.tail.is_none();
        let sent = if is_whole { kept.received } else { kept.received / part_size * part_size };
        Ok(Self {
            bucket,
            growing,
            part_size,
            spool,
            file: None,
            to_fetch,
            sending: None,
            sent,
            kept,
            is_news: false,
            failed: false,
        })
    }

    /// Sets where the blob ends: the part that ends there may be short.
    pub(super) fn set_end(&mut self, end: u64) {
        self.growing.size = Some(end);
    }

    /// Returns the number of bytes from `at` to the end of its part.
    pub(super) fn room(&self, at: u64) -> u64 {
        let end = (at / self.part_size + 1) * self.part_size;
        end.min(self.end()).saturating_sub(at).max(1)
    }

    /// Returns where the blob ends, or `u64::MAX` if its length is unknown.
    fn end(&self) -> u64 {
        self.growing.size.unwrap_or(u64::MAX)
    }

    /// Takes in what an earlier writer had received past `at`, and returns where that ends.
    pub(super) async fn take_in_all(
        &mut self,
        mut at: u64,
        mut hash: RunningHash,
    ) -> Result<(u64, RunningHash), StorageError> {
        loop {
            let end;
            (end, hash) = self.take_in(at, hash).await?;
            if end == at {
                return Ok((at, hash));
            }
            at = end;
            self.on_settled(at, &hash).await?;
        }
    }

    /// Does the same as [`Self::take_in_all`], but only to the end of a part.
    async fn take_in(
        &mut self,
        at: u64,
        mut hash: RunningHash,
    ) -> Result<(u64, RunningHash), StorageError> {
        let (number, from) = (at / self.part_size, at % self.part_size);
        let limit = from + if at < self.end() { self.room(at) } else { 0 };
        let spool = self.spool.clone();
        let read = spawn_blocking(move || {
            let end = spool.read_on(number, from, limit, &mut hash)?;
            Ok::<_, StorageError>((end, hash))
        });
        let (end, hash) = read.await.map_err(|error| lost(&error))??;
        if let Some(end) = end {
            // The file also has the bytes of the tail object.
            self.to_fetch = None;
            return Ok((at - from + end, hash));
        }
        Ok((at, hash))
    }

    /// Fetches the bytes before `at` in its part if only the bucket has them, so that a changed tail is found out
    /// before any bytes are taken.
    pub(super) async fn prepare(&mut self, at: u64) -> Result<(), StorageError> {
        match self.to_fetch {
            Some(_) => self.file(at).await.map(drop),
            None => Ok(()),
        }
    }

    /// Returns the file for the bytes at `at`, which contains the bytes before them in their part, and their offset in
    /// it.
    pub(super) async fn file(&mut self, at: u64) -> Result<(Arc<File>, u64), StorageError> {
        let (number, from) = (at / self.part_size, at % self.part_size);
        if let Some((open, file)) = &self.file
            && *open == number
        {
            return Ok((Arc::clone(file), from));
        }
        let head = match self.to_fetch.take() {
            Some(tail) => {
                let fetched = self.bucket.fetch_tail(&self.growing.key, &tail, from).await;
                // The next attempt has to fetch it again.
                self.to_fetch = fetched.is_err().then_some(tail);
                Some(fetched?)
            }
            None => None,
        };
        let spool = self.spool.clone();
        let opened = spawn_blocking(move || {
            let (file, length) = spool.part(number)?;
            let cut = || file.set_len(from);
            match head {
                Some(head) => file.write_all_at(&head, 0).and_then(|()| cut()),
                None if length > from => cut(),
                None => Ok(()),
            }
            .map_err(|error| StorageError::file("the spool folder", error))?;
            if file.metadata().map_err(|error| StorageError::file("the spool folder", error))?.len()
                < from
            {
                return Err(StorageError::Damaged(format!(
                    "{from} acknowledged bytes of an incomplete part are missing"
                )));
            }
            Ok::<_, StorageError>(file)
        });
        let file = opened.await.map_err(|error| lost(&error))??;
        self.file = Some((number, Arc::clone(&file)));
        Ok((file, from))
    }

    /// Handles newly settled bytes: a whole part is sent as soon as the one before it is.
    pub(super) async fn on_settled(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<(), StorageError> {
        let ended = self.sending.as_mut().and_then(|sending| (&mut sending.task).now_or_never());
        if let Some(ended) = ended {
            self.ended(ended)?;
        }
        let is_end = settled == self.end() || settled.is_multiple_of(self.part_size);
        if settled > self.sent && is_end {
            self.wait().await?;
            self.begin(settled, hash).await?;
        }
        Ok(())
    }

    /// Returns what has reached the bucket since the last call.
    pub(super) fn kept(&mut self) -> Option<Kept> {
        std::mem::take(&mut self.is_news).then(|| self.kept.clone())
    }

    /// Returns what counts after a failure: everything up to the last part that arrived. None without a failure.
    pub(super) fn after_failure(&self) -> Option<Kept> {
        self.failed.then(|| self.kept.clone())
    }

    /// Brings everything that has settled into the bucket.
    pub(super) async fn flush(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<Kept, StorageError> {
        self.on_settled(settled, hash).await?;
        self.wait().await?;
        if settled > self.kept.received {
            self.put_tail(settled, hash).await.inspect_err(|_| self.failed = true)?;
        }
        Ok(self.kept.clone())
    }

    /// Waits for the part that is being sent, regardless of whether it arrives.
    pub(super) async fn stop(&mut self) {
        let _moot = self.wait().await;
    }

    /// Drops the parts that the catalog has recorded by now.
    pub(super) fn noted(&mut self, received: u64) {
        self.kept.parts.retain(|part| part.end > received);
    }

    /// Removes the local copies of parts that are in the bucket.
    pub(super) async fn release_spool(&self, sent: u64) {
        let (spool, number) = (self.spool.clone(), sent / self.part_size);
        let is_whole = sent == self.end();
        let removed = spawn_blocking(move || spool.remove_before(number + u64::from(is_whole)));
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error,
                "parts could not be removed from the spool folder; they stay until their upload ends");
        }
    }

    async fn begin(&mut self, end: u64, hash: &RunningHash) -> Result<(), StorageError> {
        let first = self.sent;
        let number = first / self.part_size;
        if self.to_fetch.is_some() {
            // The blob ends with its tail, and nothing was appended to it: the tail still has to be fetched.
            self.file(end).await?;
        }
        let file = match &self.file {
            Some((open, file)) if *open == number => Arc::clone(file),
            // The part was taken in after a kill and is not opened yet.
            _ => {
                let spool = self.spool.clone();
                let opened = spawn_blocking(move || spool.part(number));
                opened.await.map_err(|error| lost(&error))??.0
            }
        };
        let multipart = self.growing.multipart.clone().ok_or_else(|| {
            StorageError::Damaged(format!("{} has no multipart upload", self.growing.key))
        })?;
        let (bucket, key) = (self.bucket.clone(), self.growing.key.clone());
        let lease = self.growing.lease.clone();
        let bytes = (file, end - first);
        self.sent = end;
        self.sending = Some(Sending {
            number,
            end,
            hash_state: hash.save(),
            task: self.bucket.runtime.spawn(async move {
                bucket.put_part(&key, &multipart.id, number, bytes, &lease).await
            }),
        });
        Ok(())
    }

    async fn put_tail(&mut self, settled: u64, hash: &RunningHash) -> Result<(), StorageError> {
        let name = format!("{}-{settled}", self.growing.writer);
        let (file, length) = self.file(settled).await?;
        let (key, lease) = (&self.growing.key, &self.growing.lease);
        let name = self.bucket.put_tail(key, &name, (file, length), lease).await?;
        self.kept.received = settled;
        self.kept.hash_state = hash.save();
        self.kept.tail = Some(name);
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), StorageError> {
        match &mut self.sending {
            Some(sending) => {
                let ended = (&mut sending.task).await;
                self.ended(ended)
            }
            None => self.refuse_after_failure(),
        }
    }

    fn ended(
        &mut self,
        ended: Result<Result<String, StorageError>, JoinError>,
    ) -> Result<(), StorageError> {
        let sent = self.sending.take();
        let id =
            ended.map_err(|error| lost(&error)).flatten().inspect_err(|_| self.failed = true)?;
        self.refuse_after_failure()?;
        if let Some(Sending { number, end, hash_state, .. }) = sent {
            self.kept.parts.push(StoredPart { number, end, id });
            self.kept.received = end;
            self.kept.part_hash_state = Some((end, hash_state.clone()));
            self.kept.hash_state = hash_state;
            self.kept.tail = None;
            self.is_news = true;
        }
        Ok(())
    }

    fn refuse_after_failure(&self) -> Result<(), StorageError> {
        if self.failed {
            return Err(away("a part of this upload could not be sent; open it again"));
        }
        Ok(())
    }
}
