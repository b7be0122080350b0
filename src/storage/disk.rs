//! The local disk: its free space, whether it is read-only, and making names durable.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

/// Returns the bytes that an ordinary process may still write on the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Reports whether the file system of `path` is read-only: the system makes it so by itself when a disk fails.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(rustix::fs::statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Makes the names in a folder durable: syncing a file does not cover its name.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
