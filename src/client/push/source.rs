//! A local file that is being sent: opened once, read at any offset, checked for changes.
//!
//! Sending and hashing read it independently of each other, through one handle. So they read the same file even if
//! another one gets its name meanwhile.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::super::exit_code::Exit;
use super::files::LocalFile;
use crate::client::error::Failure;
use crate::file_system;

/// The size of one piece: large enough that reading and sending overlap. Only a few pieces are held at a time.
const PIECE: usize = 64 * 1024;
const PIECES_AHEAD: usize = 16;

/// The size and date of a file, which distinguish its states without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub size: u64,
    /// The time of the last change, in nanoseconds since 1970.
    pub modified: i64,
}

#[derive(Debug)]
pub struct Source {
    pub role: &'static str,
    pub path: PathBuf,
    /// The state when the file was opened. It must be the same when the file has been sent.
    pub state: State,
    file: Arc<File>,
}

/// A local file could not be read. This is a type of its own, so that it can be found among the causes of a failed
/// request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(io::Error);

impl Source {
    pub fn open(local: LocalFile) -> Result<Self, Failure> {
        let open = || {
            let file = file_system::open_named(&local.path)?;
            let state = State::of(&file.metadata()?);
            Ok((file, state))
        };
        let (file, state) = open().map_err(|error| Failure::local("read", &local.path, &error))?;
        Ok(Self { role: local.role, path: local.path, state, file: Arc::new(file) })
    }

    pub const fn size(&self) -> u64 {
        self.state.size
    }

    /// Returns the absolute path without following links: a link's target may change, and it is still the same push.
    pub fn absolute_path(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Returns the file's name for display.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub fn unreadable(&self, error: &Unreadable) -> Failure {
        Failure::local("read", &self.path, &error.0)
    }

    /// Fails if the file has changed: the head of one state and the tail of another would make an image that never
    /// existed.
    pub fn must_be_unchanged(&self) -> Result<(), Failure> {
        let now = self.file.metadata().map_err(|error| self.unreadable(&Unreadable(error)))?;
        if State::of(&now) == self.state {
            return Ok(());
        }
        let message = format!("{} was changed while it was being sent", self.path.display());
        Err(Failure::new(Exit::Verification, message))
    }

    /// Returns the bytes from `offset` to the end, read ahead on a thread of their own. The thread ends when the
    /// receiver is dropped.
    pub fn pieces(&self, offset: u64) -> mpsc::Receiver<Result<Bytes, Unreadable>> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let (file, size) = (Arc::clone(&self.file), self.size());
        spawn_blocking(move || {
            let mut from = offset;
            while from < size {
                let mut piece = vec![0; length_of_piece(size - from)];
                // The length was announced before, so a file that shrinks meanwhile cannot be sent.
                let read = file.read_exact_at(&mut piece, from);
                from += piece.len() as u64;
                let read = read.map(|()| Bytes::from(piece)).map_err(Unreadable);
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }

    /// Adds these bytes to the digest.
    pub async fn hash(&self, mut hasher: Sha256, range: Range<u64>) -> Result<Sha256, Failure> {
        let file = Arc::clone(&self.file);
        let task = spawn_blocking(move || {
            let mut from = range.start;
            let mut piece = vec![0; length_of_piece(range.end - range.start)];
            while from < range.end {
                let piece = &mut piece[..length_of_piece(range.end - from)];
                file.read_exact_at(piece, from).map_err(Unreadable)?;
                hasher.update(&*piece);
                from += piece.len() as u64;
            }
            Ok(hasher)
        });
        let outcome = task.await.map_err(|error| Failure::lost_task(&error))?;
        outcome.map_err(|error| self.unreadable(&error))
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Self { size: metadata.len(), modified: seconds.saturating_add(metadata.mtime_nsec()) }
    }
}

fn length_of_piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))
}
