//! A channel: a named ring of client machines, and the folder of the tree that serves it.

use chrono::{DateTime, Utc};
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
    /// When `sequence` was last raised.
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

impl Channel {
    /// Another one after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}
