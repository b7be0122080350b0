//! The tree in a folder, which nginx, IIS or a file share may serve as it is. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use chrono::{DateTime, Utc};

use super::entry::Original;
use crate::storage::disk::sync_folder;
use crate::storage::error::StorageError;

/// The prefix of the names of files that are being made. A crash may leave one, and a later listing removes it.
const TEMPORARY: &str = ".imagedepot-";

/// The age at which files that a killed writer left are deleted.
const LEFT_FOR: Duration = Duration::from_mins(10);

/// The folder at the root of the tree.
#[derive(Debug, Clone)]
pub struct TreeFolder {
    root: PathBuf,
}

impl TreeFolder {
    /// Opens the folder, which is created (0755) if absent.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        make_folder(root).map_err(|error| StorageError::file(root.display(), error))?;
        let root =
            root.canonicalize().map_err(|error| StorageError::file(root.display(), error))?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lists the files in one folder of the tree by name, without those of folders below it. It is empty if the folder
    /// does not exist, or if its name belongs to a file that imagedepot did not make. What an earlier crash left is
    /// deleted on the way.
    pub fn list(&self, folder: &str) -> Result<BTreeMap<String, fs::Metadata>, StorageError> {
        let path = self.root.join(folder);
        let fail = |error| StorageError::file(path.display(), error);
        match list_files(&path) {
            Ok(files) => Ok(files),
            Err(error) if is_absent(&error) => Ok(BTreeMap::new()),
            Err(error) => Err(fail(error)),
        }
    }

    /// Lists the folders below the root by name.
    pub fn folders(&self) -> Result<Vec<String>, StorageError> {
        let list = || {
            let mut folders = Vec::new();
            for entry in fs::read_dir(&self.root)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            folders.sort_unstable();
            Ok(folders)
        };
        list().map_err(|error| StorageError::file(self.root.display(), error))
    }

    /// Reports whether a file found in the tree is a blob's published form: the same file by a hard link, or a copy
    /// with its size and date.
    pub fn is_published(found: &fs::Metadata, blob: &Path, original: &Original) -> bool {
        let linked = fs::metadata(blob)
            .is_ok_and(|blob| (blob.dev(), blob.ino()) == (found.dev(), found.ino()));
        linked || (found.len() == original.size && found.mtime() == original.sealed_at.timestamp())
    }

    /// Makes a blob appear under `path`, by a hard link or, where links are impossible, by a copy.
    pub fn publish(
        &self,
        path: &str,
        blob: &Path,
        original: &Original,
    ) -> Result<(), StorageError> {
        let target = self.root.join(path);
        self.publish_at(&target, blob, original)
            .map_err(|error| StorageError::file(target.display(), error))
    }

    fn publish_at(&self, target: &Path, path: &Path, original: &Original) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        let blob = File::open(path)?;
        set_mode_and_date(&blob, original.sealed_at)?;
        let temporary = temporary_beside(target);
        remove_if_there(&temporary)?;
        // Renaming a new link over the target replaces a damaged file in one step.
        if let Err(error) = fs::hard_link(path, &temporary) {
            tracing::debug!(target = %target.display(), %error, "a hard link is not possible; the file is copied");
            copy(blob, &temporary, original.sealed_at)?;
        }
        if let Err(error) = fs::rename(&temporary, target) {
            remove_if_there(&temporary)?;
            return Err(error);
        }
        // A rename between two links of one file does nothing and leaves both names.
        remove_if_there(&temporary)?;
        sync_folder(folder)
    }

    /// Writes a small file as a whole.
    pub fn write_document(&self, path: &str, content: &[u8]) -> Result<(), StorageError> {
        let target = self.root.join(path);
        self.write_at(&target, content).map_err(|error| StorageError::file(target.display(), error))
    }

    fn write_at(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        let temporary = temporary_beside(target);
        remove_if_there(&temporary)?;
        let mut file = File::create_new(&temporary)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(0o444))?;
        file.sync_all()?;
        fs::rename(&temporary, target)?;
        sync_folder(folder)
    }

    /// Reads a small file; none if it does not exist.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let target = self.root.join(path);
        match fs::read(&target) {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(StorageError::file(target.display(), error)),
        }
    }

    /// Removes a file from the tree. A missing file is no error.
    pub fn remove(&self, path: &str) -> Result<(), StorageError> {
        let target = self.root.join(path);
        remove_if_there(&target)
            .and_then(|()| match target.parent() {
                Some(folder) if folder.exists() => sync_folder(folder),
                _ => Ok(()),
            })
            .map_err(|error| StorageError::file(target.display(), error))
    }

    /// Removes a folder below the root if it is empty, such as that of a deleted channel.
    pub fn remove_folder_if_empty(&self, folder: &str) {
        if !folder.is_empty() {
            // The folder is not empty, or already gone: both are fine.
            let _kept = fs::remove_dir(self.root.join(folder));
        }
    }
}

/// Reports whether there is a file that is not just another name of the blob.
pub(super) fn are_two_files(path: &Path, blob: Option<&Path>) -> bool {
    let identity = |file: fs::Metadata| (file.dev(), file.ino());
    let blob = blob.and_then(|blob| fs::metadata(blob).ok()).map(identity);
    fs::symlink_metadata(path).is_ok_and(|file| Some(identity(file)) != blob)
}

/// Reports whether nothing is there, which is also the case if the path leads through a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn list_files(folder: &Path) -> io::Result<BTreeMap<String, fs::Metadata>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMPORARY) {
            if entry.metadata().is_ok_and(|file| is_left_over(&file)) {
                remove_if_there(&entry.path())?;
            }
            continue;
        }
        // This is the metadata of the entry itself: a symbolic link is not a file that imagedepot made.
        match entry.metadata() {
            Ok(metadata) if !metadata.is_dir() => {
                files.insert(name, metadata);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Reports whether the file is no longer being written and will not be renamed. This depends on the time of its last
/// change of any kind, because a link has the date of the blob. Publishing the same file again overwrites it anyway.
fn is_left_over(file: &fs::Metadata) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(file.ctime().unsigned_abs());
    changed.elapsed().is_ok_and(|age| age >= LEFT_FOR)
}

/// Makes a file read-only for all and dates it at the sealing.
fn set_mode_and_date(file: &File, sealed_at: DateTime<Utc>) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.set_modified(sealed_at.into())
}

fn copy(mut blob: File, temporary: &Path, sealed_at: DateTime<Utc>) -> io::Result<()> {
    let mut copy = File::create_new(temporary)?;
    io::copy(&mut blob, &mut copy)?;
    set_mode_and_date(&copy, sealed_at)?;
    copy.sync_all()
}

fn temporary_beside(target: &Path) -> PathBuf {
    let name =
        target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!("{TEMPORARY}{name}"))
}

fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
