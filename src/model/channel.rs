//! A channel: a named ring of client machines, and the folder of the tree that serves it.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::Role;
use super::name::ChannelName;
use super::row::{from_row, stored_as_text};
use super::tag;

/// Where the channel of this name publishes when nothing else is said: at the tree's root.
pub const PRODUCTION: &str = "production";
pub const TEST: &str = "test";

/// Who may read a channel's files and ask for its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadAccess {
    /// Anyone who reaches the server, as the MED-V set-up has it.
    Everyone,
    /// Whoever has credentials for the image.
    Authenticated,
}

stored_as_text!(ReadAccess);

/// A channel as the catalog knows it.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: Uuid,
    pub name: ChannelName,
    /// The folder below the tree's root; empty is the root itself.
    pub folder: String,
    pub read_access: ReadAccess,
    /// How many earlier revisions the folder keeps beside the assigned one.
    pub keep_old: i64,
    pub tree_during_rollout: bool,
    /// The roles, besides promoter and admin, that may promote here.
    pub promoters: Vec<Role>,
    /// A channel that a revision must have been assigned in before it may come here.
    pub requires_channel: Option<ChannelName>,
    /// How many people besides the first must agree to a promotion.
    pub approvals: i64,
    /// Raised with every change of what the channel offers; readers of its manifest refuse a lower one.
    pub sequence: i64,
    /// When `sequence` was last raised; at least a second after the time before ([`date_of_next`]).
    pub issued_at: DateTime<Utc>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

from_row!(Channel {
    id,
    name,
    folder,
    read_access,
    keep_old,
    tree_during_rollout,
    promoters: json,
    requires_channel,
    approvals,
    sequence,
    issued_at,
    version,
    created_at,
    updated_at,
});

/// The date of what replaces something of a date: two versions within one second would be one to everybody who compares dates,
/// which have whole seconds (RFC 9110 section 8.8.2.2). It may lie ahead.
pub fn date_of_next(before: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let second = before.duration_trunc(TimeDelta::seconds(1)).unwrap_or(before);
    now.max(second + TimeDelta::seconds(1))
}

impl Channel {
    /// Another one after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_versions_have_one_date_in_whole_seconds() {
        let at = |milliseconds| DateTime::from_timestamp_millis(milliseconds).unwrap();
        assert_eq!(date_of_next(at(1_200), at(1_900)), at(2_000));
        assert_eq!(date_of_next(at(2_000), at(1_950)), at(3_000));
        assert_eq!(date_of_next(at(1_200), at(2_100)), at(2_100));
    }
}
