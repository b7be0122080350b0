//! Background work that one server at a time does for all of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row::{from_row, stored_as_text};

/// What is to be done beside requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// The tree follows the catalog.
    Publish,
    /// What is left behind is taken away.
    Sweep,
    /// Retention, and bytes that nothing refers to.
    Collect,
    /// Stored bytes are read again.
    Scrub,
}

stored_as_text!(Job);

impl Job {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// How a job stands, for all servers.
#[derive(Debug, Clone)]
pub struct JobState {
    /// The server that is at it; none between rounds.
    pub holder: Option<Uuid>,
    /// When a holder that tells nothing any more counts as gone.
    pub held_until: DateTime<Utc>,
    /// The catalog's version that the last round has brought about.
    pub done_version: i64,
    /// When the next round is due, whatever the version.
    pub due_at: DateTime<Utc>,
}

from_row!(JobState { holder, held_until, done_version, due_at });
