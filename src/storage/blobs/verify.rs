//! Reading stored bytes again, to find out whether they are still intact.
//!
//! A file is read past the page cache (`O_DIRECT`), because the disk is to be checked, and what downloads use should
//! stay in the cache. If the file system does not support this, the file is read as usual.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use rustix::fs::OFlags;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::bucket::time_limits::in_time;
use super::reader::BlobReader;
use super::running_hash::RunningHash;
use super::store::{Blobs, Place};
use crate::model::Digest;
use crate::storage::error::{StorageError, away, is_about_the_file};

/// The number of bytes to read at once.
const PIECE: usize = 4 * 1024 * 1024;

/// The number that addresses and lengths have to be multiples of for `O_DIRECT`.
const ALIGNMENT: usize = 4096;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Intact,
    /// Damaged, with a description for people.
    Damaged(String),
}

/// A way of reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadMode {
    PastCache,
    AsUsual,
}

/// A limit for the speed of reading.
#[derive(Debug, Clone, Copy)]
pub struct ReadPace {
    began: Instant,
    /// The limit in bytes a second; none for full speed.
    rate: Option<u64>,
    read: u64,
}

impl ReadPace {
    pub fn new(rate: Option<u64>) -> Self {
        Self { began: Instant::now(), rate, read: 0 }
    }

    /// Waits until the given number of further bytes is due.
    async fn take(&mut self, bytes: u64) {
        self.read += bytes;
        if let Some(rate) = self.rate.filter(|rate| *rate > 0) {
            // A float is exact enough: an hour at a gigabyte a second has 42 bits.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let due = Duration::try_from_secs_f64(self.read as f64 / rate as f64);
            tokio::time::sleep_until(self.began + due.unwrap_or_default()).await;
        }
    }
}

impl Blobs {
    /// Compares a stored blob with its size and digest. An error means that this was not possible, and says nothing
    /// about the blob.
    pub async fn examine(
        &self,
        key: &str,
        size: u64,
        digest: &Digest,
        pace: &mut ReadPace,
    ) -> Result<Verdict, StorageError> {
        match &self.0 {
            Place::Folder { .. } => {
                let path = self.local_path(key).unwrap_or_default();
                match examine_file(path.clone(), size, digest, pace, ReadMode::PastCache).await {
                    // Some file systems let a file be opened this way, but not read.
                    Err(StorageError::File { source, .. })
                        if source.kind() == io::ErrorKind::InvalidInput =>
                    {
                        examine_file(path, size, digest, pace, ReadMode::AsUsual).await
                    }
                    examined => examined,
                }
            }
            Place::Bucket(bucket) => examine_object(self, bucket, (key, size), digest, pace).await,
        }
    }
}

/// Computes the digest of everything that a reader returns.
pub async fn digest_of(reader: &BlobReader, pace: &mut ReadPace) -> io::Result<Digest> {
    let mut hash = RunningHash::default();
    let mut stream = reader.stream(0..reader.size());
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        hash.update(&bytes);
        pace.take(bytes.len() as u64).await;
    }
    Ok(hash.finish())
}

fn damaged(what: impl Into<String>) -> Verdict {
    Verdict::Damaged(what.into())
}

fn wrong_length(found: u64, size: u64) -> Verdict {
    damaged(format!("it has {found} bytes instead of {size}"))
}

fn compare(found: &Digest, digest: &Digest) -> Verdict {
    if found == digest {
        Verdict::Intact
    } else {
        damaged(format!("the bytes have the digest {found}"))
    }
}

async fn examine_object(
    blobs: &Blobs,
    bucket: &Bucket,
    (key, size): (&str, u64),
    digest: &Digest,
    pace: &mut ReadPace,
) -> Result<Verdict, StorageError> {
    let head = in_time(bucket.client.objects.head(&bucket.location(key))).await;
    match head {
        Err(StorageError::Store(object_store::Error::NotFound { .. })) => {
            return Ok(damaged("it is not in the store"));
        }
        Err(error) => return Err(error),
        Ok(found) if found.size != size => return Ok(wrong_length(found.size, size)),
        Ok(_) => {}
    }
    let reader = blobs.reader(key, size).await?;
    let found = digest_of(&reader, pace).await.map_err(|error| away(error.to_string()))?;
    Ok(compare(&found, digest))
}

async fn examine_file(
    path: PathBuf,
    size: u64,
    digest: &Digest,
    pace: &mut ReadPace,
    way: ReadMode,
) -> Result<Verdict, StorageError> {
    let what = path.display().to_string();
    let opened = off_thread(move || {
        let file = match way {
            ReadMode::PastCache => open_past_cache(&path)?,
            ReadMode::AsUsual => File::open(&path)?,
        };
        let length = file.metadata()?.len();
        Ok((file, length))
    });
    let (file, length) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return about(error).map_err(|error| StorageError::file(what, error)),
    };
    if length != size {
        return Ok(wrong_length(length, size));
    }
    let file = Arc::new(file);
    let mut hash = RunningHash::default();
    let (mut offset, mut buffer) = (0, vec![0; PIECE + ALIGNMENT]);
    while offset < size {
        let file = Arc::clone(&file);
        let read = off_thread(move || {
            let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
            let count = read_piece(&file, &mut buffer[start..start + PIECE], offset)?;
            hash.update(&buffer[start..start + count]);
            Ok((hash, buffer, count as u64))
        });
        let count;
        (hash, buffer, count) = match read.await {
            Ok(read) => read,
            Err(error) => return about(error).map_err(|error| StorageError::file(what, error)),
        };
        if count == 0 {
            return Ok(wrong_length(offset, size));
        }
        offset += count;
        pace.take(count).await;
    }
    Ok(compare(&hash.finish(), digest))
}

/// Reads one piece. All pieces but the last are whole, because `O_DIRECT` requires aligned offsets as well.
fn read_piece(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn open_past_cache(path: &std::path::Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let opened = File::options().read(true).custom_flags(flags).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path),
        other => other,
    }
}

/// Returns the verdict on the file that an error implies, or the error itself if it may pass.
fn about(error: io::Error) -> io::Result<Verdict> {
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(damaged("it is not in the store"));
    }
    if is_about_the_file(&error) {
        return Ok(damaged(format!("it cannot be read: {error}")));
    }
    Err(error)
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn examined(bytes: &[u8], size: u64, digest: Digest) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, bytes).unwrap();
        examine_file(path, size, &digest, &mut ReadPace::new(None), ReadMode::PastCache)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn every_length_is_read_to_its_end() {
        for length in [0, 1, 511, 4095, 4096, 4097, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 77] {
            let bytes: Vec<u8> = (0..251).cycle().take(length).collect();
            let digest = Digest::of(&bytes);
            assert_eq!(examined(&bytes, length as u64, digest).await, Verdict::Intact, "{length}");
            if let Some(last) = length.checked_sub(1) {
                let mut flipped = bytes.clone();
                flipped[last] ^= 1;
                let verdict = examined(&flipped, length as u64, digest).await;
                assert!(matches!(verdict, Verdict::Damaged(_)), "{length}");
                let verdict = examined(&bytes[..last], length as u64, digest).await;
                assert_eq!(verdict, wrong_length(last as u64, length as u64));
            }
        }
    }

    #[tokio::test]
    async fn a_pace_is_kept() {
        let (bytes, began) = (vec![7; 3 * PIECE], Instant::now());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, &bytes).unwrap();
        let mut pace = ReadPace::new(Some(6 * PIECE as u64));
        let size = bytes.len() as u64;
        examine_file(path, size, &Digest::of(&bytes), &mut pace, ReadMode::PastCache)
            .await
            .unwrap();
        assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    }
}
