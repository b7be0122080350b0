//! The files that have left the signed list: whether upstream still has them for a while, and the answer once it has not.
//!
//! It is recorded at `.mirror.json` in the mirror's folder, whose lock keeps a second mirror away.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::state_file::Place;
use crate::model::Digest;

const NAME: &str = ".mirror";

/// The time for which an answer is remembered after a file has left, and the number of files at most.
const REMEMBERED: Duration = Duration::from_hours(90 * 24);
const MOST: usize = 50_000;

/// A file that has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub size: u64,
    pub digest: Digest,
    /// The time in seconds since 1970.
    pub since: u64,
    /// The status that upstream answers with: 404, or 410 for what was revoked. None while it still has the file.
    pub status: Option<u16>,
}

/// The record, held by this mirror.
#[derive(Debug)]
pub struct Record {
    place: Place,
    /// By the paths below the tree's root.
    left: BTreeMap<String, Left>,
}

/// The contents of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    #[serde(default)]
    left: BTreeMap<String, Left>,
}

impl Record {
    /// Takes the record of a folder, which exists.
    pub fn take(folder: &Path) -> Result<Self, Failure> {
        let place = Place::open(folder, NAME)
            .map_err(|error| Failure::local("write", folder, &error))?
            .ok_or_else(|| {
                let words = format!("another mirror uses {}", folder.display());
                Failure::new(Exit::Conflict, words)
            })?;
        let left = place.read::<Written>().unwrap_or_default().left;
        Ok(Self { place, left })
    }

    pub const fn left(&self) -> &BTreeMap<String, Left> {
        &self.left
    }

    /// Changes the record, and writes it to stable storage if it is another one then.
    pub fn change(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, Left>),
    ) -> Result<(), Failure> {
        let before = self.left.clone();
        change(&mut self.left);
        let now = now();
        let is_remembered = |left: &Left| {
            left.status.is_none() || now.saturating_sub(left.since) < REMEMBERED.as_secs()
        };
        self.left.retain(|_, left| is_remembered(left));
        while self.left.len() > MOST {
            let oldest = self.left.iter().min_by_key(|(_, left)| left.since);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { break };
            self.left.remove(&path);
        }
        if self.left == before {
            return Ok(());
        }
        let written = self.place.write(&Written { left: self.left.clone() });
        written.map_err(|error| Failure::local("write", self.place.path(), &error))
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
