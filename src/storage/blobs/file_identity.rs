//! Which file of this machine a blob is, whatever its names: files that are read already become blobs by a hard link.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::{fs, io};

use tokio::task::spawn_blocking;

use super::listing::list_folder;
use super::store::{Blobs, Place};
use crate::storage::disk::sync_folder;
use crate::storage::error::StorageError;

impl Blobs {
    /// The blobs by what their files are; nothing where the store is a bucket.
    pub async fn identities(&self) -> Result<Identities, StorageError> {
        let Place::Folder { path, .. } = &self.0 else { return Ok(Identities::new()) };
        let root = path.clone();
        let what = root.display().to_string();
        let found = spawn_blocking(move || identities(&root)).await;
        let found = found.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        found.map_err(StorageError::file(what))
    }

    /// Makes a file of this machine a blob, by another name of the same file. False where the store is a bucket or on another
    /// disk, or the file is another's or has changed since it was read.
    pub async fn link(
        &self,
        file: &Path,
        key: &str,
        read: &ReadFile,
    ) -> Result<bool, StorageError> {
        let (Place::Folder { path, .. }, Some(blob)) = (&self.0, self.local_path(key)) else {
            return Ok(false);
        };
        let (root, file, what) = (path.clone(), file.to_owned(), file.display().to_string());
        let read = read.clone();
        let linked = spawn_blocking(move || link(&root, &file, &blob, &read)).await;
        let linked = linked.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        linked.map_err(StorageError::file(what))
    }
}

/// What files are, whatever their names: device and number, and the key of the blob that it is.
pub type Identities = HashMap<(u64, u64), String>;

fn identities(root: &Path) -> io::Result<Identities> {
    let mut known = Identities::new();
    for key in list_folder(root)?.into_keys() {
        // One that is growing has no such name yet.
        if let Ok(found) = fs::metadata(root.join(&key[..2]).join(&key)) {
            known.insert((found.dev(), found.ino()), key);
        }
    }
    Ok(known)
}

/// A file of this machine at the moment at which its bytes were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    device: u64,
    number: u64,
    length: u64,
    modified: (i64, i64),
}

impl ReadFile {
    pub fn of(file: &fs::Metadata) -> Self {
        Self {
            device: file.dev(),
            number: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// Says whether the file has the blob's name from now on, too. Not where it is another's, whom nobody keeps from writing,
/// lies on another disk, or has changed since it was read.
fn link(root: &Path, file: &Path, blob: &Path, read: &ReadFile) -> io::Result<bool> {
    // Through symbolic links: a link to one would be no file.
    let target = file.canonicalize()?;
    let open = fs::File::open(&target)?;
    let metadata = open.metadata()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || !metadata.is_file() || ReadFile::of(&metadata) != *read {
        return Ok(false);
    }
    let folder = blob.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    if fs::hard_link(&target, blob).is_err() {
        return Ok(false);
    }
    // From now on its bytes never change, and they are on the disk.
    open.set_permissions(fs::Permissions::from_mode(0o444))?;
    open.sync_all()?;
    sync_folder(folder)?;
    sync_folder(root)?;
    Ok(true)
}
