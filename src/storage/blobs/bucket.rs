//! A bucket of an object store, in which a blob grows as a multipart upload.
//!
//! This module uses only what S3, Azure and Google Cloud Storage have in common. It does not need to read parts back,
//! to list multipart uploads, or conditional writes (some stores silently ignore the condition). Objects are never
//! overwritten with other bytes. The catalog records which parts make up a blob.
//!
//! A multipart upload can only be recorded once its id is known, so a kill at that moment leaves one that nobody knows
//! of. It has no parts and costs nothing but its name. A lifecycle rule of the bucket (abort incomplete multipart
//! uploads after some weeks) removes it, and also any part that a store accepts after the abort.

pub(in crate::storage) mod client;
pub(in crate::storage) mod observed;
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
use super::write_lease::WriteLease;
use crate::model::publication::CACHE_IMMUTABLE;
use crate::storage::error::{StorageError, away, lost};
use client::{Client, Service};
use time_limits::{COMPLETING, PART_TIME, in_time};

/// The largest number of parts of a blob. S3 accepts 10,000 at most; stores with another limit accept more.
const MOST_PARTS: u64 = 9_000;

const MIB: u64 = 1024 * 1024;

/// The size of a part: small enough that little is sent again after a broken append, and large enough for files of 140
/// GiB. Larger files get larger parts.
pub(super) const PART_SIZE: u64 = 16 * MIB;

/// The memory for parts that are being sent, for all uploads together, in MiB. With fifty uploads that collect 2 MiB
/// each, the total stays well below 200 MiB.
const MEMORY: u32 = 48;

/// The location at which a bucket's service finds a blob that it has to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: String,
    pub location: Path,
}

/// The properties that a bucket reports of a blob to clients that fetch it there.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Its entity tag, without quotes.
    pub tag: String,
    pub last_modified: DateTime<Utc>,
}

/// A bucket with its limits. Cheap to clone; all clones share the memory for parts.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) client: Client,
    /// The folder in which the arriving part is collected.
    pub(super) spool: PathBuf,
    pub(super) part_size: u64,
    memory: Arc<Semaphore>,
    /// The runtime of the tasks that send parts while the next ones are collected. They do not end with a worker.
    pub(super) runtime: Handle,
}

impl Bucket {
    /// Opens a bucket. To be called within the runtime that lives as long as the server.
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

    /// Returns a signed URL with which anyone may GET or HEAD the blob for the given time.
    pub(super) async fn signed_url(
        &self,
        key: &str,
        method: &str,
        good_for: Duration,
    ) -> Result<Url, StorageError> {
        let method = if method == "HEAD" { Method::HEAD } else { Method::GET };
        in_time(self.client.signer.signed_url(method, &self.location(key), good_for)).await
    }

    /// Returns the tag, without its quotes, and the date; none if the object has no strong tag.
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

    /// Returns the object's path. The first two letters of the key form a folder, as on a disk.
    pub(super) fn location(&self, key: &str) -> Path {
        self.client.prefix.clone().join(key.get(..2).unwrap_or("__")).join(key)
    }

    fn tails(&self, key: &str) -> Path {
        self.location(&format!("{key}.tails"))
    }

    /// Returns the attributes of a blob's object, for clients that are redirected to it; copies keep them. Azure
    /// accepts none with a multipart upload.
    pub(super) fn attributes(&self) -> Attributes {
        match self.client.service {
            Service::S3 | Service::Google => of_a_file(),
            Service::Azure => Attributes::new(),
        }
    }

    /// Begins the multipart upload of a blob. The caller has to record it before anything is sent to it.
    pub(super) async fn begin(&self, key: &str, size: u64) -> Result<Multipart, StorageError> {
        let part_size = self.part_size.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB));
        let location = self.location(key);
        let options =
            PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let id = in_time(self.client.multiparts.create_multipart_opts(&location, options)).await?;
        Ok(Multipart { id, part_size })
    }

    /// Sends the first `length` bytes of a file as a part and returns the part's id.
    pub(super) async fn put_part(
        &self,
        key: &str,
        multipart: &str,
        number: u64,
        bytes: (Arc<File>, u64),
        lease: &WriteLease,
    ) -> Result<String, StorageError> {
        let (location, id) = (self.location(key), multipart.to_owned());
        let index = usize::try_from(number).map_err(|_| away("too many parts"))?;
        let part = lease.during(async {
            let (_memory, bytes) = self.read_back(bytes).await?;
            let sent = self.client.multiparts.put_part(&location, &id, index, bytes.into());
            let sent = timeout(PART_TIME, sent).await;
            let sent = sent.map_err(|_| away("sending a part took too long"))?;
            sent.map_err(|error| unless_gone(key, error))
        });
        Ok(part.await?.content_id)
    }

    /// Stores the first `length` bytes of a file as a tail. Returns its name, which begins with `name` and contains
    /// their digest.
    pub(super) async fn put_tail(
        &self,
        key: &str,
        name: &str,
        bytes: (Arc<File>, u64),
        lease: &WriteLease,
    ) -> Result<String, StorageError> {
        lease
            .during(async {
                let (_memory, bytes) = self.read_back(bytes).await?;
                let (digest, bytes) = digest_of(bytes).await?;
                let name = format!("{name}-{digest}");
                let location = self.tails(key).join(&*name);
                let sent = self.client.objects.put(&location, bytes.into());
                timeout(PART_TIME, sent)
                    .await
                    .map_err(|_| away("sending a tail took too long"))??;
                Ok(name)
            })
            .await
    }

    /// Fetches a tail. Returns `Damaged` if it is gone, and `TailChanged` if it is not what was stored.
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
            Err(_) => return Err(away("fetching a tail took too long")),
        };
        let found = bytes.len();
        if found as u64 != length {
            let detail = format!("{location} has {found} bytes, but {length} were acknowledged");
            return Err(StorageError::TailChanged(detail));
        }
        let (digest, bytes) = digest_of(bytes).await?;
        // Tails that were stored by an earlier version of the program have no digest in their names.
        match name.split('-').nth(2) {
            Some(noted) if noted != digest => {
                Err(StorageError::TailChanged(format!("{location} has different bytes")))
            }
            _ => Ok(bytes),
        }
    }

    pub(super) async fn remove_tail(&self, key: &str, name: &str) -> Result<(), StorageError> {
        self.delete(&self.tails(key).join(name)).await
    }

    /// Makes the blob from its parts. May be repeated: the object shows that it was already done, because nothing else
    /// ever creates an object of this name.
    pub(super) async fn complete(&self, whole: &Complete) -> Result<(), StorageError> {
        let location = self.location(&whole.key);
        let done = match &whole.multipart {
            None if whole.size == 0 => {
                in_time(self.client.objects.put(&location, PutPayload::new())).await.map(drop)
            }
            // Begun before it was known that no bytes would come. No service completes an upload without parts.
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
        let joined = joined.map_err(|_| away("completing a multipart upload took too long"))?;
        joined.map(drop).map_err(|error| unless_gone(&whole.key, error))
    }

    /// Deletes everything that exists of a blob. To be repeated until it succeeds.
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

    /// Aborts a multipart upload, which deletes its parts. A missing one is no error.
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

    /// Reads the bytes into memory as soon as enough of the memory for parts is free.
    async fn read_back(
        &self,
        (file, length): (Arc<File>, u64),
    ) -> Result<(OwnedSemaphorePermit, Bytes), StorageError> {
        // A part larger than the whole budget takes all of it.
        let wanted = u32::try_from(length.div_ceil(MIB)).unwrap_or(MEMORY).clamp(1, MEMORY);
        let memory = Arc::clone(&self.memory).acquire_many_owned(wanted).await;
        let memory = memory.map_err(|_| away("the server is stopping"))?;
        let read = spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(Bytes::from(bytes))
        });
        let bytes = read.await.map_err(|error| lost(&error))?;
        Ok((
            memory,
            bytes.map_err(|error| StorageError::file("a part in the spool folder", error))?,
        ))
    }
}

fn check_parts(whole: &Complete, multipart: &Multipart) -> Result<(), StorageError> {
    let in_order = (0..).zip(&whole.parts).all(|(number, (noted, _))| *noted == number);
    let count = whole.parts.len() as u64;
    if !in_order || count != whole.size.div_ceil(multipart.part_size.max(1)) {
        let (key, size) = (&whole.key, whole.size);
        let detail = format!("the {count} recorded parts of {key} do not add up to {size} bytes");
        return Err(StorageError::Damaged(detail));
    }
    Ok(())
}

/// Computes the first half of the SHA-256, which is enough to tell one content from another.
async fn digest_of(bytes: Bytes) -> Result<(String, Bytes), StorageError> {
    let computed = spawn_blocking(move || (hex::encode(&Sha256::digest(&bytes)[..16]), bytes));
    computed.await.map_err(|error| lost(&error))
}

/// The error codes of S3 and Azure for parts of an upload that are missing or not as they were sent.
const GONE: [&str; 5] =
    ["NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "InvalidBlockList"];

/// Converts an error, to `Damaged` if what an upload would continue from is gone: no repeat brings it back.
fn unless_gone(key: &str, error: object_store::Error) -> StorageError {
    let text = error.to_string();
    let is_absent = matches!(error, object_store::Error::NotFound { .. });
    let is_gone = is_absent || GONE.iter().any(|word| text.contains(word));
    // A bucket that is missing as a whole may come back.
    if is_gone && !text.contains("NoSuchBucket") {
        StorageError::Damaged(format!("the bytes sent of {key} are gone from the bucket: {error}"))
    } else {
        error.into()
    }
}

/// Returns the attributes of the object of a revision's file, which are the same that the server sends.
pub(in crate::storage) fn of_a_file() -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "application/octet-stream".into());
    attributes.insert(Attribute::CacheControl, CACHE_IMMUTABLE.into());
    attributes
}

fn is_absent(error: &StorageError) -> bool {
    matches!(error, StorageError::Store(object_store::Error::NotFound { .. }))
}
