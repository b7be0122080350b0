//! Background work that one server at a time does for all of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What is to be done beside requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
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

impl Job {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// How a job stands, for all servers.
#[derive(Debug, Clone, sqlx::FromRow)]
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
