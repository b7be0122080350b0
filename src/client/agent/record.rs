//! The record of an image that the agent keeps: how far a change of the revision is, and what was not reported yet. It is
//! `.agent.json` in the image's folder, and survives a power failure. `agent status` reads it.
//!
//! Whoever holds it is the only agent of this folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::output::complain;
use crate::client::state_file::Place;

const NAME: &str = ".agent";

/// The record of an image. All times are RFC 3339 in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub image: String,
    pub channel: String,
    /// The last answer to an update check, or the reason for which there was none.
    pub last_check: Option<LastCheck>,
    /// The epoch of the assignment by which the revision in use came here.
    pub epoch: Option<u64>,
    /// A revision whose bytes were wrong when they had come.
    pub wrong_bytes: Option<WrongBytes>,
    /// The files that lie in a MED-V client's store.
    pub prestaged: Prestaged,
    /// The reason why something that the depot offers is not here yet.
    pub waits_for: Option<String>,
    /// The reason why the depot did not take the first report that waits.
    pub report_refused: Option<String>,
    /// The last failure, until a change succeeds.
    pub last_failure: Option<LastFailure>,
    /// The change that is under way: from before `current` is swapped until everything after it is done.
    pub change: Option<Change>,
    /// A revision that is not tried again while the assignment stays the same.
    pub refused: Option<Refused>,
    /// The reports that the depot has not acknowledged yet, the oldest first.
    pub reports: Vec<Report>,
}

/// The number of reports that wait for a depot that is away.
const MOST_REPORTS: usize = 20;

impl Record {
    /// Adds a report. The oldest one goes if there are too many.
    pub fn add_report(&mut self, report: Report) {
        if self.reports.len() >= MOST_REPORTS {
            self.reports.remove(0);
        }
        self.reports.push(report);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    pub at: String,
    /// The answer's action and reason: `update newer_revision`.
    pub answer: Option<String>,
    pub error: Option<String>,
}

/// Files in a MED-V client's store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prestaged {
    pub folder: PathBuf,
    pub names: Vec<String>,
}

/// A revision whose bytes were wrong, so often, and the time before which it is not fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongBytes {
    pub revision: u64,
    pub epoch: u64,
    pub times: u32,
    /// In seconds since 1970.
    pub not_before: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    pub at: String,
    pub revision: u64,
    pub error: String,
}

/// A change from one revision to another, whose files are all here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    pub from: Option<u64>,
    pub to: u64,
    /// The depot wants this machine to leave the revision before: it goes back, or was revoked.
    pub is_ordered_away: bool,
    pub epoch: u64,
    pub bytes: u64,
    pub seconds: u64,
    pub run: Run,
}

/// The state of the command that runs after the change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    #[default]
    NotStarted,
    /// So many times. If no end is recorded, it may have run or not, and is run again.
    Started { attempt: u32 },
    /// It is never run again.
    Ended { error: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub revision: u64,
    pub epoch: u64,
}

/// A report for the depot, in the API's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub image: String,
    pub channel: String,
    pub revision: u64,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Downloading,
    Applied,
    Failed,
}

/// The record, held by this agent.
#[derive(Debug)]
pub struct Held {
    place: Place,
    pub record: Record,
}

impl Held {
    /// Takes the record of an image's folder. In another channel than before, a revision that failed is tried again.
    pub fn take(folder: &Path, image: &str, channel: &str) -> Result<Self, Failure> {
        let place = Place::open(folder, NAME)
            .map_err(|error| Failure::local("write", folder, &error))?
            .ok_or_else(|| {
                let words = format!("another agent keeps {} up to date", folder.display());
                Failure::new(Exit::Conflict, words)
            })?;
        let mut record = match place.read::<Record>() {
            Some(record) => record,
            None => set_aside(folder)?,
        };
        if record.channel != channel {
            record.refused = None;
            record.epoch = None;
        }
        image.clone_into(&mut record.image);
        channel.clone_into(&mut record.channel);
        Ok(Self { place, record })
    }

    /// Writes the record to stable storage.
    pub fn keep(&self) -> Result<(), Failure> {
        let written = self.place.write(&self.record);
        written.map_err(|error| Failure::local("write", self.place.path(), &error))
    }
}

/// Begins a new record. One that cannot be read, perhaps of a newer version, is kept under another name: it may say that
/// a command was cut off.
fn set_aside(folder: &Path) -> Result<Record, Failure> {
    let (path, aside) = (path_in(folder), folder.join(format!("{NAME}.unreadable.json")));
    match fs::rename(&path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::local("rename", &path, &error)),
        Ok(()) => {
            let shown = aside.display();
            complain(&format!(
                "imagedepot: the record of an image cannot be read; it is {shown} now"
            ));
        }
    }
    Ok(Record::default())
}

/// Returns the path of an image's record.
pub fn path_in(folder: &Path) -> PathBuf {
    folder.join(format!("{NAME}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_keeps_a_folder_and_the_next_one_knows_what_it_knew() {
        let folder = tempfile::tempdir().unwrap();
        let mut held = Held::take(folder.path(), "win7", "production").unwrap();
        held.record.refused = Some(Refused { revision: 12, epoch: 3 });
        held.keep().unwrap();
        let other = Held::take(folder.path(), "win7", "production").unwrap_err();
        assert_eq!(other.exit(), Exit::Conflict);
        let known = held.record.clone();
        drop(held);
        assert_eq!(Held::take(folder.path(), "win7", "production").unwrap().record, known);
        let other_channel = Held::take(folder.path(), "win7", "test").unwrap();
        assert_eq!(other_channel.record.refused, None);
    }
}
