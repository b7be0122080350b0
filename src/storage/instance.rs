//! The identity of this server: an id in the data folder, and the lock that keeps a second server out.
//!
//! Rows that belong to work in progress carry the id. The server with the lock knows that no other process uses the id,
//! so it can clean up after such rows at its next start, at once and without waiting for a lease to expire.

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
    /// Takes the data folder, which is created if absent. Returns `InUse` while another server has it.
    pub fn take(data: &Path, ids: Ids) -> Result<Self, StorageError> {
        make_folder(data, OPEN)?;
        let path = data.join("instance");
        let fail = |error| StorageError::file(path.display(), error);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::InUse(format!(
                    "another imagedepot server uses {}; stop it, or name another folder with --data",
                    data.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fail)?;
        let id = if let Ok(id) = text.trim().parse() {
            id
        } else {
            let id = ids.next();
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{id}"))
                .and_then(|()| file.sync_all())
                .map_err(fail)?;
            id
        };
        Ok(Self { id, _lock: file })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }
}

/// Returns the id of the machine's current boot; none if the system does not provide it. While it stays the same, the
/// system still has what a killed process wrote.
pub fn boot_id() -> Option<&'static str> {
    static BOOT: LazyLock<Option<String>> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(text.trim().to_owned())
    });
    BOOT.as_deref()
}

/// The mode of folders that anyone may enter: nginx and others serve the tree in them.
pub(super) const OPEN: u32 = 0o755;
/// The mode of folders that only the owner may enter.
pub(super) const PRIVATE: u32 = 0o700;

pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), StorageError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| StorageError::file(path.display(), error))
}

/// Creates the file if absent, readable by its owner only: the catalog holds password hashes.
pub fn make_private_file(path: &Path) -> Result<(), StorageError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| StorageError::file(path.display(), error))
}
