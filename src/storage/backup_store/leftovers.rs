//! The files that killed writers leave in a folder of backups. Each file is written under its name followed by `#` and
//! a number, and is renamed when it is complete. In a bucket, a lifecycle rule removes uploads that were begun and
//! never completed.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::layout::{BLOBS, Notes};
use crate::storage::StorageError;
use crate::storage::copying::staged_for;

/// The age at which an unfinished file counts as abandoned: a writer that is alive keeps changing its file.
pub(super) const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(24);

/// Removes unfinished files that are older than a day and returns how many there were.
pub(super) fn remove(folder: &Path, now: DateTime<Utc>) -> Result<u64, StorageError> {
    let mut removed = 0;
    let parts = [Notes::Catalogs.name(), Notes::Exports.name()].map(|part| folder.join(part));
    let mut folders = Vec::from(parts);
    for entry in entries(&folder.join(BLOBS))? {
        if entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    for folder in folders {
        for entry in entries(&folder)? {
            let is_old = |file: std::fs::Metadata| {
                let modified = file.modified().map(DateTime::<Utc>::from);
                file.is_file() && modified.is_ok_and(|modified| now - modified >= ABANDONED_AFTER)
            };
            if staged_for(&entry.file_name().to_string_lossy()).is_some()
                && entry.metadata().is_ok_and(is_old)
            {
                let path = entry.path();
                std::fs::remove_file(&path)
                    .map_err(|error| StorageError::file(path.display(), error))?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn entries(folder: &Path) -> Result<Vec<std::fs::DirEntry>, StorageError> {
    let listed = std::fs::read_dir(folder).and_then(Iterator::collect);
    listed.map_err(|error| StorageError::file(folder.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_long_ago_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let old = (now - TimeDelta::hours(25)).into();
        let files = ["blobs/ab/abcd", "blobs/ab/abcd#1", "catalogs/x.json", "catalogs/x.jsonl#12"];
        for path in files.into_iter().chain(["blobs/ab/ab#c", "exports/x.json#1"]) {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().set_modified(old).unwrap();
        }
        // This file is being written at the moment.
        let young = folder.path().join("exports/x.json#1");
        std::fs::File::options().write(true).open(young).unwrap().set_modified(now.into()).unwrap();
        assert_eq!(remove(folder.path(), now).unwrap(), 2);
        for (path, is_there) in [
            ("blobs/ab/abcd", true),
            ("blobs/ab/abcd#1", false),
            ("blobs/ab/ab#c", true),
            ("catalogs/x.json", true),
            ("catalogs/x.jsonl#12", false),
            ("exports/x.json#1", true),
        ] {
            assert_eq!(folder.path().join(path).exists(), is_there, "{path}");
        }
    }
}
