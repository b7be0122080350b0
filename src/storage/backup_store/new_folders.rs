//! The folders that were created for a place. They are recorded so that a failed run leaves no empty ones behind.

use std::path::{Path, PathBuf};

use super::layout::{BLOBS, Notes};

/// The folders that did not exist before, innermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct NewFolders(Vec<PathBuf>);

impl NewFolders {
    pub(super) fn before_making(folder: &Path) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let missing = folder.ancestors().take_while(|part| !part.exists());
        Self(missing.map(Path::to_owned).collect())
    }

    /// Removes those of the new place's folders that are empty; the system refuses to remove the others.
    pub(super) fn remove_empty(&self, folder: &Path) {
        if self.0.is_empty() {
            return;
        }
        let blobs = folder.join(BLOBS);
        let by_digest = std::fs::read_dir(&blobs).into_iter().flatten().flatten();
        let parts = [Notes::Catalogs.name(), Notes::Exports.name()].map(|part| folder.join(part));
        let all = by_digest.map(|entry| entry.path()).chain([blobs]).chain(parts);
        for empty in all.chain(self.0.iter().cloned()) {
            let _is_needed = std::fs::remove_dir(empty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a/b");
        let made = NewFolders::before_making(&place);
        for part in ["blobs/ab", "catalogs", "exports"] {
            std::fs::create_dir_all(place.join(part)).unwrap();
        }
        // The folder exists before this one is created, so nothing is removed.
        NewFolders::before_making(&place).remove_empty(&place);
        assert!(place.join("blobs/ab").exists());
        std::fs::write(place.join("exports/x.json"), "x").unwrap();
        made.remove_empty(&place);
        assert!(place.join("exports/x.json").exists() && !place.join("blobs").exists());
        std::fs::remove_file(place.join("exports/x.json")).unwrap();
        made.remove_empty(&place);
        assert!(folder.path().exists() && !folder.path().join("a").exists());
    }
}
