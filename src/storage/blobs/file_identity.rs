//! The identity of the local file that a blob is, whatever its names: files that were already read become blobs by a
//! hard link.

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
    /// Returns the blobs by the identity of their files; nothing if the store is a bucket.
    pub async fn identities(&self) -> Result<Identities, StorageError> {
        let Place::Folder { path, .. } = &self.0 else { return Ok(Identities::new()) };
        let root = path.clone();
        let what = root.display().to_string();
        let found = spawn_blocking(move || identities(&root)).await;
        let found = found.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        found.map_err(|error| StorageError::file(what, error))
    }

    /// Makes a local file a blob, by giving the same file another name. Returns false if the store is a bucket or on
    /// another disk, or if the file has another owner or has changed since it was read.
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
        linked.map_err(|error| StorageError::file(what, error))
    }
}

/// The key of each blob by the identity of its file, whatever the file's names: device and inode number.
pub type Identities = HashMap<(u64, u64), String>;

fn identities(root: &Path) -> io::Result<Identities> {
    let mut known = Identities::new();
    for key in list_folder(root)?.into_keys() {
        // A blob that is still growing has no such name yet.
        if let Ok(found) = fs::metadata(root.join(&key[..2]).join(&key)) {
            known.insert((found.dev(), found.ino()), key);
        }
    }
    Ok(known)
}

/// The identity of a local file at the moment when its bytes were read.
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

/// Gives the file the blob's name as well, and reports whether it could. It cannot if the file has another owner, who
/// could still write to it, is on another disk, or has changed since it was read.
fn link(root: &Path, file: &Path, blob: &Path, read: &ReadFile) -> io::Result<bool> {
    // Symbolic links are resolved first: a hard link to one would not be a regular file.
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
