//! The record of a copy: the files that the mirror has made there, and what it has seen. It is at `.mirror.json` in the
//! copy's folder, and its lock keeps a second mirror away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::state_file::Place;
use crate::model::Digest;

/// The name of the record, without its ending.
const NAME: &str = ".mirror";

/// The number of revisions of an image that are remembered in their order.
const REMEMBERED: usize = 32;

/// The contents of the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// By the names of the channels.
    pub channels: BTreeMap<String, Known>,
    /// The files that the mirror has made or is about to make, by their paths below the tree's root. No other file is
    /// ever removed.
    pub files: BTreeMap<String, Made>,
}

/// A channel, as it was seen last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub sequence: u64,
    /// The revisions of each image that were offered, the newest offer first.
    pub offered: BTreeMap<String, Vec<u64>>,
}

/// A file of the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub size: u64,
    pub digest: Digest,
    /// The revision that it belongs to; none for documents and metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<OfRevision>,
    /// The time, in seconds since 1970, since which nothing names it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unnamed_since: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfRevision {
    pub channel: String,
    pub image: String,
    pub revision: u64,
}

impl Made {
    pub const fn new(size: u64, digest: Digest) -> Self {
        Self { size, digest, of: None, unnamed_since: None }
    }

    /// A document or a file of the metadata.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::new(bytes.len() as u64, Digest::of(bytes))
    }
}

impl Known {
    /// Notes the revisions of an image that are offered now.
    pub fn note(&mut self, image: &str, now: &[u64]) {
        let offered = self.offered.entry(image.to_owned()).or_default();
        offered.retain(|number| !now.contains(number));
        offered.splice(0..0, now.iter().copied());
        offered.truncate(REMEMBERED);
    }

    /// Returns the last revisions of an image that were offered before, of those that may stay.
    pub fn last_before(
        &self,
        image: &str,
        now: &[u64],
        keep: usize,
        may_stay: impl Fn(u64) -> bool,
    ) -> BTreeSet<u64> {
        let offered = self.offered.get(image).into_iter().flatten().copied();
        offered.filter(|number| !now.contains(number) && may_stay(*number)).take(keep).collect()
    }
}

/// The record, held by this mirror.
#[derive(Debug)]
pub struct Held {
    place: Place,
    pub record: Record,
}

impl Held {
    /// Takes the record of a folder, which is made if it is missing: readers have to get into it.
    pub fn take(folder: &Path) -> Result<Self, Failure> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(folder);
        made.map_err(|error| Failure::local("create", folder, &error))?;
        let place = Place::open(folder, NAME)
            .map_err(|error| Failure::local("write", folder, &error))?
            .ok_or_else(|| {
                let words = format!("another mirror keeps {} up to date", folder.display());
                Failure::new(Exit::Conflict, words)
            })?;
        let record = place.read().unwrap_or_default();
        Ok(Self { place, record })
    }

    /// Writes the record to stable storage.
    pub fn keep(&self) -> Result<(), Failure> {
        let written = self.place.write(&self.record);
        written.map_err(|error| Failure::local("write", self.place.path(), &error))
    }

    /// Notes files that are about to be made. They are the mirror's own from then on.
    pub fn note(&mut self, files: Vec<(String, Made)>) -> Result<(), Failure> {
        let mut changed = false;
        for (path, made) in files {
            changed |= self.record.files.get(&path) != Some(&made);
            self.record.files.insert(path, made);
        }
        if changed { self.keep() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_revisions_before_are_those_that_were_offered_last() {
        let mut known = Known::default();
        for revision in [1, 2, 3, 2] {
            known.note("win7", &[revision]);
        }
        let before = |keep, revoked: &[u64]| {
            let may_stay = |number: u64| !revoked.contains(&number);
            known.last_before("win7", &[2], keep, may_stay).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(before(1, &[]), [3]);
        assert_eq!(before(1, &[3]), [1]);
        assert_eq!(before(2, &[]), [1, 3]);
        assert_eq!(before(0, &[]), [0; 0]);
    }

    #[test]
    fn one_mirror_keeps_a_folder_and_the_next_one_knows_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let mut held = Held::take(&copy).unwrap();
        held.note(vec![("a_1.ckm".to_owned(), Made::of_bytes(b"abc"))]).unwrap();
        assert_eq!(Held::take(&copy).unwrap_err().exit(), Exit::Conflict);
        let record = held.record.clone();
        drop(held);
        assert_eq!(Held::take(&copy).unwrap().record, record);
    }
}
