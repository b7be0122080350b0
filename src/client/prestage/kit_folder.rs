//! The kit's folder on the local disk. A file under its final name is always complete.
//!
//! On Linux the folders follow the intent of the access control lists that the scripts set on Windows: the owner has
//! full access, others may read. Files are read-only for everybody.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::exit_code::Exit;
use super::super::files_below::files_below;
use crate::client::error::Failure;
use crate::file_system;
use crate::prestage::{Content, Kit, READ_ME, sums};

const FOLDER: u32 = 0o755;
const FILE: u32 = 0o444;

/// The longest title that is read, in bytes. Ours are shorter.
const LONGEST_TITLE: u64 = 1000;

/// The suffixes of the unfinished files that `pull` and this module leave.
const UNFINISHED: &str = ".partial";
const ITS_TAG: &str = ".partial.etag";

/// The folder while a kit is made in it. It is locked against other runs until this is dropped.
pub(super) struct KitFolder {
    path: PathBuf,
    _locked: File,
}

impl KitFolder {
    /// Makes sure that the folder can become this kit and nothing else, and that it does not look finished from now on:
    /// it has no digests, and no index beside an image that may be damaged.
    pub(super) fn begin(path: &Path, kit: &Kit) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| Failure::local("create", path, &error))?;
        let folder = Self { path: path.to_owned(), _locked: lock(path)? };
        folder.must_be_of(kit)?;
        folder.remove(sums::NAME)?;
        for file in kit.files().iter().filter(|file| sums::is_index(file.name())) {
            folder.set_aside(&file.path())?;
        }
        Ok(folder)
    }

    /// Renames a file to its unfinished name. The download takes it up again and finds it complete.
    fn set_aside(&self, file: &str) -> Result<(), Failure> {
        let (path, unfinished) =
            (self.path.join(file), self.path.join(format!("{file}{UNFINISHED}")));
        let set_aside = || {
            fs::rename(&path, &unfinished)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(0o644))
        };
        match set_aside() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::local("set aside", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a folder with other files in it. Documents with a name of the kit count as part of the kit only if the
    /// first document has the kit's title: a user's own README.txt and SHA256SUMS are not a kit.
    fn must_be_of(&self, kit: &Kit) -> Result<(), Failure> {
        let contents = kit.contents();
        let there =
            files_below(&self.path).map_err(|error| Failure::local("read", &self.path, &error))?;
        let other =
            there.iter().find(|path| !contents.iter().any(|content| belongs(path, content)));
        let is_document = |path: &&String| {
            let document = |content: &Content<'_>| matches!(content, Content::Document { path: own, .. } if own == path);
            contents.iter().any(document)
        };
        let other = other.or_else(|| {
            there.iter().find(is_document).filter(|_| self.title().as_deref() != Some(&kit.title()))
        });
        let Some(other) = other else { return Ok(()) };
        let message = format!(
            "{} contains {other}, which is not part of this kit; choose a folder that is empty or contains this kit",
            self.path.display()
        );
        Err(Failure::new(Exit::Conflict, message))
    }

    /// Returns the first line of the first document.
    fn title(&self) -> Option<String> {
        let path = self.path.join(READ_ME);
        let mut line = String::new();
        let first = file_system::open(&path).ok()?.take(LONGEST_TITLE);
        BufReader::new(first).read_line(&mut line).ok()?;
        Some(line.trim_start_matches('\u{feff}').trim_end().to_owned())
    }

    pub(super) fn make(&self, folder: &str) -> Result<(), Failure> {
        let folder = self.path.join(folder);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(FOLDER)))
            .and_then(|()| sync_folder(folder.parent().unwrap_or(&self.path)))
            .map_err(|error| Failure::local("create", &folder, &error))
    }

    /// Marks a file read-only, durably. Reports whether the file system keeps the mark: those of USB sticks and network
    /// shares may not.
    pub(super) fn mark_read_only(&self, file: &str) -> Result<bool, Failure> {
        let path = self.path.join(file);
        let mark = || {
            let file = file_system::open(&path)?;
            file.set_permissions(Permissions::from_mode(FILE))?;
            file.sync_all()?;
            Ok(file.metadata()?.permissions().mode() & 0o222 == 0)
        };
        mark().map_err(|error: io::Error| Failure::local("mark read-only", &path, &error))
    }

    /// Writes a document. When this returns, it is on stable storage, read-only and under its final name.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let unfinished = format!("{name}{UNFINISHED}");
        // A file left by a killed run is read-only already, and a user may have put a link there.
        self.remove(&unfinished)?;
        let (path, unfinished) = (self.path.join(name), self.path.join(unfinished));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
            file.write_all(bytes)?;
            file.set_permissions(Permissions::from_mode(FILE))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_folder(&self.path)
        };
        write().map_err(|error: io::Error| Failure::local("write", &path, &error))
    }

    /// Removes what earlier runs have left of files that are complete by now.
    pub(super) fn tidy_up(&self, kit: &Kit) -> Result<(), Failure> {
        for content in kit.contents() {
            if !matches!(content, Content::Folder(_)) {
                self.remove(&(content.path() + UNFINISHED))?;
                self.remove(&(content.path() + ITS_TAG))?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| Failure::local("remove", &path, &error))
    }
}

/// Locks the folder. The system releases the lock however the process ends.
fn lock(folder: &Path) -> Result<File, Failure> {
    let file = File::open(folder).map_err(|error| Failure::local("open", folder, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another prestage is running in {}", folder.display());
            Err(Failure::new(Exit::Conflict, message))
        }
        Err(TryLockError::Error(error)) => Err(Failure::local("lock", folder, &error)),
    }
}

/// Reports whether a path belongs to the content. A folder of the kit is either listed as an empty folder (see
/// `files_below`) or not at all: a link in its place is not ours.
fn belongs(path: &str, content: &Content<'_>) -> bool {
    let own = content.path();
    let Some(rest) = path.strip_prefix(&own) else { return false };
    match content {
        Content::Folder(_) => rest == "/",
        Content::File(_) => ["", UNFINISHED, ITS_TAG].contains(&rest),
        Content::Document { .. } => ["", UNFINISHED].contains(&rest),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
