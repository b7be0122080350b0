//! Which server this is: an id kept in the data folder, and the lock that keeps a second one out.
//!
//! Rows that belong to work under way carry the id. Whoever holds the lock knows that no other
//! process works under it, so what such rows left behind can be cleaned at the next start at once,
//! without waiting for a lease to run out.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::LazyLock;

use uuid::Uuid;

use super::error::StorageError;
use crate::model::Ids;

/// Holds the data folder for as long as it lives.
pub struct Instance {
    id: Uuid,
    _lock: File,
}

impl Instance {
    /// Takes the data folder, which is made if absent; `InUse` while another server has it.
    pub fn take(data: &Path, ids: Ids) -> Result<Self, StorageError> {
        make_folder(data, OPEN)?;
        let path = data.join("instance");
        let what = || path.display().to_string();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StorageError::file(what()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::InUse(format!(
                    "another imagedepot server uses {}; stop it, or name another folder with --data",
                    data.display()
                )));
            }
            Err(TryLockError::Error(source)) => {
                return Err(StorageError::File { what: what(), source });
            }
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(StorageError::file(what()))?;
        let id = if let Ok(id) = text.trim().parse() {
            id
        } else {
            let id = ids.next();
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{id}"))
                .and_then(|()| file.sync_all())
                .map_err(StorageError::file(what()))?;
            id
        };
        Ok(Self { id, _lock: file })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }
}

/// Which start of the machine this is. While it is the same, the system still has what a killed
/// process wrote. None where the system does not tell.
pub fn boot_id() -> Option<&'static str> {
    static BOOT: LazyLock<Option<String>> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(text.trim().to_owned())
    });
    BOOT.as_deref()
}

/// Anyone may pass through: the tree below is for nginx and others to serve.
pub(super) const OPEN: u32 = 0o755;
/// Only the owner looks in.
pub(super) const PRIVATE: u32 = 0o700;

pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), StorageError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(StorageError::file(path.display().to_string()))
}

/// Makes the file if absent, for its owner's eyes only: the catalog holds password hashes.
pub fn make_private_file(path: &Path) -> Result<(), StorageError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(StorageError::file(path.display().to_string()))
}
