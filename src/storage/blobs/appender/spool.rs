//! The parts of one blob that are on their way into a bucket, each in a local file, so that fifty uploads hold their
//! parts on disk and not in memory.
//!
//! Each writer has a folder named after its number, and in it a file for each part, named after the part's number. So
//! what an earlier writer left is never mistaken for this writer's. Nothing here is synced: a crash of the machine
//! loses the bytes, and none of them was acknowledged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::storage::blobs::running_hash::RunningHash;
use crate::storage::error::StorageError;
use crate::storage::instance;

/// The bytes to read at once when taking in what a kill left.
const READ: usize = 1024 * 1024;

/// The files of one writer. All methods block.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Opens the writer's folder, which need not exist, in that of the blob. What the writer `before` left becomes its
    /// own; what any other writer left is deleted.
    pub(super) fn open(
        of_blob: &Path,
        writer: i64,
        before: Option<i64>,
    ) -> Result<Self, StorageError> {
        let folder = of_blob.join(writer.to_string());
        let open = || {
            if let Some(before) = before {
                absent_is_fine(std::fs::rename(of_blob.join(before.to_string()), &folder))?;
            } else {
                absent_is_fine(std::fs::remove_dir_all(&folder))?;
            }
            let Some(entries) = absent_is_none(std::fs::read_dir(of_blob))? else { return Ok(()) };
            for entry in entries {
                let path = entry?.path();
                if path != folder {
                    std::fs::remove_dir_all(path)?;
                }
            }
            Ok(())
        };
        open().map_err(|error| StorageError::file(of_blob.display(), error))?;
        Ok(Self { folder })
    }

    /// Opens or creates a part's file, and returns it with its length.
    pub(super) fn part(&self, number: u64) -> Result<(Arc<File>, u64), StorageError> {
        let path = self.path(number);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        };
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                instance::make_folder(&self.folder, instance::PRIVATE)?;
                open()
            }
            other => other,
        };
        let fail = |error| StorageError::file(path.display(), error);
        let file = opened.map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        Ok((Arc::new(file), length))
    }

    /// Reads a part's bytes from `from` to its end, or to `limit`, and returns where they end. Returns `None` if the
    /// file does not exist or does not reach `from`.
    pub(super) fn read_on(
        &self,
        number: u64,
        from: u64,
        limit: u64,
        hash: &mut RunningHash,
    ) -> Result<Option<u64>, StorageError> {
        let path = self.path(number);
        let mut read = || {
            let Some(file) = absent_is_none(File::open(&path))? else { return Ok(None) };
            if file.metadata()?.len() < from {
                return Ok(None);
            }
            let (mut at, mut buffer) = (from, vec![0; READ]);
            while at < limit {
                let wanted = usize::try_from(limit - at).map_or(READ, |left| left.min(READ));
                let count = file.read_at(&mut buffer[..wanted], at)?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
                at += count as u64;
            }
            Ok(Some(at))
        };
        read().map_err(|error| StorageError::file(path.display(), error))
    }

    /// Deletes the parts before `number`.
    pub(super) fn remove_before(&self, number: u64) -> Result<(), StorageError> {
        let remove = || {
            let entries = absent_is_none(std::fs::read_dir(&self.folder))?;
            for entry in entries.into_iter().flatten() {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                if name.and_then(|name| name.parse().ok()).is_some_and(|part: u64| part < number) {
                    absent_is_fine(std::fs::remove_file(path))?;
                }
            }
            Ok(())
        };
        remove().map_err(|error| StorageError::file(self.folder.display(), error))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }
}

/// Deletes everything that is left of a blob here.
pub(in crate::storage::blobs) fn remove(of_blob: &Path) -> Result<(), StorageError> {
    absent_is_fine(std::fs::remove_dir_all(of_blob))
        .map_err(|error| StorageError::file(of_blob.display(), error))
}

/// Lists the keys of the blobs of which there is something here.
pub(in crate::storage::blobs) fn keys(spool: &Path) -> Result<Vec<String>, StorageError> {
    let list = || {
        let entries = absent_is_none(std::fs::read_dir(spool))?;
        let names = entries.into_iter().flatten().map(|entry| entry.map(|entry| entry.file_name()));
        names.map(|name| Ok(name?.to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()
    };
    list().map_err(|error| StorageError::file(spool.display(), error))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    absent_is_none(done).map(|_| ())
}

fn absent_is_none<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn a_writer_finds_what_the_one_before_left_and_nothing_older() {
        let blob = tempfile::tempdir().unwrap();
        for writer in [1, 2] {
            let spool = Spool::open(&blob.path().join("kept"), writer, None).unwrap();
            let (file, length) = spool.part(7).unwrap();
            assert_eq!(length, 0);
            file.write_all_at(b"0123456789", 0).unwrap();
        }
        let third = Spool::open(&blob.path().join("kept"), 3, Some(2)).unwrap();
        let mut hash = RunningHash::default();
        assert_eq!(third.read_on(7, 4, 8, &mut hash).unwrap(), Some(8));
        assert_eq!(hash.finish(), Digest::of(b"4567"));
        assert_eq!(third.read_on(7, 11, 20, &mut RunningHash::default()).unwrap(), None);
        assert_eq!(third.read_on(8, 0, 20, &mut RunningHash::default()).unwrap(), None);
        let fifth = Spool::open(&blob.path().join("kept"), 5, Some(4)).unwrap();
        assert_eq!(fifth.read_on(7, 0, 20, &mut RunningHash::default()).unwrap(), None);
    }

    #[test]
    fn parts_that_are_noted_are_let_go_of() {
        let blob = tempfile::tempdir().unwrap();
        let spool = Spool::open(blob.path(), 1, None).unwrap();
        for number in [8, 9, 10] {
            spool.part(number).unwrap();
        }
        spool.remove_before(10).unwrap();
        assert_eq!(keys(&blob.path().join("1")).unwrap(), ["10"]);
        remove(blob.path()).unwrap();
        assert_eq!(keys(blob.path()).unwrap(), Vec::<String>::new());
    }
}
