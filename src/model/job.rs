//! Background work that one server at a time does for all servers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row::{from_row, stored_as_text};

/// A kind of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Brings the tree up to date with the catalog.
    Publish,
    /// Removes leftovers.
    Sweep,
    /// Applies retention, and removes bytes that nothing refers to.
    Collect,
    /// Reads stored bytes again.
    Scrub,
    /// Sends events to webhooks.
    Deliver,
    /// Signs the metadata of the tree.
    Sign,
    /// Makes chunk lists and deltas.
    Delta,
}

stored_as_text!(Job);

impl Job {
    /// The number of jobs.
    pub const COUNT: usize = 7;
}

/// The state of a job, which all servers share.
#[derive(Debug, Clone)]
pub struct JobState {
    /// The server that is doing the job; none between rounds.
    pub holder: Option<Uuid>,
    /// The time when a holder that has stopped responding counts as gone.
    pub held_until: DateTime<Utc>,
    /// The catalog version that the last round has put into effect.
    pub done_version: i64,
    /// The time when the next round is due, even if the version has not changed.
    pub due_at: DateTime<Utc>,
}

from_row!(JobState { holder, held_until, done_version, due_at });
