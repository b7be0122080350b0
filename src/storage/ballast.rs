//! Room set aside for the day on which the disk is full: deleting something takes a commit, and a
//! commit takes a few kilobytes.
//!
//! Uploads keep `store.min_free` bytes of their disk free, but they are not the only ones to write
//! there. So a file beside SQLite's catalog holds some room, and goes before the last byte is taken; it
//! comes back when there is room again. While it is gone and the disk has no more than it held, the room is for what
//! frees some, or shuts somebody out ([`Room`]): given to whoever comes first, it would be gone with the next notes that
//! somebody writes, and no delete could be committed any more.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::disk;

/// More than SQLite's log takes (4 MiB) before it is used anew, and less than any sensible
/// `store.min_free`, so that uploads do not take the room that was set free.
const SIZE: u64 = 6 * 1024 * 1024;

/// With less than this the file goes.
const GIVES_WAY_BELOW: u64 = 2 * 1024 * 1024;

/// So much is kept, be it by the file or, where that is gone, by refusing.
const KEPT: u64 = GIVES_WAY_BELOW + SIZE;

/// With more than this it comes back.
const COMES_BACK_ABOVE: u64 = 8 * SIZE;

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    ForAll,
    /// For what frees some, or shuts somebody out.
    ForFreeing {
        free: u64,
    },
}

/// The room set aside in one folder.
#[derive(Debug, Clone)]
pub struct Ballast {
    folder: PathBuf,
}

impl Ballast {
    /// Sets room aside in the folder of `catalog`, if there is any.
    pub fn beside(catalog: &Path) -> Self {
        let folder = match catalog.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let ballast = Self { folder: folder.to_owned() };
        ballast.look();
        ballast
    }

    /// To be called before something is written. What fails here shows where it matters: in the write.
    pub fn look(&self) -> Room {
        let Ok(free) = disk::free_bytes(&self.folder) else { return Room::ForAll };
        let path = self.folder.join("ballast");
        if free < GIVES_WAY_BELOW {
            if std::fs::remove_file(path).is_ok() {
                tracing::error!(
                    free,
                    "the disk is full; the room set aside for the catalog is in use, for what frees some"
                );
            }
            return Room::ForFreeing { free };
        }
        if free > COMES_BACK_ABOVE && !is_whole(&path) {
            set_aside(&path);
        }
        if free < KEPT && !is_whole(&path) { Room::ForFreeing { free } } else { Room::ForAll }
    }
}

fn set_aside(path: &Path) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    if let Err(error) = file.and_then(|file| {
        fallocate(&file, FallocateFlags::empty(), 0, SIZE).map_err(std::io::Error::from)
    }) {
        tracing::debug!(%error, "no room could be set aside for a full disk");
    }
}

/// One that a kill left half made has fewer blocks than bytes.
fn is_whole(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.blocks() * 512 >= SIZE)
}
