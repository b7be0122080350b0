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

use super::ours::folder_must_be_ours;
use crate::client::error::Failure;
use crate::client::locked_file;

const CURRENT: &str = "current";
const INCOMING: &str = ".incoming";
const LEAVING: &str = ".leaving";
const RUN_LOCK: &str = ".run.lock";
/// The new link, before it takes the place of the old one.
const NEXT: &str = ".next";

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
        folder_must_be_ours(root)?;
        Ok(Self { root: root.to_owned() })
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
        self.open_run_lock()
    }

    /// Opens such a file that nobody holds. What an earlier command has started may go on holding the one before.
    pub fn new_run_lock(&self) -> Result<Option<File>, Failure> {
        let path = self.root.join(RUN_LOCK);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::local("remove", &path, &error))
            }
            _ => self.open_run_lock(),
        }
    }

    fn open_run_lock(&self) -> Result<Option<File>, Failure> {
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

    /// Removes what was fetched and is not wanted any more.
    pub fn clear_incoming(&self) -> Result<(), Failure> {
        for folder in [self.root.join(INCOMING), self.root.join(LEAVING)] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::local("remove", &folder, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the revision that is being fetched, and the bytes that are here of it.
    pub fn arriving(&self) -> Option<(u64, u64)> {
        let all = entries(&self.root.join(INCOMING)).ok()?;
        let folder = all.first()?;
        let revision = number(folder.file_name()?.to_str()?)?;
        let sizes = entries(folder).ok()?.into_iter().filter_map(|path| fs::metadata(path).ok());
        Some((revision, sizes.map(|about| about.blocks() * 512).sum()))
    }

    /// Gives the fetched files of a revision their place, and no others. They are on stable storage before.
    pub fn install(&self, revision: u64, names: &[&str]) -> Result<(), Failure> {
        let (incoming, folder) = (self.incoming(revision)?, self.folder_of(revision));
        let is_of_revision = |path: &Path| {
            path.file_name().is_some_and(|name| names.iter().any(|wanted| name == *wanted))
        };
        let install = || {
            for path in entries(&incoming)? {
                if !is_of_revision(&path) {
                    fs::remove_file(&path)?;
                    continue;
                }
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
            let incoming = layout.incoming(*revision).unwrap();
            fs::write(incoming.join("win7.ckm"), "bytes").unwrap();
            fs::write(incoming.join("other.ckm"), "from before the names were changed").unwrap();
            layout.install(*revision, &["win7.ckm"]).unwrap();
            assert_eq!(layout.files_of(*revision).unwrap(), ["win7.ckm"]);
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
        for place in [image.as_path(), &images, folder.path()] {
            assert!(refused_with(place, 0o777) && refused_with(place, 0o775), "{place:?}");
        }
        assert!(refused_with(&image, 0o1777));
        assert!(!refused_with(folder.path(), 0o1777) && !refused_with(folder.path(), 0o755));
    }

    #[test]
    fn a_command_that_still_runs_holds_its_lock() {
        let (_folder, layout) = with(&[]);
        let held = layout.take_run_lock().unwrap();
        assert!(held.is_some() && layout.take_run_lock().unwrap().is_none());
        assert!(layout.new_run_lock().unwrap().is_some(), "a new command is kept waiting");
        drop(held);
        assert!(layout.take_run_lock().unwrap().is_some());
    }
}
