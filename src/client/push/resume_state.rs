//! The local record of a push, with which the same command continues after a crash or a restart.
//!
//! There is one JSON file for each push under way, `push/KEY.json` in the state folder. It contains the draft's number,
//! each file's session, and each file's size and date. The key is a digest of the server, the image, its kind and the
//! files' paths, so exactly the same command line finds it again. `KEY.lock` beside it is held while the push runs. The
//! record contains no credentials and none of the files' bytes.
//!
//! The record is a help and never a condition: if the folder cannot be written, the push reports that it cannot be
//! continued. Nor is the record trusted: the server reports how much it has, and the digest of the whole file is
//! compared in the end.

mod key;

use std::cell::RefCell;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::key::key;
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::image::Image;
use super::source::{Source, State};
use crate::client::error::Failure;
use crate::client::state_file::Place;

/// The version of the file's format. A record of another version is ignored.
const VERSION: u32 = 1;

/// A push under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Server and image are for users who look into the file.
    server: String,
    image: String,
    pub revision: u64,
    files: Vec<FileRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    role: String,
    path: String,
    size: u64,
    modified_nanoseconds: i64,
    /// The upload's id on the server.
    session: Option<String>,
}

/// The record of one push and the place where it is kept.
#[derive(Debug)]
pub struct PushRecord {
    record: RefCell<Option<Record>>,
    /// The place of the record, or none if it cannot be kept.
    place: Option<Place>,
    progress: Progress,
}

impl PushRecord {
    /// Reads the record of this push and locks it.
    ///
    /// # Errors
    ///
    /// Fails with `Conflict` if the same push is already running.
    pub fn open(
        folder: Option<&Path>,
        server: &str,
        image: &Image,
        sources: &[Source],
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let mut memory =
            Self { record: RefCell::default(), place: None, progress: progress.clone() };
        let Some(folder) = folder else {
            memory.warn("neither IMAGEDEPOT_STATE_DIR nor XDG_STATE_HOME nor HOME is set");
            return Ok(memory);
        };
        let folder = folder.join("push");
        match Place::open(&folder, &key(server, image, sources)) {
            Ok(Some(place)) => {
                memory.record = RefCell::new(place.read().filter(Record::is_of_this_version));
                memory.place = Some(place);
            }
            Ok(None) => {
                let name = &image.name;
                let message = format!("another push of these files to {name} is running");
                return Err(Failure::new(Exit::Conflict, message).with_hint("wait until it ends"));
            }
            Err(error) => memory.warn(&format!("{}: {error}", folder.display())),
        }
        Ok(memory)
    }

    pub fn record(&self) -> Option<Record> {
        self.record.borrow().clone()
    }

    /// Reports whether another process could continue the push.
    pub const fn is_durable(&self) -> bool {
        self.place.is_some()
    }

    /// Reports whether the server has a session for any file.
    pub fn has_sessions(&self) -> bool {
        let record = self.record.borrow();
        record.iter().flat_map(|record| &record.files).any(|file| file.session.is_some())
    }

    /// Records a new draft of which nothing has been sent yet.
    pub fn begin(&self, server: &str, image: &str, revision: u64, sources: &[Source]) {
        let files = sources.iter().map(FileRecord::of).collect();
        let (server, image) = (server.to_owned(), image.to_owned());
        let record = Record { version: VERSION, server, image, revision, files };
        *self.record.borrow_mut() = Some(record);
        self.save();
    }

    pub fn session(&self, role: &str) -> Option<String> {
        self.record.borrow().as_ref()?.file(role)?.session.clone()
    }

    pub fn set_session(&self, role: &str, session: Option<String>) {
        if let Some(record) = self.record.borrow_mut().as_mut()
            && let Some(file) = record.files.iter_mut().find(|file| file.role == role)
        {
            file.session = session;
        }
        self.save();
    }

    /// Removes the record, because nothing is left to continue with.
    pub fn forget(&self) {
        *self.record.borrow_mut() = None;
        if let Some(place) = &self.place
            && let Err(error) = place.remove()
        {
            self.progress.note(&format!("cannot remove {}: {error}", place.path().display()));
        }
    }

    /// Writes the record. This blocks for as long as a small file takes to reach the disk. It happens once for each
    /// session, before its first byte, so a thread of its own is not worth it.
    fn save(&self) {
        if let (Some(place), Some(record)) = (&self.place, self.record.borrow().as_ref())
            && let Err(error) = place.write(record)
        {
            self.warn(&format!("{}: {error}", place.path().display()));
        }
    }

    fn warn(&self, reason: &str) {
        let sentence = "the progress of this push cannot be recorded; if it ends early, the next push starts from the beginning";
        self.progress.note(&format!("{sentence} ({reason})"));
    }
}

impl Record {
    const fn is_of_this_version(&self) -> bool {
        self.version == VERSION
    }

    /// Returns the first file that has changed since the push began.
    pub fn changed<'a>(&self, sources: &'a [Source]) -> Option<&'a Source> {
        sources
            .iter()
            .find(|source| self.file(source.role).is_none_or(|file| file.state() != source.state))
    }

    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| file.session.as_deref())
    }

    fn file(&self, role: &str) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.role == role)
    }
}

impl FileRecord {
    fn of(source: &Source) -> Self {
        Self {
            role: source.role.to_owned(),
            path: source.absolute_path().to_string_lossy().into_owned(),
            size: source.state.size,
            modified_nanoseconds: source.state.modified,
            session: None,
        }
    }

    const fn state(&self) -> State {
        State { size: self.size, modified: self.modified_nanoseconds }
    }
}
