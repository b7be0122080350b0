//! The listing of what is in the store, whatever the catalog says about it, and the mark of the catalog that owns the
//! store.
//!
//! Only names that a blob can have are listed: two letters of the key, then the key. Everything else in the store is
//! not imagedepot's.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::bucket::Bucket;
use super::bucket::observed;
use super::bucket::time_limits::{in_time, within};
use super::store::{Blobs, Place};
use crate::storage::copying::staged_for;
use crate::storage::disk::{is_read_only, sync_folder};
use crate::storage::error::{StorageError, away};

/// The name of the file, or object, that says which catalog the store belongs to.
const OWNER: &str = "imagedepot-catalog";

/// The time limit for one page of a bucket's listing.
const PAGE: Duration = Duration::from_mins(1);

/// The bytes that are stored under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The size of the blob, if it is complete.
    pub size: Option<u64>,
    /// The bytes of everything under the key: a growing blob has parts and tails.
    pub bytes: u64,
}

/// The age at which files that a killed writer left are deleted.
const LEFT_FOR: Duration = Duration::from_hours(24);

/// Everything that is stored, by key.
pub type Listing = BTreeMap<String, Stored>;

impl Blobs {
    /// Lists everything that is stored, and deletes what killed writers left in a folder.
    pub async fn list(&self) -> Result<Listing, StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => {
                let path = path.clone();
                let what = path.display().to_string();
                let listed = spawn_blocking(move || list_folder(&path));
                let listed = listed.await.map_err(|error| away(error.to_string()))?;
                listed.map_err(|error| StorageError::file(what, error))
            }
            Place::Bucket(bucket) => list_bucket(bucket).await,
        }
    }

    /// Returns the catalog that the store belongs to; none if the store has no mark yet. Returns an error of the store if
    /// the mark is no id: a store that changes bytes on the way may answer correctly the next time.
    pub async fn owner(&self) -> Result<Option<Uuid>, StorageError> {
        let Some(text) = self.read_note(OWNER).await? else { return Ok(None) };
        let id = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        id.map(Some).ok_or_else(|| away(format!("{OWNER} in the store is not an id")))
    }

    /// Refuses a folder without the mark of its catalog; a bucket is not checked.
    pub fn check_mark(&self) -> Result<(), StorageError> {
        match &self.0 {
            Place::Folder { path, .. } if !path.join(OWNER).exists() => Err(away(
                "the store's folder does not say which catalog it belongs to: is its disk mounted?",
            )),
            Place::Folder { .. } | Place::Bucket(_) => Ok(()),
        }
    }

    /// Fails if the store is unreachable, or a folder is read-only. Sends one small request to a bucket.
    pub async fn must_answer(&self) -> Result<(), StorageError> {
        let path = match &self.0 {
            Place::Folder { path, .. } => path.clone(),
            Place::Bucket(_) => return self.owner().await.map(drop),
        };
        let what = path.display().to_string();
        let looked = spawn_blocking(move || is_read_only(&path));
        match looked.await.map_err(|error| away(error.to_string()))? {
            Ok(false) => Ok(()),
            Ok(true) => Err(StorageError::file(what, io::ErrorKind::ReadOnlyFilesystem.into())),
            Err(error) => Err(StorageError::file(what, error)),
        }
    }

    /// Returns the current time by the bucket's clock; none for a folder, and unless the bucket answered within a minute.
    pub fn service_time(&self) -> Option<DateTime<Utc>> {
        match &self.0 {
            Place::Folder { .. } => None,
            Place::Bucket(bucket) => bucket.client.time.now(),
        }
    }

    /// Reports whether the store is a bucket, which has a clock of its own.
    pub fn is_bucket(&self) -> bool {
        matches!(self.0, Place::Bucket(_))
    }

    /// Shows the counters of requests to a bucket from the start; a folder has none.
    pub fn begin_at_zero(&self) {
        if self.is_bucket() {
            observed::begin_at_zero();
        }
    }

    /// Marks the store as belonging to a catalog from now on.
    pub async fn set_owner(&self, catalog: Uuid) -> Result<(), StorageError> {
        self.write_note(OWNER, format!("{catalog}\n")).await
    }

    /// Reports whether two stores are one place under two names: what is written to one is found in the other. `probe`
    /// is an id that is used for nothing else.
    pub async fn is_same_as(&self, other: &Self, probe: Uuid) -> Result<bool, StorageError> {
        let name = format!("imagedepot-probe-{probe}");
        other.write_note(&name, format!("{probe}\n")).await?;
        let found = self.read_note(&name).await;
        other.remove_note(&name).await?;
        Ok(found?.is_some())
    }

    async fn read_note(&self, name: &str) -> Result<Option<Bytes>, StorageError> {
        let text = match &self.0 {
            Place::Folder { path, .. } => match fs::read(path.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                read => Bytes::from(read.map_err(|error| StorageError::file(name, error))?),
            },
            Place::Bucket(bucket) => {
                let location = bucket.client.prefix.clone().join(name);
                let read = async { bucket.client.objects.get(&location).await?.bytes().await };
                match in_time(read).await {
                    Err(StorageError::Store(object_store::Error::NotFound { .. })) => {
                        return Ok(None);
                    }
                    read => read?,
                }
            }
        };
        Ok(Some(text))
    }

    async fn write_note(&self, name: &str, text: String) -> Result<(), StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => {
                write_whole(path, name, &text).map_err(|error| StorageError::file(name, error))
            }
            Place::Bucket(bucket) => {
                let location = bucket.client.prefix.clone().join(name);
                let put = bucket.client.objects.put(&location, text.into());
                in_time(put).await.map(drop)
            }
        }
    }

    async fn remove_note(&self, name: &str) -> Result<(), StorageError> {
        match &self.0 {
            Place::Folder { path, .. } => {
                fs::remove_file(path.join(name)).map_err(|error| StorageError::file(name, error))
            }
            Place::Bucket(bucket) => {
                let location = bucket.client.prefix.clone().join(name);
                in_time(bucket.client.objects.delete(&location)).await
            }
        }
    }
}

fn write_whole(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.new"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    sync_folder(folder)
}

/// Returns the key in a name such as `ab/abcd…`, and whether the name is that of a whole blob. The names of a growing
/// blob have a suffix after the key.
fn key_of(shard: &str, name: &str) -> Option<(String, bool)> {
    let (key, rest) = name.split_at_checked(32)?;
    let is_ours = rest.is_empty() || rest == ".part" || rest.starts_with(".tails");
    (is_hex(key) && is_ours && key.starts_with(shard) && shard.len() == 2)
        .then(|| (key.to_owned(), rest.is_empty()))
}

fn is_hex(key: &str) -> bool {
    key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn note(listing: &mut Listing, (key, is_whole): (String, bool), size: u64) {
    let stored = listing.entry(key).or_insert(Stored { size: None, bytes: 0 });
    stored.bytes += size;
    if is_whole {
        stored.size = Some(size);
    }
}

/// Reports whether a file belongs to a blob that was never completed and that nobody writes any more.
fn is_left_over(path: &Path, name: &str) -> bool {
    let is_temporary = staged_for(name).is_some_and(|key| key.len() == 32 && is_hex(key));
    let age = || fs::metadata(path).ok()?.modified().ok()?.elapsed().ok();
    is_temporary && age().is_some_and(|age| age > LEFT_FOR)
}

pub(super) fn list_folder(root: &Path) -> io::Result<Listing> {
    let mut listing = Listing::new();
    for shard in fs::read_dir(root)? {
        let shard = shard?;
        if !shard.file_type()?.is_dir() {
            continue;
        }
        let shard_name = shard.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(shard.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if is_left_over(&file.path(), &name) {
                fs::remove_file(file.path())?;
                continue;
            }
            let Some(key) = key_of(&shard_name, &name) else { continue };
            match file.metadata() {
                Ok(metadata) => note(&mut listing, key, metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(listing)
}

async fn list_bucket(bucket: &Bucket) -> Result<Listing, StorageError> {
    let prefix = &bucket.client.prefix;
    let mut objects = bucket.client.objects.list(Some(prefix));
    let mut listing = Listing::new();
    while let Some(object) = within(PAGE, objects.try_next()).await? {
        let Some(parts) = object.location.prefix_match(prefix) else { continue };
        let parts: Vec<_> = parts.collect();
        let key = match parts.as_slice() {
            [shard, name] => key_of(shard.as_ref(), name.as_ref()),
            [shard, tails, _] => key_of(shard.as_ref(), tails.as_ref()),
            _ => None,
        };
        if let Some(key) = key {
            note(&mut listing, key, object.size);
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_a_blob_is_one() {
        let key = "0123456789abcdef0123456789abcdef";
        assert_eq!(key_of("01", key), Some((key.to_owned(), true)));
        assert_eq!(key_of("01", &format!("{key}.part")), Some((key.to_owned(), false)));
        assert_eq!(key_of("01", &format!("{key}.tails")), Some((key.to_owned(), false)));
        for (shard, name) in [
            ("02", key),
            ("0", key),
            ("01", "win7-office_12.ckm"),
            ("01", &format!("{key}.bak")),
            ("01", "0123456789ABCDEF0123456789ABCDEF"),
        ] {
            assert_eq!(key_of(shard, name), None, "{shard}/{name}");
        }
    }
}
