//! The folder of one image: `DIR/NAME/REVISION/FILE`, and `DIR/NAME/current`, a symbolic link to the folder of the revision
//! in use.
//!
//! A revision's folder has its name when it is complete, verified and on stable storage. Until then its files are in
//! `.incoming`. A folder that is being removed is called `.leaving` first, so that nobody takes half of one for a whole.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};

use crate::client::error::Failure;
use crate::client::locked_file;

const CURRENT: &str = "current";
const INCOMING: &str = ".incoming";
const LEAVING: &str = ".leaving";
const RUN_LOCK: &str = ".run.lock";
/// The new link, before it takes the place of the old one.
const NEXT: &str = ".next";

/// The permissions of others to write: of the group and of all.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const WRITABLE_BY_ALL: u32 = 0o002;
/// In such a folder, nobody renames what belongs to somebody else.
const STICKY: u32 = 0o1000;

/// The folder of one image.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Opens the folder of an image, and makes it if it is missing. Refuses a folder that others may write or replace:
    /// what they put there would be used, and could lead the agent elsewhere.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(root).map_err(|error| Failure::local("create", root, &error))?;
        let root = fs::canonicalize(root).map_err(|error| Failure::local("read", root, &error))?;
        for (height, place) in root.ancestors().enumerate() {
            must_be_ours(place, height)?;
        }
        Ok(Self { root })
    }

    /// Returns the folder of an image that is only looked at.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the file that a command holds locked for as long as it and what it started run. Returns none if it is held.
    pub fn take_run_lock(&self) -> Result<Option<File>, Failure> {
        let path = self.root.join(RUN_LOCK);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        locked_file::open(&options, &path).map_err(|error| Failure::local("write", &path, &error))
    }

    /// Returns the revision in use.
    pub fn current(&self) -> Option<u64> {
        let target = fs::read_link(self.root.join(CURRENT)).ok()?;
        let revision = number(target.to_str()?)?;
        self.has(revision).then_some(revision)
    }

    pub fn folder_of(&self, revision: u64) -> PathBuf {
        self.root.join(revision.to_string())
    }

    pub fn has(&self, revision: u64) -> bool {
        self.folder_of(revision).is_dir()
    }

    /// Returns the folder for the files of a revision that is being fetched. Those of others are removed: they would take
    /// the disk's room for good.
    pub fn incoming(&self, revision: u64) -> Result<PathBuf, Failure> {
        let all = self.root.join(INCOMING);
        let folder = all.join(revision.to_string());
        let make = || {
            for other in entries(&all)?.into_iter().filter(|path| *path != folder) {
                fs::remove_dir_all(other)?;
            }
            DirBuilder::new().recursive(true).mode(0o755).create(&folder)
        };
        make().map_err(|error| Failure::local("create", &folder, &error))?;
        Ok(folder)
    }

    /// Returns the names of a revision's files.
    pub fn files_of(&self, revision: u64) -> Result<Vec<String>, Failure> {
        let folder = self.folder_of(revision);
        let paths = entries(&folder).map_err(|error| Failure::local("read", &folder, &error))?;
        let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Gives the fetched files of a revision their place. They are on stable storage before.
    pub fn install(&self, revision: u64) -> Result<(), Failure> {
        let (incoming, folder) = (self.incoming(revision)?, self.folder_of(revision));
        let install = || {
            for path in entries(&incoming)? {
                let file = File::open(path)?;
                // Whoever uses the image must not change it: its digest is what was verified.
                file.set_permissions(Permissions::from_mode(0o444))?;
                file.sync_all()?;
            }
            File::open(&incoming)?.sync_all()?;
            fs::rename(&incoming, &folder)?;
            self.sync()
        };
        install().map_err(|error| Failure::local("write", &folder, &error))
    }

    /// Makes a revision the one in use. Whoever opens `current` gets the one before or this one.
    pub fn switch_to(&self, revision: u64) -> Result<(), Failure> {
        let (next, current) = (self.root.join(NEXT), self.root.join(CURRENT));
        let switch = || {
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            symlink(revision.to_string(), &next)?;
            fs::rename(&next, &current)?;
            self.sync()
        };
        switch().map_err(|error| Failure::local("write", &current, &error))
    }

    /// Returns the revisions that are here, the newest first.
    pub fn revisions(&self) -> Vec<u64> {
        let all = entries(&self.root).unwrap_or_default();
        let names = all.iter().filter(|path| path.is_dir()).filter_map(|path| path.file_name());
        let mut numbers: Vec<u64> = names.filter_map(|name| number(name.to_str()?)).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        numbers
    }

    /// Removes all revisions but these.
    pub fn keep_only(&self, kept: &[u64]) -> Result<(), Failure> {
        let leaving = self.root.join(LEAVING);
        let remove = || {
            if leaving.exists() {
                fs::remove_dir_all(&leaving)?;
            }
            for revision in self.revisions().into_iter().filter(|number| !kept.contains(number)) {
                fs::rename(self.folder_of(revision), &leaving)?;
                fs::remove_dir_all(&leaving)?;
            }
            Ok(())
        };
        remove().map_err(|error| Failure::local("remove", &leaving, &error))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}

/// Checks a folder on the way to the image's: `height` is 0 for that one and 1 for the one that it is in.
fn must_be_ours(folder: &Path, height: usize) -> Result<(), Failure> {
    let about = fs::metadata(folder).map_err(|error| Failure::local("read", folder, &error))?;
    let us = rustix::process::geteuid().as_raw();
    let (shown, mode) = (folder.display(), about.permissions().mode());
    let is_open = match height {
        0 | 1 => mode & WRITABLE_BY_OTHERS != 0 && (height == 0 || mode & STICKY == 0),
        _ => mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0,
    };
    if is_open {
        let words = format!("{shown} may be written by others; run `chmod go-w {shown}`");
        return Err(Failure::usage(words));
    }
    if about.uid() != us && about.uid() != 0 {
        return Err(Failure::usage(format!("{shown} belongs to another user")));
    }
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name && number > 0).then_some(number)
}

/// Returns the paths in a folder; none if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(revisions: &[u64]) -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(&folder.path().join("win7")).unwrap();
        for revision in revisions {
            fs::write(layout.incoming(*revision).unwrap().join("win7.ckm"), "bytes").unwrap();
            layout.install(*revision).unwrap();
        }
        (folder, layout)
    }

    #[test]
    fn the_link_leads_to_one_revision_after_the_other() {
        let (_folder, layout) = with(&[9, 10]);
        assert_eq!(layout.current(), None);
        for revision in [9, 10, 9] {
            layout.switch_to(revision).unwrap();
            assert_eq!(layout.current(), Some(revision));
            assert_eq!(fs::read(layout.root().join("current/win7.ckm")).unwrap(), b"bytes");
        }
        layout.keep_only(&[9]).unwrap();
        assert_eq!((layout.revisions(), layout.current()), (vec![9], Some(9)));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_no_revision() {
        let (_folder, layout) = with(&[9]);
        layout.switch_to(9).unwrap();
        fs::remove_dir_all(layout.folder_of(9)).unwrap();
        assert_eq!(layout.current(), None);
        for name in ["../../etc", "09", "x", "0"] {
            fs::remove_file(layout.root().join(CURRENT)).unwrap();
            symlink(name, layout.root().join(CURRENT)).unwrap();
            assert_eq!(layout.current(), None, "{name}");
        }
    }

    #[test]
    fn what_was_not_fetched_whole_makes_room_for_another_revision() {
        let (_folder, layout) = with(&[]);
        let one = layout.incoming(1).unwrap();
        fs::write(one.join("win7.ckm.partial"), "half").unwrap();
        assert_eq!(layout.incoming(1).unwrap(), one);
        assert!(one.join("win7.ckm.partial").exists());
        layout.incoming(2).unwrap();
        assert!(!one.exists());
        assert!(layout.revisions().is_empty());
    }

    #[test]
    fn a_folder_that_others_may_write_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (images, image) = (folder.path().join("images"), folder.path().join("images/win7"));
        let refused_with = |place: &Path, mode| {
            fs::create_dir_all(&image).unwrap();
            fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
            let refused = Layout::open(&image).err().map(|refused| refused.to_string());
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
            refused.is_some_and(|refused| refused.contains("chmod go-w"))
        };
        for place in [image.as_path(), &images] {
            assert!(refused_with(place, 0o777) && refused_with(place, 0o775), "{place:?}");
        }
        assert!(refused_with(folder.path(), 0o777));
        assert!(!refused_with(folder.path(), 0o1777) && !refused_with(folder.path(), 0o755));
    }

    #[test]
    fn a_command_that_still_runs_holds_its_lock() {
        let (_folder, layout) = with(&[]);
        let held = layout.take_run_lock().unwrap();
        assert!(held.is_some() && layout.take_run_lock().unwrap().is_none());
        drop(held);
        assert!(layout.take_run_lock().unwrap().is_some());
    }
}
