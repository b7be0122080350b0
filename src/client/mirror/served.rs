//! The folder that is served: files get their names in it complete and durable, and leave it one by one.
//!
//! Everything that is on its way is below `.incoming`, on the same disk, which nobody else may enter.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::client::error::Failure;

const INCOMING: &str = ".incoming";

/// The root of a tree that is served.
#[derive(Debug)]
pub struct Served {
    root: PathBuf,
}

impl Served {
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the folder for what is on its way, below the root, which exists.
    pub fn make_incoming(&self) -> Result<(), Failure> {
        let incoming = self.incoming();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&incoming);
        made.map_err(|error| Failure::local("create", &incoming, &error))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the root of what is on its way.
    pub fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    /// Makes the folders of a channel's files: where they are served, and where they are on their way.
    pub fn make_folders(&self, folder: &str) -> Result<(), Failure> {
        for place in [self.path(folder), self.incoming().join(folder)] {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(&place);
            made.map_err(|error| Failure::local("create", &place, &error))?;
        }
        Ok(())
    }

    /// Gives files that are on their way their names, in this order. Files that are not on their way have theirs.
    pub fn place(&self, paths: &[&str]) -> Result<(), Failure> {
        for path in paths {
            let (from, to) = (self.incoming().join(path), self.path(path));
            match place(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
                Err(error) => return Err(Failure::local("write", &to, &error)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Removes a file, unless it has another size than the mirror gave it: then it is somebody else's by now.
    pub fn remove(&self, path: &str, size: u64) -> Result<bool, Failure> {
        let place = self.path(path);
        let remove = || -> io::Result<bool> {
            let about = fs::symlink_metadata(&place)?;
            if !about.is_file() || about.len() != size {
                return Ok(false);
            }
            fs::remove_file(&place)?;
            sync_folder_of(&place)?;
            Ok(true)
        };
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            done => done.map_err(|error| Failure::local("remove", &place, &error)),
        }
    }

    /// Removes what is on its way and not wanted any more. `is_wanted` is asked with the folder and the name, which may
    /// have an ending of an unfinished file.
    pub fn clear_incoming(&self, is_wanted: impl Fn(&str, &str) -> bool) -> Result<(), Failure> {
        let root = self.incoming();
        let clear = || -> io::Result<()> {
            for entry in entries(&root)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if !entry.file_type()?.is_dir() {
                    remove_unless(is_wanted("", &name), &entry.path())?;
                    continue;
                }
                for inner in entries(&entry.path())? {
                    let file = inner.file_name().to_string_lossy().into_owned();
                    remove_unless(is_wanted(&name, &file), &inner.path())?;
                }
            }
            Ok(())
        };
        clear().map_err(|error| Failure::local("clear", &root, &error))
    }

    /// Returns the bytes of a file that are on their way already, as far as they take room.
    pub fn arrived(&self, path: &str) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let whole = self.incoming().join(path);
        let part = self.incoming().join(format!("{path}.partial"));
        let length = |place: &Path| fs::metadata(place).map_or(0, |about| about.blocks() * 512);
        length(&whole).max(length(&part))
    }

    /// Fails if the disk has no room for so many bytes.
    pub fn must_have_room(&self, needed: u64) -> Result<(), Failure> {
        let free = room(&self.root)?;
        if needed <= free {
            return Ok(());
        }
        let folder = self.root.display();
        let words = format!(
            "not enough disk space: {needed} bytes are still missing, and {folder} has {free} bytes free"
        );
        Err(Failure::no_room(words))
    }
}

/// Returns the free bytes of the disk of a folder.
pub fn room(folder: &Path) -> Result<u64, Failure> {
    let measured = rustix::fs::statvfs(folder)
        .map_err(|error| Failure::local("measure the free disk space of", folder, &error.into()))?;
    Ok(measured.f_bavail.saturating_mul(measured.f_frsize))
}

fn place(from: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(from)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()?;
    fs::rename(from, to)?;
    sync_folder_of(to)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn remove_unless(is_wanted: bool, path: &Path) -> io::Result<()> {
    if is_wanted { Ok(()) } else { fs::remove_file(path) }
}

/// Returns what is in a folder; nothing if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
