//! The revision in use in a MED-V client's store, `DIR/MED-V Images/PrestagedImages`, as a pre-staging kit lays it out.
//!
//! The files are hard links to those of the revision, or copies where the store is on another disk. The index comes last
//! and goes first, so that an index never lies there without its image. Access rights are the store's own.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::client::error::Failure;
use crate::prestage::{IMAGES, PRESTAGED, sums};

/// The end of the name of a file that is not complete yet. No image is called so.
const UNFINISHED: &str = ".partial";

/// The folder of pre-staged images.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.join(IMAGES).join(PRESTAGED) }
    }

    /// Lays the files of a revision into the store. Those that are there already stay untouched.
    pub fn lay(&self, revision: &Path, names: &[String]) -> Result<(), Failure> {
        let lay = || {
            DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
            for name in in_order(names) {
                self.lay_one(&revision.join(name), name)?;
            }
            File::open(&self.folder)?.sync_all()
        };
        lay().map_err(|error| Failure::local("write", &self.folder, &error))
    }

    fn lay_one(&self, from: &Path, name: &str) -> io::Result<()> {
        let (place, unfinished) =
            (self.folder.join(name), self.folder.join(format!("{name}{UNFINISHED}")));
        if is_same(from, &place)? {
            return Ok(());
        }
        remove_if_there(&unfinished)?;
        if fs::hard_link(from, &unfinished).is_err() {
            fs::copy(from, &unfinished)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(0o444))?;
            File::open(&unfinished)?.sync_all()?;
        }
        fs::rename(&unfinished, &place)?;
        // Renaming a link onto another one of the same file leaves both.
        remove_if_there(&unfinished)
    }

    /// Removes files that the agent has laid there before.
    pub fn remove(&self, names: &[String]) -> Result<(), Failure> {
        for name in in_order(names).into_iter().rev() {
            let path = self.folder.join(name);
            remove_if_there(&path).map_err(|error| Failure::local("remove", &path, &error))?;
        }
        Ok(())
    }
}

/// Returns the names with indexes last.
fn in_order(names: &[String]) -> Vec<&String> {
    let mut names: Vec<_> = names.iter().collect();
    names.sort_by_key(|name| sums::is_index(name));
    names
}

/// Reports whether the store has the file: a link to it, or a copy of its size that was made after it.
fn is_same(from: &Path, place: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let from = fs::metadata(from)?;
    let there = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let is_link = (from.dev(), from.ino()) == (there.dev(), there.ino());
    Ok(is_link || (there.is_file() && there.len() == from.len() && there.mtime() >= from.mtime()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn there(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(&store.folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_laid_once_and_removed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let revision = folder.path().join("12");
        fs::create_dir(&revision).unwrap();
        let files = names(&["win7_12.ckm.index", "win7_12.ckm"]);
        for name in &files {
            fs::write(revision.join(name), name).unwrap();
        }
        let store = Store::in_folder(folder.path());
        for _ in 0..2 {
            store.lay(&revision, &files).unwrap();
            assert_eq!(there(&store), ["win7_12.ckm", "win7_12.ckm.index"]);
        }
        fs::write(store.folder.join("other.ckm"), "somebody else's").unwrap();
        store.remove(&names(&["win7_12.ckm", "win7_12.ckm.index", "win7_11.ckm"])).unwrap();
        assert_eq!(there(&store), ["other.ckm"]);
    }
}
