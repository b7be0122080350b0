//! The update check: what a client machine is told to do. It is a pure function of the snapshot, the question and the
//! time, without a database.
//!
//! [`rules`] has the rules in their order: the first one that decides chooses the [`Verdict`], and [`decide`] turns that
//! into the answer. [`explain`] shows every rule that was weighed. [`slot`] says when the client asks again, and
//! [`load`] how a server protects itself from too many questions.

pub mod explain;
pub mod load;
pub mod rules;
pub mod slot;
#[cfg(test)]
pub(super) mod tests;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::rules::{Rule, Verdict, Weighed};
use super::rollout::{Schedule, bucket};
use super::snapshot::{ImageOffer, Offer, OfferedRevision, Standing};
use crate::model::rollout::Bucket;
use crate::model::{ChannelName, ClientGroup, ClientId, Promotion};

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

/// The question of a client.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The revision that the client has; 0 if it has none.
    pub current: i64,
    pub client: Option<&'a ClientId>,
    pub group: Option<&'a ClientGroup>,
    pub now: DateTime<Utc>,
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

/// Decides for a client.
pub fn decide<'a>(
    image: &'a ImageOffer,
    channel: &ChannelName,
    question: Question<'_>,
) -> Decision<'a> {
    let case = Case::new(image, channel, question);
    let mut verdict = Verdict::Nothing(Action::None, Reason::NothingAssigned);
    for rule in Rule::ALL {
        if let Weighed::Decided(decided) = rule.weigh(&case) {
            verdict = decided;
            break;
        }
    }
    case.decision(verdict)
}

/// A question together with what the snapshot says about its image and channel.
#[derive(Clone, Copy)]
struct Case<'a, 'q> {
    image: &'a ImageOffer,
    standing: Standing<'a>,
    channel: &'q ChannelName,
    question: Question<'q>,
}

impl<'a, 'q> Case<'a, 'q> {
    fn new(image: &'a ImageOffer, channel: &'q ChannelName, question: Question<'q>) -> Self {
        Self { image, standing: image.standing(channel), channel, question }
    }

    fn offer(&self) -> Option<&'a Offer> {
        match self.standing {
            Standing::Offered(offer) => Some(offer),
            Standing::Withdrawn(_) | Standing::Unknown => None,
        }
    }

    fn schedule(&self) -> Option<Schedule<'a>> {
        self.offer().map(|offer| Schedule::of(&offer.promotion))
    }

    fn bucket(&self) -> Bucket {
        self.offer()
            .map_or(Bucket::LAST, |offer| bucket::bucket(offer.promotion.id, self.question.client))
    }

    fn latest(&self) -> Option<&'a Promotion> {
        match self.standing {
            Standing::Offered(offer) => Some(&offer.promotion),
            Standing::Withdrawn(withdrawal) => Some(withdrawal),
            Standing::Unknown => None,
        }
    }

    fn decision(&self, verdict: Verdict<'a>) -> Decision<'a> {
        let (action, reason, target) = match verdict {
            Verdict::Nothing(action, reason) => (action, reason, None),
            Verdict::Offered(target, reason) => self.move_to(target, reason),
            Verdict::Held(reason) => self.held(reason),
        };
        Decision { action, reason, target, latest: self.latest() }
    }

    /// Returns the way from the current revision to the target. `reason` replaces the usual one.
    fn move_to(
        &self,
        target: &'a OfferedRevision,
        reason: Option<Reason>,
    ) -> (Action, Reason, Option<&'a OfferedRevision>) {
        let current = self.question.current;
        let (action, usual) = match current.cmp(&target.number) {
            Ordering::Equal => return (Action::None, reason_to_stay(reason), None),
            _ if current == 0 => (Action::Update, Reason::FirstInstall),
            Ordering::Less => (Action::Update, Reason::NewerRevision),
            Ordering::Greater => (Action::Rollback, Reason::RolledBack),
        };
        (action, reason.unwrap_or(usual), Some(target))
    }

    /// Keeps the client at the assignment before, or brings it there. A client on the assigned revision stays, and so does
    /// one above the assignment before: it is merely held.
    fn held(&self, reason: Reason) -> (Action, Reason, Option<&'a OfferedRevision>) {
        let current = self.question.current;
        let Some(offer) = self.offer() else { return (Action::Hold, reason, None) };
        if current == offer.assigned.number {
            return (Action::None, Reason::UpToDate, None);
        }
        match offer.previous() {
            Some(previous) if current < previous.number => self.move_to(previous, None),
            _ => (Action::Hold, reason, None),
        }
    }
}

/// Returns the reason for doing nothing. A pin is shown, because it explains why the client stays behind.
fn reason_to_stay(reason: Option<Reason>) -> Reason {
    reason.filter(|reason| *reason == Reason::Pinned).unwrap_or(Reason::UpToDate)
}
