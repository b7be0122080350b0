//! The answer to an update check: the action, its reason, and the revision that it is about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog::snapshot::OfferedRevision;
use crate::model::Promotion;

/// The action that the client is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Do nothing.
    None,
    /// Fetch the target and change to it.
    Update,
    /// Keep the current revision and wait: the newer one is not for this client yet, or the offer was taken back.
    Hold,
    /// Go back to the target, which is lower than the client's revision.
    Rollback,
}

impl Action {
    /// All actions, in their order.
    pub const ALL: [Self; 4] = [Self::None, Self::Update, Self::Hold, Self::Rollback];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Update => "update",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
        }
    }
}

/// The reason for the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client has what it should have.
    UpToDate,
    /// The client is offered a higher revision.
    NewerRevision,
    /// The client has no revision yet.
    FirstInstall,
    /// The client is one of those that are offered the revision before all others.
    Canary,
    /// A person has given this client a revision of its own.
    Pinned,
    /// The revision is not for this client's share yet.
    HeldByRollout,
    /// The rollout has not begun.
    BeforeStart,
    /// The rollout's windows are closed now.
    OutsideWindow,
    /// A person has paused the rollout.
    Paused,
    /// The rollout was stopped by failures that clients reported or by a person, or because the revision's bytes were
    /// found damaged.
    Halted,
    /// The deadline has passed: windows and shares count no more.
    DeadlinePassed,
    /// The client is offered a lower revision.
    RolledBack,
    /// The client's revision was revoked.
    RevisionRevoked,
    /// The image was taken out of the channel.
    Withdrawn,
    /// Nothing has been promoted to the channel yet.
    NothingAssigned,
}

/// The content of the answer. The API defines its format.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    pub action: Action,
    pub reason: Reason,
    /// The revision that the client is to have; none if there is nothing to install.
    pub target: Option<&'a OfferedRevision>,
    /// The newest entry of the channel's history, whatever the client is told. Its epoch and terms are shown.
    pub latest: Option<&'a Promotion>,
}
