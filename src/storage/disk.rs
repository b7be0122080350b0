//! What the local disk has to say: free space, and making names durable.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

/// Bytes that an ordinary process may still write on the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether the file system of `path` takes no changes: the system turns to that by itself when a disk fails.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(rustix::fs::statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Makes the names in a folder durable: a file's own sync does not cover the name it was given.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
