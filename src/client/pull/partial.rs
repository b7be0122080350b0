//! A file that is not complete yet: `NAME.partial`, with `NAME.partial.etag` beside it.
//!
//! The sidecar holds the `ETag` of the bytes so far, so that the rest is only taken from the same version (`If-Range`).
//! Without it, or if it does not match, the download starts from the beginning. The bytes on disk are not trusted any
//! further: they are hashed when the file is taken up again, and the complete file is compared with the digest before
//! it gets its name.
//!
//! Everything here blocks; callers run it on a thread for blocking work.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::super::digest::hash;
use super::super::exit_code::Exit;
use super::super::locked_file;
use crate::client::error::Failure;
use crate::file_system;
use crate::model::Digest;

const BUFFER: usize = 1024 * 1024;

/// More than the length of any header.
const LONGEST_ETAG: u64 = 64 * 1024;

/// An incomplete file, locked against a second pull into the same folder.
#[derive(Debug)]
pub struct Partial {
    folder: PathBuf,
    name: String,
    file: File,
    /// The hash of the bytes up to `length`.
    hasher: Sha256,
    length: u64,
    etag: Option<String>,
}

impl Partial {
    /// Takes up what an earlier pull left, or starts with an empty file.
    pub fn open(folder: &Path, name: &str, size: u64) -> Result<Self, Failure> {
        let path = folder.join(format!("{name}.partial"));
        let file = open_locked(&path)?;
        let mut partial = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            file,
            hasher: Sha256::new(),
            length: 0,
            etag: None,
        };
        partial.take_up(size).map_err(|error| Failure::local("read", &path, &error))?;
        let needed = size.saturating_sub(partial.length);
        check_disk_space(&partial.file, folder, &path, needed)?;
        Ok(partial)
    }

    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Returns the `ETag` of the bytes that are here, or none if there are none.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Empties the file, for bytes with this `ETag`. Without a strong one they cannot be continued later.
    pub fn restart(&mut self, etag: Option<&str>) -> Result<(), Failure> {
        self.forget().map_err(|error| self.failed("empty", &error))?;
        let Some(etag) = etag else { return Ok(()) };
        self.write_sidecar(etag).map_err(|error| self.failed("write the ETag of", &error))?;
        self.etag = Some(etag.to_owned());
        Ok(())
    }

    /// Appends the received pieces until the sender is gone. Says how many bytes can be read from the file, whenever
    /// that many more have come or no more are there for now.
    pub fn append(
        &mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        written: impl Fn(u64),
    ) -> Result<(), Failure> {
        let mut writer = BufWriter::with_capacity(BUFFER, &self.file);
        let mut told = self.length;
        let mut write = || {
            while let Some(piece) = pieces.blocking_recv() {
                writer.write_all(&piece)?;
                self.hasher.update(&piece);
                self.length += piece.len() as u64;
                if pieces.is_empty() || self.length - told >= BUFFER as u64 {
                    writer.flush()?;
                    told = self.length;
                    written(told);
                }
            }
            writer.flush()
        };
        write().map_err(|error| self.failed("write", &error))
    }

    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Gives the file its final name, durably: file and folder are on stable storage afterwards.
    pub fn finish(self) -> Result<(), Failure> {
        let whole = self.folder.join(&self.name);
        let finish = || {
            self.file.sync_all()?;
            // Before the rename: the next pull still finishes a complete file without a sidecar, but a sidecar alone
            // would stay forever.
            remove_if_there(&self.sidecar())?;
            fs::rename(self.path(), &whole)?;
            File::open(&self.folder)?.sync_all()
        };
        finish().map_err(|error: io::Error| Failure::local("finish", &whole, &error))
    }

    /// Deletes the file and its sidecar.
    pub fn discard(self) -> Result<(), Failure> {
        remove_if_there(&self.sidecar())
            .and_then(|()| remove_if_there(&self.path()))
            .map_err(|error| self.failed("remove", &error))
    }

    fn take_up(&mut self, size: u64) -> io::Result<()> {
        let there = self.file.metadata()?.len();
        let etag = match file_system::read(&self.sidecar(), LONGEST_ETAG) {
            // A sidecar that is not text was not written by us: the download starts from the beginning.
            Ok(etag) => String::from_utf8(etag).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A complete file needs no `ETag`, because nothing is left to ask for.
        if there == 0 || there > size || (etag.is_none() && there < size) {
            return self.forget();
        }
        self.etag = etag;
        self.length = hash(&mut self.file, &mut self.hasher)?;
        Ok(())
    }

    fn write_sidecar(&self, etag: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        file_system::open_with(&options, &self.sidecar())?.write_all(etag.as_bytes())
    }

    fn forget(&mut self) -> io::Result<()> {
        remove_if_there(&self.sidecar())?;
        self.etag = None;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.partial", self.name))
    }

    fn sidecar(&self) -> PathBuf {
        self.folder.join(format!("{}.partial.etag", self.name))
    }

    fn failed(&self, action: &str, error: &io::Error) -> Failure {
        Failure::local(action, &self.path(), error)
    }
}

/// The unit in which the system counts a file's room on the disk, in bytes.
const BLOCK: u64 = 512;

/// An incomplete file that is put together from what is here and from ranges: in `NAME.partial`, too. What it has is
/// verified by whoever puts it together.
#[derive(Debug)]
pub struct Assembled {
    folder: PathBuf,
    name: String,
    file: File,
}

impl Assembled {
    /// Opens the file, which may have bytes of an earlier attempt of either kind. It is going to take this much room on the
    /// disk: holes take none.
    pub fn open(folder: &Path, name: &str, room: u64) -> Result<Self, Failure> {
        let file = open_locked(&folder.join(format!("{name}.partial")))?;
        let assembled = Self { folder: folder.to_owned(), name: name.to_owned(), file };
        // Its bytes are not those of a download any more.
        let sidecar = folder.join(format!("{name}.partial.etag"));
        remove_if_there(&sidecar).map_err(|error| Failure::local("remove", &sidecar, &error))?;
        let there = assembled.file.metadata().map_or(0, |about| about.blocks() * BLOCK);
        let needed = room.saturating_sub(there);
        check_disk_space(&assembled.file, folder, &assembled.path(), needed)?;
        Ok(assembled)
    }

    pub const fn file(&self) -> &File {
        &self.file
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.partial", self.name))
    }

    /// Gives the file its final name, durably, and returns its path.
    pub fn finish(self) -> Result<PathBuf, Failure> {
        let whole = self.folder.join(&self.name);
        let finish = || {
            self.file.sync_all()?;
            fs::rename(self.path(), &whole)?;
            File::open(&self.folder)?.sync_all()
        };
        finish().map_err(|error: io::Error| Failure::local("finish", &whole, &error))?;
        Ok(whole)
    }

    pub fn discard(self) -> Result<(), Failure> {
        let path = self.path();
        remove_if_there(&path).map_err(|error| Failure::local("remove", &path, &error))
    }
}

/// Fails if the disk is too small. It is better to know that now than after twenty gigabytes.
fn check_disk_space(file: &File, folder: &Path, path: &Path, needed: u64) -> Result<(), Failure> {
    let room = rustix::fs::fstatvfs(file)
        .map_err(|error| Failure::local("measure the free disk space for", path, &error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let folder = folder.display();
    let message = format!(
        "not enough disk space: {needed} bytes are still missing, and {folder} has {free} bytes free"
    );
    Err(Failure::no_room(message))
}

/// Opens the file and locks it. The system releases the lock even if the process is killed.
fn open_locked(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    locked_file::open(&options, path)
        .map_err(|error| Failure::local("write", path, &error))?
        .ok_or_else(|| {
            let message = format!("another pull is writing {}", path.display());
            Failure::new(Exit::Conflict, message)
        })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
