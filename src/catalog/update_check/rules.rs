//! The rules of the update check, in their order. The first one that decides is the last one that is weighed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Action, Reason};
use super::case::Case;
use crate::catalog::snapshot::{OfferedRevision, Standing};
use crate::rollout::opening;

/// A rule of the update check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UpdateCheckRule)]
pub enum Rule {
    /// A person has given the client a revision of its own.
    Pin,
    /// The client's revision was revoked.
    Revoked,
    /// Nothing is assigned: the image was withdrawn, or never promoted there.
    Withdrawn,
    /// The rollout is paused or halted.
    Stopped,
    /// The client is among the canaries.
    Canary,
    /// The rollout's start is still to come.
    BeforeStart,
    /// The promotion's deadline has passed.
    Deadline,
    /// The rollout has windows.
    Window,
    /// The client's place is compared with the share.
    Percentage,
}

/// The decision of a rule.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// There is nothing to install.
    Nothing(Action, Reason),
    /// The client is to have this revision. The reason replaces the usual one.
    Offered(&'a OfferedRevision, Option<Reason>),
    /// The client does not get the assigned revision now, but the assignment before.
    Held(Reason),
}

/// The outcome of weighing a rule.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weighed<'a> {
    Decided(Verdict<'a>),
    /// The rule applies, and lets the next one decide.
    Passed,
    /// The promotion has nothing that the rule is about.
    NotSet,
}

impl Rule {
    /// All rules, in the order in which they are weighed. [`Rule::Percentage`] always decides.
    pub const ALL: [Self; 9] = [
        Self::Pin,
        Self::Revoked,
        Self::Withdrawn,
        Self::Stopped,
        Self::Canary,
        Self::BeforeStart,
        Self::Deadline,
        Self::Window,
        Self::Percentage,
    ];

    pub(super) fn weigh<'a>(self, case: &Case<'a, '_>) -> Weighed<'a> {
        match self {
            Self::Pin => pin(case),
            Self::Revoked => revoked(case),
            Self::Withdrawn => withdrawn(case),
            Self::Stopped => stopped(case),
            Self::Canary => canary(case),
            Self::BeforeStart => before_start(case),
            Self::Deadline => deadline(case),
            Self::Window => window(case),
            Self::Percentage => percentage(case),
        }
    }
}

fn pin<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let (Some(pins), Some(client)) = (case.image.pins(case.channel), case.question.client) else {
        return Weighed::NotSet;
    };
    match pins.get(&client.key()) {
        Some(pinned) => Weighed::Decided(Verdict::Offered(pinned, Some(Reason::Pinned))),
        None => Weighed::Passed,
    }
}

/// A client that has a revoked revision leaves it, whatever window and share say. While the rollout is stopped, it goes
/// to the assignment before.
fn revoked<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let current = case.question.current;
    if !case.image.revoked.contains(&current) {
        return if case.image.revoked.is_empty() { Weighed::NotSet } else { Weighed::Passed };
    }
    let Some(offer) = case.offer() else {
        return match case.standing {
            Standing::Unknown => Weighed::Passed,
            _ => Weighed::Decided(Verdict::Nothing(Action::Hold, Reason::RevisionRevoked)),
        };
    };
    if current == offer.assigned.number {
        return Weighed::Passed;
    }
    let is_stopped = case.schedule().is_some_and(|schedule| schedule.is_stopped());
    let assigned = Some(&offer.assigned).filter(|assigned| !is_stopped && assigned.is_ready());
    match assigned.or(offer.previous()) {
        Some(ready) => Weighed::Decided(Verdict::Offered(ready, Some(Reason::RevisionRevoked))),
        None => Weighed::Decided(Verdict::Nothing(Action::Hold, Reason::RevisionRevoked)),
    }
}

fn withdrawn<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    match case.standing {
        Standing::Offered(_) => Weighed::NotSet,
        Standing::Withdrawn(_) => {
            Weighed::Decided(Verdict::Nothing(Action::Hold, Reason::Withdrawn))
        }
        Standing::Unknown => {
            Weighed::Decided(Verdict::Nothing(Action::None, Reason::NothingAssigned))
        }
    }
}

fn stopped<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let Some(offer) = case.offer() else { return Weighed::NotSet };
    let promotion = &offer.promotion;
    if promotion.progress.halted.is_some() || !offer.assigned.is_ready() {
        Weighed::Decided(Verdict::Held(Reason::Halted))
    } else if promotion.terms.rollout.paused {
        Weighed::Decided(Verdict::Held(Reason::Paused))
    } else {
        Weighed::NotSet
    }
}

fn canary<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let Some(offer) = case.offer() else { return Weighed::NotSet };
    let canaries = &offer.promotion.terms.rollout.canaries;
    let Some(client) = case.question.client.filter(|_| !canaries.is_empty()) else {
        return Weighed::NotSet;
    };
    let key = client.key();
    if canaries.iter().any(|pattern| pattern.matches(&key)) {
        Weighed::Decided(Verdict::Offered(&offer.assigned, Some(Reason::Canary)))
    } else {
        Weighed::Passed
    }
}

fn before_start<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let Some(offer) = case.offer() else { return Weighed::NotSet };
    match offer.promotion.terms.rollout.start {
        None => Weighed::NotSet,
        Some(start) if case.question.now < start => {
            Weighed::Decided(Verdict::Held(Reason::BeforeStart))
        }
        Some(_) => Weighed::Passed,
    }
}

fn deadline<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let Some(offer) = case.offer() else { return Weighed::NotSet };
    match offer.promotion.terms.for_clients.deadline {
        None => Weighed::NotSet,
        Some(deadline) if deadline <= case.question.now => {
            Weighed::Decided(Verdict::Offered(&offer.assigned, Some(Reason::DeadlinePassed)))
        }
        Some(_) => Weighed::Passed,
    }
}

fn window<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let Some(offer) = case.offer() else { return Weighed::NotSet };
    let windows = &offer.promotion.terms.rollout.windows;
    if windows.is_empty() {
        Weighed::NotSet
    } else if opening::is_open(windows, case.question.now) {
        Weighed::Passed
    } else {
        Weighed::Decided(Verdict::Held(Reason::OutsideWindow))
    }
}

fn percentage<'a>(case: &Case<'a, '_>) -> Weighed<'a> {
    let (Some(offer), Some(schedule)) = (case.offer(), case.schedule()) else {
        return Weighed::NotSet;
    };
    let share = schedule.share(case.question.group, case.question.now);
    // Almost every promotion is complete: nobody's place has to be worked out then.
    if share.is_everyone() || share.contains(case.bucket()) {
        Weighed::Decided(Verdict::Offered(&offer.assigned, None))
    } else {
        Weighed::Decided(Verdict::Held(Reason::HeldByRollout))
    }
}
