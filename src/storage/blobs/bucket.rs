//! A bucket of an object store: where a blob grows as a multipart upload.
//!
//! What S3, Azure and Google Cloud Storage have in common, and what nothing here needs: reading parts
//! back, listing multipart uploads, conditional writes (some stores ignore the condition without a word).
//! Objects are never overwritten with other bytes. Which parts make a blob stands in the catalog.
//!
//! Nobody can note a multipart upload before its id is known: a kill in that moment leaves one that
//! nobody knows of. It has no parts, so it costs nothing but its name, and a lifecycle rule of the
//! bucket (abort incomplete multipart uploads after some weeks) is what takes such away. The same rule is
//! the answer to a store that lets a part land after the abort.

pub(in crate::storage) mod client;
pub(in crate::storage) mod probe;
pub(in crate::storage) mod time_limits;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::signer::Method;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutPayload,
};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use super::growing::{Complete, Multipart};
use super::write_lease::Hold;
use crate::model::publication::FOR_GOOD;
use crate::storage::error::{StorageError, away, lost};
use client::{Client, Service};
use time_limits::{COMPLETING, PART_TIME, in_time};

/// S3 takes 10,000 parts at most; a store that counts otherwise takes more.
const MOST_PARTS: u64 = 9_000;

const MIB: u64 = 1024 * 1024;

/// Small enough that a broken append sends little again, large enough for files of 140 GiB; larger
/// files get larger parts.
pub(super) const PART_SIZE: u64 = 16 * MIB;

/// The parts that are in memory at once, of all uploads together, in MiB: with fifty uploads that
/// collect 2 MiB each this stays well below 200 MiB.
const MEMORY: u32 = 48;

/// Where a bucket's service finds a blob that it is to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: String,
    pub location: Path,
}

/// What a bucket says of a blob to whoever fetches it there.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Its entity tag, without quotes.
    pub tag: String,
    pub last_modified: DateTime<Utc>,
}

/// Cheap to clone; all clones share the memory for parts.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) client: Client,
    /// Where the part that is arriving is collected.
    pub(super) spool: PathBuf,
    pub(super) part_size: u64,
    memory: Arc<Semaphore>,
    /// Parts are sent while the next is collected, by tasks that no worker's end takes along.
    pub(super) runtime: Handle,
}

impl Bucket {
    /// To be called within the runtime that lives as long as the server.
    pub(super) fn open(
        url: &Url,
        options: impl IntoIterator<Item = (String, String)>,
        spool: PathBuf,
    ) -> Result<Self, StorageError> {
        let client = client::connect(url, options)?;
        let memory = Arc::new(Semaphore::new(MEMORY as usize));
        let runtime = Handle::current();
        Ok(Self { client, spool, part_size: PART_SIZE, memory, runtime })
    }

    pub(super) fn copy_source(&self, key: &str) -> CopySource {
        CopySource { bucket: self.client.bucket.clone(), location: self.location(key) }
    }

    /// An address at which whoever has it may GET or HEAD the blob, for so long.
    pub(super) async fn signed_url(
        &self,
        key: &str,
        method: &str,
        good_for: Duration,
    ) -> Result<Url, StorageError> {
        let method = if method == "HEAD" { Method::HEAD } else { Method::GET };
        in_time(self.client.signer.signed_url(method, &self.location(key), good_for)).await
    }

    /// The tag without its quotes, and the date; none where it has no strong tag.
    pub(super) async fn stored_object(
        &self,
        key: &str,
    ) -> Result<Option<StoredObject>, StorageError> {
        let found = in_time(self.client.objects.head(&self.location(key))).await?;
        let strong = found.e_tag.filter(|tag| !tag.starts_with("W/"));
        let tag = strong.map(|tag| tag.trim_matches('"').to_owned());
        Ok(tag.map(|tag| StoredObject { tag, last_modified: found.last_modified }))
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.client.objects)
    }

    /// Two letters of the key make a folder, as on a disk.
    pub(super) fn location(&self, key: &str) -> Path {
        self.client.prefix.clone().join(key.get(..2).unwrap_or("__")).join(key)
    }

    fn tails(&self, key: &str) -> Path {
        self.location(&format!("{key}.tails"))
    }

    /// What blobs say of themselves, for those who are sent to them; copies keep it. Azure takes none with a multipart
    /// upload.
    pub(super) fn attributes(&self) -> Attributes {
        match self.client.service {
            Service::S3 | Service::Google => of_a_file(),
            Service::Azure => Attributes::new(),
        }
    }

    /// Begins the multipart upload of a blob. To be noted before anything is sent to it.
    pub(super) async fn begin(&self, key: &str, size: u64) -> Result<Multipart, StorageError> {
        let part_size = self.part_size.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB));
        let location = self.location(key);
        let options =
            PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let id = in_time(self.client.multiparts.create_multipart_opts(&location, options)).await?;
        Ok(Multipart { id, part_size })
    }

    /// Sends the first `length` bytes of a file as a part. Its id.
    pub(super) async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u64,
        bytes: (Arc<File>, u64),
        hold: &Hold,
    ) -> Result<String, StorageError> {
        let (location, id) = (self.location(key), multipart.to_owned());
        let index = usize::try_from(number).map_err(|_| away("too many parts"))?;
        let part = hold.during(async {
            let (_memory, bytes) = self.read_back(bytes).await?;
            let sent = self.client.multiparts.put_part(&location, &id, index, bytes.into());
            let sent = timeout(PART_TIME, sent).await;
            let sent = sent.map_err(|_| away("sending a part took too long"))?;
            sent.map_err(|error| unless_gone(key, error))
        });
        Ok(part.await?.content_id)
    }

    /// Puts the first `length` bytes of a file as a tail. Its name, which begins with `name` and has their digest.
    pub(super) async fn put_tail(
        &self,
        key: &str,
        name: &str,
        bytes: (Arc<File>, u64),
        hold: &Hold,
    ) -> Result<String, StorageError> {
        hold.during(async {
            let (_memory, bytes) = self.read_back(bytes).await?;
            let (digest, bytes) = digest_of(bytes).await?;
            let name = format!("{name}-{digest}");
            let location = self.tails(key).join(&*name);
            let sent = self.client.objects.put(&location, bytes.into());
            timeout(PART_TIME, sent).await.map_err(|_| away("sending took too long"))??;
            Ok(name)
        })
        .await
    }

    /// `Damaged` where it is gone, `TailChanged` where it is not what was put there.
    pub(super) async fn fetch_tail(
        &self,
        key: &str,
        name: &str,
        length: u64,
    ) -> Result<Bytes, StorageError> {
        let location = self.tails(key).join(name);
        let fetched = async { self.client.objects.get(&location).await?.bytes().await };
        let bytes = match timeout(PART_TIME, fetched).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(unless_gone(key, error)),
            Err(_) => return Err(away("fetching took too long")),
        };
        let found = bytes.len();
        if found as u64 != length {
            let detail = format!("{location} has {found} bytes where {length} were acknowledged");
            return Err(StorageError::TailChanged(detail));
        }
        let (digest, bytes) = digest_of(bytes).await?;
        // Those that a program before this one put have no digest in their names.
        match name.split('-').nth(2) {
            Some(noted) if noted != digest => {
                Err(StorageError::TailChanged(format!("{location} has other bytes")))
            }
            _ => Ok(bytes),
        }
    }

    pub(super) async fn remove_tail(&self, key: &str, name: &str) -> Result<(), StorageError> {
        self.delete(&self.tails(key).join(name)).await
    }

    /// Makes the blob of its parts. May be repeated: whether it was done is seen by the object, for
    /// nothing else ever puts one of this name.
    pub(super) async fn complete(&self, whole: &Complete) -> Result<(), StorageError> {
        let location = self.location(&whole.key);
        let done = match &whole.multipart {
            None if whole.size == 0 => {
                in_time(self.client.objects.put(&location, PutPayload::new())).await.map(drop)
            }
            // Begun before it was known that nothing comes: no service joins no parts.
            Some(multipart) if whole.size == 0 => {
                let put = self.client.objects.put(&location, PutPayload::new());
                in_time(put).await?;
                self.abort(&whole.key, &multipart.id).await
            }
            None => Err(StorageError::Damaged(format!("{} has no parts", whole.key))),
            Some(multipart) => self.join(&location, whole, multipart).await,
        };
        match (in_time(self.client.objects.head(&location)).await, done) {
            (Ok(found), _) if found.size == whole.size => {}
            (Ok(found), _) => {
                let (size, key) = (found.size, &whole.key);
                let detail = format!("{key} has {size} bytes in the bucket, not {}", whole.size);
                return Err(StorageError::Damaged(detail));
            }
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        }
        self.remove_tails(&whole.key).await
    }

    async fn join(
        &self,
        location: &Path,
        whole: &Complete,
        multipart: &Multipart,
    ) -> Result<(), StorageError> {
        check_parts(whole, multipart)?;
        let parts = whole.parts.iter().map(|(_, id)| PartId { content_id: id.clone() }).collect();
        let joined = self.client.multiparts.complete_multipart(location, &multipart.id, parts);
        let joined = timeout(COMPLETING, joined).await;
        let joined = joined.map_err(|_| away("completing took too long"))?;
        joined.map(drop).map_err(|error| unless_gone(&whole.key, error))
    }

    /// Removes whatever there is of a blob. To be repeated until it succeeds.
    pub(super) async fn remove(
        &self,
        key: &str,
        multipart: Option<&str>,
    ) -> Result<(), StorageError> {
        if let Some(id) = multipart {
            self.abort(key, id).await?;
        }
        self.remove_tails(key).await?;
        self.delete(&self.location(key)).await
    }

    /// Takes a multipart upload and its parts away. That there is none is fine.
    pub(super) async fn abort(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        let (location, id) = (self.location(key), multipart.to_owned());
        match in_time(self.client.multiparts.abort_multipart(&location, &id)).await {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn remove_tails(&self, key: &str) -> Result<(), StorageError> {
        let prefix = self.tails(key);
        let listed = self.client.objects.list(Some(&prefix)).try_collect::<Vec<_>>();
        for tail in in_time(listed).await? {
            self.delete(&tail.location).await?;
        }
        Ok(())
    }

    async fn delete(&self, location: &Path) -> Result<(), StorageError> {
        match in_time(self.client.objects.delete(location)).await {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The bytes in memory, when there is room for them.
    async fn read_back(
        &self,
        (file, length): (Arc<File>, u64),
    ) -> Result<(OwnedSemaphorePermit, Bytes), StorageError> {
        // A part larger than all of it takes it all.
        let wanted = u32::try_from(length.div_ceil(MIB)).unwrap_or(MEMORY).clamp(1, MEMORY);
        let memory = Arc::clone(&self.memory).acquire_many_owned(wanted).await;
        let memory = memory.map_err(|_| away("the server stops"))?;
        let read = spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(Bytes::from(bytes))
        });
        let bytes = read.await.map_err(|error| lost(&error))?;
        Ok((memory, bytes.map_err(StorageError::file("a part in the spool folder"))?))
    }
}

fn check_parts(whole: &Complete, multipart: &Multipart) -> Result<(), StorageError> {
    let in_order = (0..).zip(&whole.parts).all(|(number, (noted, _))| *noted == number);
    let count = whole.parts.len() as u64;
    if !in_order || count != whole.size.div_ceil(multipart.part_size.max(1)) {
        let (key, size) = (&whole.key, whole.size);
        let detail = format!("the {count} parts noted for {key} do not make {size} bytes");
        return Err(StorageError::Damaged(detail));
    }
    Ok(())
}

/// The first half of it is enough to tell one content from another.
async fn digest_of(bytes: Bytes) -> Result<(String, Bytes), StorageError> {
    let computed = spawn_blocking(move || (hex::encode(&Sha256::digest(&bytes)[..16]), bytes));
    computed.await.map_err(|error| lost(&error))
}

/// The words of S3 and Azure for parts of an upload that are not there, or not as they were sent.
const GONE: [&str; 5] =
    ["NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "InvalidBlockList"];

/// `Damaged` where what an upload was to go on with is gone: no repeat brings it back.
fn unless_gone(key: &str, error: object_store::Error) -> StorageError {
    let text = error.to_string();
    let is_absent = matches!(error, object_store::Error::NotFound { .. });
    let is_gone = is_absent || GONE.iter().any(|word| text.contains(word));
    // A bucket that is gone as a whole may come back.
    if is_gone && !text.contains("NoSuchBucket") {
        StorageError::Damaged(format!("what was sent of {key} is gone from the bucket: {error}"))
    } else {
        error.into()
    }
}

/// What the object of a revision's file says of itself, as the server says it.
pub(in crate::storage) fn of_a_file() -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "application/octet-stream".into());
    attributes.insert(Attribute::CacheControl, FOR_GOOD.into());
    attributes
}

fn is_absent(error: &StorageError) -> bool {
    matches!(error, StorageError::Store(object_store::Error::NotFound { .. }))
}
