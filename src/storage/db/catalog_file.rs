//! SQLite's file as it was opened: checks that it is still the one under its name, and that only one server uses it.
//!
//! A deleted file continues to exist for a process that has it open: changes would be acknowledged, and lost with the
//! process. Two servers would each assume that it is the only one that cleans up.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::storage::error::StorageError;

/// The identity of the file.
#[derive(Debug, Clone)]
pub struct CatalogFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl CatalogFile {
    pub(super) fn opened(path: &Path) -> Result<Self, StorageError> {
        let fail = |error| StorageError::file(path.display(), error);
        let path = path.canonicalize().map_err(fail)?;
        let about = fs::metadata(&path).map_err(fail)?;
        Ok(Self { path, device: about.dev(), inode: about.ino() })
    }

    /// Fails if the name belongs to another file now, or to none.
    pub fn must_be_there(&self) -> Result<(), StorageError> {
        let there = fs::metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (self.device, self.inode)) {
            return Ok(());
        }
        Err(StorageError::Unavailable(format!(
            "{} was removed or replaced while the server was running: changes would be lost. Put it back, or stop the \
             server and restore a backup",
            self.path.display()
        )))
    }

    /// Keeps other servers from using the same catalog for as long as the result lives.
    pub(super) fn hold(&self) -> Result<File, StorageError> {
        let mut name = self.path.clone().into_os_string();
        name.push("-server");
        let lock = PathBuf::from(name);
        let fail = |error| StorageError::file(lock.display(), error);
        let file =
            File::options().write(true).create(true).truncate(false).open(&lock).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StorageError::InUse(format!(
                "another imagedepot server uses the catalog {}; servers that share a catalog need PostgreSQL",
                self.path.display()
            ))),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }
}
