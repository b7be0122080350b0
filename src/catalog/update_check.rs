//! The update check: what a client machine is told to do. It is a pure function of the snapshot, the question and the
//! time, without a database.
//!
//! The rules are in [`decide`], in their order. Rollout rules (pin, pause, canary, window, percentage) belong between
//! "nothing assigned" and "offered", where the offer is chosen. "Revoked" comes before "withdrawn", because a client
//! that has a revoked revision must know that.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::snapshot::{ImageOffer, Offer, Standing};
use crate::model::{ClientId, Digest, Promotion};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client has what the channel offers.
    UpToDate,
    /// The channel offers a higher revision.
    NewerRevision,
    /// The client has no revision yet.
    FirstInstall,
    /// The channel went back to a lower revision.
    RolledBack,
    /// The client's revision was revoked.
    RevisionRevoked,
    /// The channel's offer is halted: its bytes were found damaged and are to be healed.
    Halted,
    /// The image was taken out of the channel.
    Withdrawn,
    /// Nothing has been promoted to the channel yet.
    NothingAssigned,
}

/// The content of the answer. The API defines its format.
pub struct Decision<'a> {
    pub action: Action,
    pub reason: Reason,
    /// The revision that the client is to have; none if there is nothing to install.
    pub target: Option<&'a Offer>,
    /// The newest entry of the channel's history, whatever the client is told. Its epoch and terms are shown.
    pub latest: Option<&'a Promotion>,
}

impl<'a> Decision<'a> {
    fn without_target(action: Action, reason: Reason, latest: Option<&'a Promotion>) -> Self {
        Self { action, reason, target: None, latest }
    }
}

/// Decides for a client that has revision `current` (0 for none).
pub fn decide<'a>(image: &ImageOffer, standing: Standing<'a>, current: i64) -> Decision<'a> {
    let assigned = match standing {
        Standing::Offered(offer) => offer,
        Standing::Withdrawn(withdrawal) => {
            let is_revoked = image.revoked.contains(&current);
            let reason = if is_revoked { Reason::RevisionRevoked } else { Reason::Withdrawn };
            return Decision::without_target(Action::Hold, reason, Some(withdrawal));
        }
        Standing::Unknown => {
            return Decision::without_target(Action::None, Reason::NothingAssigned, None);
        }
    };
    let (offered, latest) = (assigned.promotion.revision, Some(&assigned.promotion));
    if assigned.files.is_empty() && current != offered {
        return Decision::without_target(Action::Hold, Reason::Halted, latest);
    }
    let (action, reason) = match current.cmp(&offered) {
        std::cmp::Ordering::Equal => (Action::None, Reason::UpToDate),
        _ if current == 0 => (Action::Update, Reason::FirstInstall),
        std::cmp::Ordering::Less if image.revoked.contains(&current) => {
            (Action::Update, Reason::RevisionRevoked)
        }
        std::cmp::Ordering::Less => (Action::Update, Reason::NewerRevision),
        std::cmp::Ordering::Greater if image.revoked.contains(&current) => {
            (Action::Rollback, Reason::RevisionRevoked)
        }
        std::cmp::Ordering::Greater => (Action::Rollback, Reason::RolledBack),
    };
    let target = (action != Action::None).then_some(assigned);
    Decision { action, reason, target, latest }
}

/// The shortest time between two checks, in seconds. A client that has just asked in its slot is not told to ask again
/// at once.
const SHORTEST_WAIT: u64 = 30;

/// Returns the seconds until the client's slot. The slot is a second of the period that depends only on the client and
/// is the same on every server, so that clients that were switched on together do not ask together. The result is from
/// 30 to period + 29.
pub fn seconds_until_slot(client: &ClientId, period: u32, now: DateTime<Utc>) -> u64 {
    let period = u64::from(period.max(1));
    let digest = Digest::of(client.as_str().as_bytes());
    let number = digest.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let slot = number % period;
    let second = now.timestamp().unsigned_abs() % period;
    let wait = (slot + period - second) % period;
    if wait < SHORTEST_WAIT { wait + period.max(SHORTEST_WAIT) } else { wait }
}
