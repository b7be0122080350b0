//! A channel: a named ring of client machines, and the folder of the tree that serves it.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::Role;
use super::name::ChannelName;
use super::row::{from_row, stored_as_text};
use super::tag;

/// The name of the channel that publishes at the tree's root by default.
pub const PRODUCTION: &str = "production";
pub const TEST: &str = "test";

/// The callers that may read a channel's files and ask for its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadAccess {
    /// Anyone who can reach the server, as in a MED-V installation.
    Everyone,
    /// Callers with credentials for the image.
    Authenticated,
}

stored_as_text!(ReadAccess);

/// A channel, as stored in the catalog.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: Uuid,
    pub name: ChannelName,
    /// The folder below the tree's root. An empty text means the root itself.
    pub folder: String,
    pub read_access: ReadAccess,
    /// The number of earlier revisions that the folder keeps beside the assigned one.
    pub keep_old: i64,
    pub tree_during_rollout: bool,
    /// The roles, besides promoter and admin, that may promote here.
    pub promoters: Vec<Role>,
    /// A channel that a revision must have been assigned to before it may be promoted here.
    pub requires_channel: Option<ChannelName>,
    /// The number of people, besides the first, who must agree to a promotion.
    pub approvals: i64,
    /// The sequence number of the manifest. It is raised with every change of what the channel offers; readers of the
    /// manifest refuse a lower one.
    pub sequence: i64,
    /// The time when `sequence` was last raised. It is in a later whole second than the previous time
    /// ([`date_of_next`]).
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

/// Returns the date of a version that replaces another one. It is in a later whole second than the other one, because
/// dates have whole seconds (RFC 9110 section 8.8.2.2): anyone who compares dates would take two versions within one
/// second for the same. The date may be in the future.
pub fn date_of_next(before: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let second = before.duration_trunc(TimeDelta::seconds(1)).unwrap_or(before);
    now.max(second + TimeDelta::seconds(1))
}

impl Channel {
    /// Returns the tag, which is different after each change.
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
