//! The update check: what a client machine is told to do. A pure function of the snapshot, the
//! question and the time: no database on the way.
//!
//! The rules stand in [`decide`] in their order. Rollout rules (pin, pause, canary, window,
//! percentage) belong between "nothing assigned" and "offered": there the offer is chosen.
//! "Revoked" comes before "withdrawn", for whoever has a revoked revision is to know that.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::snapshot::{ImageOffer, Offer, Standing};
use crate::model::{ClientId, Digest, Promotion};

/// What the client is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    None,
    /// Fetch the target and change to it.
    Update,
    /// Keep what there is, and wait: what is newer is not for this client yet, or what was offered was taken back.
    Hold,
    /// Go back to the target, which is lower than what the client has.
    Rollback,
}

impl Action {
    /// In their order.
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

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client has what the channel offers.
    UpToDate,
    /// The channel offers a higher revision.
    NewerRevision,
    /// The client has none.
    FirstInstall,
    /// The channel went back to a lower revision.
    RolledBack,
    /// What the client has was revoked.
    RevisionRevoked,
    /// What the channel offers was stopped: its bytes were found damaged, and are to be healed.
    Halted,
    /// The image was taken out of the channel.
    Withdrawn,
    /// Nothing was promoted to the channel yet.
    NothingAssigned,
}

/// The answer's substance; how it is written is the API's.
pub struct Decision<'a> {
    pub action: Action,
    pub reason: Reason,
    /// What the client is to have; none where there is nothing to do.
    pub target: Option<&'a Offer>,
    /// What the channel's history ends with, whatever the client is told: its epoch, and its terms.
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

/// The least time between two checks, in seconds: a client that has just asked in its slot is not
/// told to ask again at once.
const SHORTEST_WAIT: u64 = 30;

/// Seconds until the client's slot: a second of the period that is its own, the same on every
/// server, so that a fleet that was switched on together does not ask together. 30 to period + 29.
pub fn seconds_until_slot(client: &ClientId, period: u32, now: DateTime<Utc>) -> u64 {
    let period = u64::from(period.max(1));
    let digest = Digest::of(client.as_str().as_bytes());
    let number = digest.as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let slot = number % period;
    let second = now.timestamp().unsigned_abs() % period;
    let wait = (slot + period - second) % period;
    if wait < SHORTEST_WAIT { wait + period.max(SHORTEST_WAIT) } else { wait }
}
