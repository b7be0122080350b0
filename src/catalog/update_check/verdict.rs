//! The answer that follows from a verdict and from what the client has.

use std::cmp::Ordering;

use super::answer::{Action, Decision, Reason};
use super::case::Case;
use super::rules::Verdict;
use crate::catalog::snapshot::OfferedRevision;

impl<'a> Case<'a, '_> {
    pub(super) fn decision(&self, verdict: Verdict<'a>) -> Decision<'a> {
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
