//! The revision in use in a MED-V client's store, `DIR/MED-V Images/PrestagedImages`, as a pre-staging kit lays it out.
//!
//! The files are hard links to those of the revision, or copies where the store is on another disk. The index comes last
//! and goes first, so that an index never lies there without its image. Access rights are the store's own.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::ours::folder_must_be_ours;
use crate::client::error::Failure;
use crate::file_system;
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

    /// Lays the files of a revision into the store. Those that are there already stay untouched. Blocks.
    pub fn lay(&self, revision: &Path, names: &[String]) -> Result<(), Failure> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(&self.folder);
        made.map_err(|error| Failure::local("create", &self.folder, &error))?;
        folder_must_be_ours(&self.folder)?;
        for name in in_order(names) {
            self.lay_one(&revision.join(name), name)?;
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Failure::local("write", &self.folder, &error))
    }

    fn lay_one(&self, from: &Path, name: &str) -> Result<(), Failure> {
        let (place, unfinished) =
            (self.folder.join(name), self.folder.join(format!("{name}{UNFINISHED}")));
        let lay = || -> io::Result<()> {
            if is_same(from, &place)? {
                return Ok(());
            }
            remove_if_there(&unfinished)?;
            if fs::hard_link(from, &unfinished).is_err() {
                copy(from, &unfinished)?;
            }
            fs::rename(&unfinished, &place)?;
            // Renaming a link onto another one of the same file leaves both.
            remove_if_there(&unfinished)
        };
        lay().map_err(|error| {
            // What is here of a copy takes room that somebody else may need.
            let _kept = remove_if_there(&unfinished);
            Failure::local("write", &place, &error)
        })
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

/// Copies a file to another disk, with its date, which says that the copy is one of it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = file_system::open(from)?;
    let about = source.metadata()?;
    let mut copied = File::options().write(true).create_new(true).mode(0o444).open(to)?;
    let room = rustix::fs::fstatvfs(&copied)?;
    if about.len() > room.f_bavail.saturating_mul(room.f_frsize) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    io::copy(&mut source, &mut copied)?;
    copied.set_modified(about.modified()?)?;
    copied.sync_all()
}

/// Returns the names with indexes last.
fn in_order(names: &[String]) -> Vec<&String> {
    let mut names: Vec<_> = names.iter().collect();
    names.sort_by_key(|name| sums::is_index(name));
    names
}

/// Reports whether the store has the file: a link to it, or a copy with its size and date.
fn is_same(from: &Path, place: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let from = fs::metadata(from)?;
    let there = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let is_link = (from.dev(), from.ino()) == (there.dev(), there.ino());
    let is_copy = there.is_file() && there.len() == from.len();
    Ok(is_link || (is_copy && there.modified()? == from.modified()?))
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
