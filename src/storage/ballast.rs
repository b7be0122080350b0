//! Disk space set aside for the day on which the disk is full: deleting something takes a commit, and a commit takes a
//! few kilobytes.
//!
//! Uploads keep `store.min_free` bytes of their disk free, but they are not the only ones that write to it. So a file
//! beside SQLite's catalog occupies some space. It is deleted before the last byte is used, and created again when
//! there is enough space. While the file is gone and the disk has less free than is to be kept, only changes that free
//! disk space or lock a caller out are accepted ([`DiskSpace`]). If any change were accepted, the next notes that somebody
//! writes would use the space up, and no deletion could be committed any more.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::disk;

/// The size of the file: more than SQLite's log occupies (4 MiB) before it is reused, and less than any sensible
/// `store.min_free`, so that uploads do not use the space that is freed.
const SIZE: u64 = 6 * 1024 * 1024;

/// The free space below which the file is deleted.
const GIVES_WAY_BELOW: u64 = 2 * 1024 * 1024;

/// The space that is kept, either by the file or, once it is deleted, by refusing changes.
const KEPT: u64 = GIVES_WAY_BELOW + SIZE;

/// The free space above which the file is created again.
const COMES_BACK_ABOVE: u64 = 8 * SIZE;

/// The changes for which there is disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskSpace {
    ForAll,
    /// Only changes that free disk space or lock a caller out.
    ForFreeing {
        free: u64,
    },
}

/// The disk space set aside in one folder.
#[derive(Debug, Clone)]
pub struct Ballast {
    folder: PathBuf,
}

impl Ballast {
    /// Sets space aside in the folder of `catalog`, if there is any.
    pub fn beside(catalog: &Path) -> Self {
        let folder = match catalog.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let ballast = Self { folder: folder.to_owned() };
        ballast.look();
        ballast
    }

    /// Checks the disk, and deletes or creates the file accordingly. To be called before each write. A failure here is
    /// ignored, because the write itself will report it.
    pub fn look(&self) -> DiskSpace {
        let Ok(free) = disk::free_bytes(&self.folder) else { return DiskSpace::ForAll };
        let path = self.folder.join("ballast");
        if free < GIVES_WAY_BELOW {
            if std::fs::remove_file(path).is_ok() {
                tracing::error!(
                    free,
                    "the disk is full; the space reserved for the catalog is now in use, for operations that free \
                     disk space"
                );
            }
            return DiskSpace::ForFreeing { free };
        }
        if free > COMES_BACK_ABOVE && !is_whole(&path) {
            set_aside(&path);
        }
        if free < KEPT && !is_whole(&path) {
            DiskSpace::ForFreeing { free }
        } else {
            DiskSpace::ForAll
        }
    }
}

fn set_aside(path: &Path) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    if let Err(error) = file.and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, SIZE).map_err(std::io::Error::from)
    }) {
        tracing::debug!(%error, "no space could be reserved for when the disk is full");
    }
}

/// Reports whether the file has all its blocks; a kill may have left one with fewer than its size needs.
fn is_whole(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.blocks() * 512 >= SIZE)
}
