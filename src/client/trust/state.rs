//! The record of what was seen of a depot: its newest root, and the highest versions. One file for each trusted root, for all places
//! that its tree is served from: an old mirror cannot bring back what another one has already replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::state_file::{Place, folder};
use crate::model::Digest;
use crate::trust::walk::Seen;
use crate::trust::{Moment, Refusal, Walk};

/// The time for which another command that walks is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The newest root, as it was signed.
    root: String,
    seen: Seen,
}

/// The record of one trusted root, held by this command while the value exists.
#[derive(Debug)]
pub(super) struct State {
    place: Place,
}

impl State {
    pub(super) async fn open(trusted_root: &[u8]) -> Result<Self, Failure> {
        Self::open_in(&Self::usual_folder()?, trusted_root).await
    }

    /// Returns the folder of this user's records.
    pub(super) fn usual_folder() -> Result<PathBuf, Failure> {
        let folder = folder(&|name| std::env::var_os(name)).ok_or_else(|| {
            let needs = "what was seen of a signed tree has to be kept";
            Failure::usage(format!("{needs}: set IMAGEDEPOT_STATE_DIR, XDG_STATE_HOME or HOME"))
        })?;
        Ok(folder.join("trust"))
    }

    pub(super) async fn open_in(folder: &Path, trusted_root: &[u8]) -> Result<Self, Failure> {
        let key = Digest::of(trusted_root).to_hex();
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Place::open(folder, &key) {
                Ok(Some(place)) => return Ok(Self { place }),
                Ok(None) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(None) => {
                    let path = folder.join(key);
                    let message = format!("another command holds {}", path.display());
                    return Err(Failure::new(Exit::Conflict, message));
                }
                Err(error) => return Err(Failure::local("write", folder, &error)),
            }
        }
    }

    /// Begins a walk at the newest root that is known, with what was seen.
    pub(super) fn begin(&self, trusted_root: &[u8], now: Moment) -> Result<Walk, Refusal> {
        let first = Walk::new(trusted_root, Seen::default(), now)?;
        let Some(record) = self.place.read::<Record>() else { return Ok(first) };
        let known = Walk::new(record.root.as_bytes(), record.seen, now)?;
        // The trusted root is never newer: it is the key of the record.
        Ok(if known.root_version() < first.root_version() { first } else { known })
    }

    pub(super) fn keep(&self, walk: &Walk) -> Result<(), Failure> {
        let root = String::from_utf8_lossy(walk.root_file()).into_owned();
        let record = Record { root, seen: walk.seen().clone() };
        let written = self.place.write(&record);
        written.map_err(|error| Failure::local("write", self.place.path(), &error))
    }
}
