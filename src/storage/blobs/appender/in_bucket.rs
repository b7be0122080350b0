//! A blob that grows in a bucket: whole parts of a multipart upload, and what is short of one as a tail
//! object, from which any server goes on.
//!
//! A part is collected in the [`Spool`] and sent while the next one is collected. The last part ends with
//! the file and may be shorter, so a file that has all come has no tail.
//!
//! A part request of a writer that was taken over from may end after the new writer's (a server that
//! was suspended; [`Hold`](crate::storage::blobs::Hold) keeps it from beginning any). It cannot spoil
//! the file: parts are named by the ids that the store gave for their content, and completing with a part
//! that was replaced by other bytes fails. A tail has its writer's number in its name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::spool::Spool;
use crate::storage::blobs::bucket::Bucket;
use crate::storage::blobs::growing::{Growing, Kept, StoredPart, Tail};
use crate::storage::blobs::running_hash::RunningHash;
use crate::storage::error::{StorageError, away, lost};

pub(super) struct InBucket {
    bucket: Bucket,
    growing: Growing,
    part_size: u64,
    spool: Spool,
    /// The file of the part that is being collected, and its number.
    file: Option<(u64, Arc<File>)>,
    /// The tail object with the first bytes of that part, until it is in the file.
    to_fetch: Option<String>,
    sending: Option<Sending>,
    /// Where the last part that was sent, or is on its way, ends.
    sent: u64,
    kept: Kept,
    is_news: bool,
    failed: bool,
}

/// The part that is on its way while the next one is collected.
struct Sending {
    number: u64,
    end: u64,
    hash_state: String,
    task: JoinHandle<Result<String, StorageError>>,
}

impl InBucket {
    /// Opens it at the end of what was kept. What the bucket has is fetched with the first byte, for
    /// most who open a session only ask.
    pub(super) async fn open(bucket: Bucket, growing: Growing) -> Result<Self, StorageError> {
        let before = match growing.tail {
            Tail::TakeIn { of_writer } => Some(of_writer),
            Tail::CutOff => None,
        };
        let (folder, writer) = (bucket.spool.join(&growing.key), growing.writer);
        let opened = spawn_blocking(move || Spool::open(&folder, writer, before));
        let spool = opened.await.map_err(|error| lost(&error))??;
        let part_size =
            growing.multipart.as_ref().map_or(bucket.part_size, |multipart| multipart.part_size);
        let part_size = part_size.max(1);
        let (kept, to_fetch) = (growing.kept.clone(), growing.kept.tail.clone());
        // Bytes in a tail are still to be sent as a part: also those of a file that ends where nobody knew it would.
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

    /// The blob ends here: the part that ends with it may be short.
    pub(super) fn set_end(&mut self, end: u64) {
        self.growing.size = Some(end);
    }

    /// Bytes from `at` to the end of its part.
    pub(super) fn room(&self, at: u64) -> u64 {
        let end = (at / self.part_size + 1) * self.part_size;
        end.min(self.end()).saturating_sub(at).max(1)
    }

    /// Where the blob ends; of unknown length, past everything.
    fn end(&self) -> u64 {
        self.growing.size.unwrap_or(u64::MAX)
    }

    /// Takes in what a writer before had received past `at`. Where that ends.
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
            self.arrived(at, &hash).await?;
        }
    }

    /// As [`Self::take_in_all`], but not more than to the end of a part.
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
            // The file has the bytes of the tail object as well.
            self.to_fetch = None;
            return Ok((at - from + end, hash));
        }
        Ok((at, hash))
    }

    /// Fetches what comes before `at` in its part, if it is in the bucket alone: whether it is still what was put there is
    /// found out before any bytes are taken.
    pub(super) async fn prepare(&mut self, at: u64) -> Result<(), StorageError> {
        match self.to_fetch {
            Some(_) => self.file(at).await.map(drop),
            None => Ok(()),
        }
    }

    /// The file for the bytes at `at`, with what comes before them in their part; and where in it they
    /// go.
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
                // Whoever tries again has to fetch it again.
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
            .map_err(StorageError::file("the spool folder"))?;
            if file.metadata().map_err(StorageError::file("the spool folder"))?.len() < from {
                return Err(StorageError::Damaged(format!(
                    "the {from} bytes short of a part were acknowledged and are nowhere"
                )));
            }
            Ok::<_, StorageError>(file)
        });
        let file = opened.await.map_err(|error| lost(&error))??;
        self.file = Some((number, Arc::clone(&file)));
        Ok((file, from))
    }

    /// To be told whenever more has settled; a part that is whole is sent when the one before it is.
    pub(super) async fn arrived(
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

    /// What has reached the bucket since the last call.
    pub(super) fn kept(&mut self) -> Option<Kept> {
        std::mem::take(&mut self.is_news).then(|| self.kept.clone())
    }

    /// What counts after a failure: up to the last part that arrived.
    pub(super) fn after_failure(&self) -> Option<Kept> {
        self.failed.then(|| self.kept.clone())
    }

    /// Everything that has settled is in the bucket when this returns.
    pub(super) async fn finish(
        &mut self,
        settled: u64,
        hash: &RunningHash,
    ) -> Result<Kept, StorageError> {
        self.arrived(settled, hash).await?;
        self.wait().await?;
        if settled > self.kept.received {
            self.put_tail(settled, hash).await.inspect_err(|_| self.failed = true)?;
        }
        Ok(self.kept.clone())
    }

    /// Waits for what is on its way; whether it arrived makes no difference.
    pub(super) async fn stop(&mut self) {
        let _moot = self.wait().await;
    }

    /// The catalog has these parts by now.
    pub(super) fn noted(&mut self, received: u64) {
        self.kept.parts.retain(|part| part.end > received);
    }

    /// What is in the bucket is not needed here any more.
    pub(super) async fn let_go(&self, sent: u64) {
        let (spool, number) = (self.spool.clone(), sent / self.part_size);
        let is_whole = sent == self.end();
        let removed = spawn_blocking(move || spool.remove_before(number + u64::from(is_whole)));
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error, "parts stay in the spool folder until their upload has ended");
        }
    }

    async fn begin(&mut self, end: u64, hash: &RunningHash) -> Result<(), StorageError> {
        let first = self.sent;
        let number = first / self.part_size;
        if self.to_fetch.is_some() {
            // The file ends with a tail, and nothing was written behind it.
            self.file(end).await?;
        }
        let file = match &self.file {
            Some((open, file)) if *open == number => Arc::clone(file),
            // Taken in after a kill, it was not opened yet.
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
        let hold = self.growing.hold.clone();
        let bytes = (file, end - first);
        self.sent = end;
        self.sending = Some(Sending {
            number,
            end,
            hash_state: hash.save(),
            task: self.bucket.runtime.spawn(async move {
                bucket.put_part(&key, &multipart.id, number, bytes, &hold).await
            }),
        });
        Ok(())
    }

    async fn put_tail(&mut self, settled: u64, hash: &RunningHash) -> Result<(), StorageError> {
        let name = format!("{}-{settled}", self.growing.writer);
        let (file, length) = self.file(settled).await?;
        let (key, hold) = (&self.growing.key, &self.growing.hold);
        let name = self.bucket.put_tail(key, &name, (file, length), hold).await?;
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
