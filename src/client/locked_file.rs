//! A file that one process at a time may hold, and that may be renamed or removed while it is held.
//!
//! The lock is the system's (`flock`), so the system releases it however the process ends. A file with a process id was
//! rejected: after a power failure, the id may belong to another process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::file_system;

/// Opens and locks the file. Returns `None` if another process holds it.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = file_system::open_with(options, path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The previous holder may have finished between our opening and locking. Then this is a removed file, or a
        // finished one under a new name, and not ours.
        if is_still_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
