//! The file in which a blob grows, beside its final name: it is written at an offset, synced, and renamed at the end.
//!
//! Bytes past the offset that the catalog knows were written and never acknowledged. After a crash of the server alone,
//! the operating system still has them, and they are taken in ([`StagedFile::read_unacknowledged`]). After a crash of
//! the machine, nobody knows what they are, and they are cut off.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::running_hash::RunningHash;
use crate::storage::disk;
use crate::storage::error::StorageError;

/// The bytes to read at once when taking in what a crash left.
const READ: usize = 1024 * 1024;

/// Returns the path at which a blob grows until it is complete.
pub(super) fn staged_path(path: &Path) -> PathBuf {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".part");
    staged.into()
}

/// Deletes what has grown of a blob. A missing file is no error.
pub(super) fn remove_staged(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(staged_path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::file(path.display(), error))
        }
        _ => Ok(()),
    }
}

/// A file under its provisional name. All methods block.
pub(super) struct StagedFile {
    file: Arc<File>,
    path: PathBuf,
}

impl StagedFile {
    /// Opens the file, under its final name if it has that already. A blob without any bytes gets a new file if need
    /// be, and its name is made durable. Returns `Damaged` if bytes were acknowledged and there is no file.
    pub(super) fn open(
        path: PathBuf,
        complete: &Path,
        received: u64,
    ) -> Result<Self, StorageError> {
        let fail = |error| StorageError::file(path.display(), error);
        let open = |path: &Path, new: bool| {
            OpenOptions::new().read(true).write(true).create_new(new).mode(0o600).open(path)
        };
        let present = match open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => open(complete, false),
            other => other,
        };
        let file = match present {
            Err(error) if error.kind() == io::ErrorKind::NotFound && received > 0 => {
                return Err(StorageError::Damaged(format!("{} is missing", path.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&path).and_then(|()| open(&path, true))
            }
            other => other,
        };
        let file = file.map_err(fail)?;
        if received == 0 {
            sync_name(&path).map_err(fail)?;
        }
        Ok(Self { file: Arc::new(file), path })
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Takes in what was written past `from`, up to `limit`, makes it durable, and returns where it ends.
    pub(super) fn read_unacknowledged(
        &self,
        from: u64,
        limit: u64,
        hash: &mut RunningHash,
    ) -> Result<u64, StorageError> {
        let mut read = || {
            self.file.sync_data()?;
            let mut at = from;
            let mut buffer = vec![0; READ];
            while at < limit {
                let wanted = usize::try_from(limit - at).map_or(READ, |left| left.min(READ));
                let count = self.file.read_at(&mut buffer[..wanted], at)?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
                at += count as u64;
            }
            Ok(at)
        };
        read().map_err(|error| StorageError::file(self.path.display(), error))
    }

    /// Cuts off what is past `length`. Returns `Damaged` if the file is shorter than what was acknowledged.
    pub(super) fn cut(&self, length: u64) -> Result<(), StorageError> {
        let present =
            self.file.metadata().map_err(|error| StorageError::file(self.path.display(), error))?;
        if present.len() < length {
            return Err(StorageError::Damaged(format!(
                "{} has {} bytes, but {length} were acknowledged",
                self.path.display(),
                present.len()
            )));
        }
        if present.len() > length {
            self.file
                .set_len(length)
                .map_err(|error| StorageError::file(self.path.display(), error))?;
        }
        Ok(())
    }
}

/// Gives a staged file its final name, durably. Repeated after a crash, it finds the work done.
pub(super) fn take_name(staged: &Path, path: &Path) -> Result<(), StorageError> {
    let rename = || {
        match std::fs::rename(staged, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
            other => other?,
        }
        disk::sync_folder(path.parent().unwrap_or(Path::new("/")))
    };
    rename().map_err(|error| StorageError::file(path.display(), error))
}

/// Writes pieces one after the other.
pub(super) fn write_at(file: &File, pieces: &[Bytes], mut offset: u64) -> io::Result<()> {
    for piece in pieces {
        file.write_all_at(piece, offset)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// Creates the folder of a shard, unless an earlier blob of the shard has done so.
fn make_folder(of: &Path) -> io::Result<()> {
    match std::fs::create_dir(of.parent().unwrap_or(Path::new("/"))) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names of the file and of its folder durable, even if both exist already: a kill may have come between
/// their creation and this.
fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    disk::sync_folder(folder)?;
    disk::sync_folder(folder.parent().unwrap_or(Path::new("/")))
}
