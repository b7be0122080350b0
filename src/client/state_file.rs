//! A file in which a command records what the next one has to know: its folder, name and lock, and writes that survive a
//! power failure.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::locked_file;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The file mode: the paths in the file are private to the user.
const OWNER_ONLY: u32 = 0o600;

/// The place of a record, held by this process while this value exists.
#[derive(Debug)]
pub struct Place {
    record: PathBuf,
    lock: PathBuf,
    _held: File,
}

/// Returns `IMAGEDEPOT_STATE_DIR`, else `imagedepot` in `XDG_STATE_HOME` or in `~/.local/state`, or none if the
/// environment has none of them. A relative `XDG_STATE_HOME` is ignored, as its specification demands.
pub fn folder(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("IMAGEDEPOT_STATE_DIR").or_else(|| {
        path("XDG_STATE_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| path("HOME").map(|home| home.join(".local/state")))
            .map(|folder| folder.join("imagedepot"))
    })
}

impl Place {
    /// Opens the place, or returns `None` if another process holds it.
    pub fn open(folder: &Path, key: &str) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = folder.join(format!("{key}.lock"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(OWNER_ONLY);
        let held = locked_file::open(&options, &lock)?;
        let record = folder.join(format!("{key}.json"));
        Ok(held.map(|held| Self { record, lock, _held: held }))
    }

    pub fn path(&self) -> &Path {
        &self.record
    }

    /// Reads the record. A record that cannot be read is ignored.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&fs::read(&self.record).ok()?).ok()
    }

    /// Replaces the record. After a power failure, the file is either the old record or the new one.
    pub fn write(&self, record: &impl Serialize) -> io::Result<()> {
        let new = self.record.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.record)?;
        File::open(self.record.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Place {
    /// Removes the lock if there is no record: it is of no use then. A process that waits for the lock notices the
    /// removal.
    fn drop(&mut self) {
        if !self.record.exists() {
            // If it stays, the next command takes it.
            let _ = fs::remove_file(&self.lock);
        }
    }
}
