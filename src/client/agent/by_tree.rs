//! The answer that a tree gives to a machine, where there is no server to ask.
//!
//! The rules are those of the update check, as far as a manifest has what they are about: pins are not in it, and a halt is
//! a pause there. While a rollout is under way, a channel with `tree_during_rollout` shows both revisions, and the place of
//! the machine decides, which is the same on every server and in every copy. A channel without it shows the assignment
//! before until the rollout is complete.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use crate::client::pull::update_check::{Action, REVOKED};
use crate::client::trust::channel::Image;
use crate::model::{ClientGroup, ClientId, Rollout};
use crate::rollout::bucket::bucket;
use crate::rollout::{Schedule, opening};

/// The machine that asks.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub current: Option<u64>,
    /// The epoch of the assignment by which the machine came to this revision.
    pub current_epoch: Option<u64>,
    pub client: Option<&'a ClientId>,
    pub group: Option<&'a ClientGroup>,
    pub now: DateTime<Utc>,
}

/// The revision of an entry that a machine is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Assigned,
    /// The assignment before the one that is rolled out.
    Previous,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    /// The update check's word for it.
    pub reason: &'static str,
    pub wanted: Option<Wanted>,
}

impl Verdict {
    const fn nothing(action: Action, reason: &'static str) -> Self {
        Self { action, reason, wanted: None }
    }
}

/// The answer for an image that the manifest does not have. It was withdrawn, or its first rollout is not complete.
pub const fn without_entry(current: Option<u64>) -> Verdict {
    match current {
        Some(_) => Verdict::nothing(Action::Hold, "withdrawn"),
        None => Verdict::nothing(Action::None, "nothing_assigned"),
    }
}

/// Decides for a machine. `rollout` is the one under way.
pub fn decide(image: &Image, rollout: Option<&Rollout>, question: Question<'_>) -> Verdict {
    let case = Case { image, question };
    if let Some(verdict) = case.leave_revoked(rollout) {
        return verdict;
    }
    match rollout {
        None => case.without_rollout(),
        Some(rollout) => match case.held_by(rollout) {
            Some(reason) => case.held(reason),
            None => case.move_to(Wanted::Assigned, case.reason_of(rollout)),
        },
    }
}

struct Case<'a> {
    image: &'a Image,
    question: Question<'a>,
}

impl Case<'_> {
    /// A machine on a revoked revision leaves it, whatever window and share say; while the rollout is stopped, for the
    /// assignment before.
    fn leave_revoked(&self, rollout: Option<&Rollout>) -> Option<Verdict> {
        let current = self.question.current.filter(|current| self.image.revoked.contains(current));
        if current? == self.image.revision {
            return None;
        }
        let is_stopped = rollout.is_some_and(|rollout| rollout.paused);
        let wanted = match (is_stopped, &self.image.previous) {
            (false, _) => Wanted::Assigned,
            (true, Some(_)) => Wanted::Previous,
            (true, None) => return Some(Verdict::nothing(Action::Hold, REVOKED)),
        };
        Some(self.move_to(wanted, Some(REVOKED)))
    }

    /// The manifest may show the assignment before while a rollout is under way. A machine that was offered the newer one
    /// keeps it: it is merely ahead of the tree.
    fn without_rollout(&self) -> Verdict {
        let is_ahead = self.question.current_epoch.is_some_and(|epoch| epoch > self.image.epoch)
            && self.question.current > Some(self.image.revision);
        if is_ahead {
            return Verdict::nothing(Action::Hold, "held_by_rollout");
        }
        self.move_to(Wanted::Assigned, None)
    }

    /// Returns the reason for which the rollout does not reach this machine now. The rules are in the order of the update
    /// check.
    fn held_by(&self, rollout: &Rollout) -> Option<&'static str> {
        let schedule = self.schedule(rollout);
        let now = self.question.now;
        if rollout.paused {
            return Some("paused");
        }
        if self.is_canary(rollout) {
            return None;
        }
        if schedule.is_before_start(now) {
            return Some("before_start");
        }
        if self.deadline_has_passed() {
            return None;
        }
        if !opening::is_open(&rollout.windows, now) {
            return Some("outside_window");
        }
        let place = bucket(self.image.promotion, self.question.client);
        let is_in = schedule.share(self.question.group, now).contains(place);
        (!is_in).then_some("held_by_rollout")
    }

    /// Returns the reason that replaces the usual one.
    fn reason_of(&self, rollout: &Rollout) -> Option<&'static str> {
        if self.is_canary(rollout) {
            Some("canary")
        } else if self.deadline_has_passed() {
            Some("deadline_passed")
        } else {
            None
        }
    }

    fn schedule<'r>(&self, rollout: &'r Rollout) -> Schedule<'r> {
        // A manifest always has the start, from which steps count.
        Schedule::new(rollout, DateTime::<Utc>::MIN_UTC, self.image.deadline)
    }

    fn is_canary(&self, rollout: &Rollout) -> bool {
        let key = self.question.client.map(ClientId::key);
        key.is_some_and(|key| rollout.canaries.iter().any(|pattern| pattern.matches(&key)))
    }

    fn deadline_has_passed(&self) -> bool {
        self.image.deadline.is_some_and(|deadline| deadline <= self.question.now)
    }

    /// Keeps the machine at the assignment before, or brings it there.
    fn held(&self, reason: &'static str) -> Verdict {
        let current = self.question.current;
        if current == Some(self.image.revision) {
            return Verdict::nothing(Action::None, "up_to_date");
        }
        match &self.image.previous {
            Some(previous) if current < Some(previous.revision) => {
                self.move_to(Wanted::Previous, None)
            }
            _ => Verdict::nothing(Action::Hold, reason),
        }
    }

    fn move_to(&self, wanted: Wanted, reason: Option<&'static str>) -> Verdict {
        let target = match (wanted, &self.image.previous) {
            (Wanted::Previous, Some(previous)) => previous.revision,
            _ => self.image.revision,
        };
        let (action, usual) = match self.question.current.map(|current| current.cmp(&target)) {
            Some(Ordering::Equal) => return Verdict::nothing(Action::None, "up_to_date"),
            None => (Action::Update, "first_install"),
            Some(Ordering::Less) => (Action::Update, "newer_revision"),
            Some(Ordering::Greater) => (Action::Rollback, "rolled_back"),
        };
        Verdict { action, reason: reason.unwrap_or(usual), wanted: Some(wanted) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-12-01T12:00:00Z";

    /// Revision 12 is assigned, and 11 is the one before.
    fn verdict(entry: &Value, current: u64, client: &str) -> String {
        let mut document = json!({"image": "win7", "revision": 12, "epoch": 7, "files": [],
            "promotion": "01928374-6574-7839-8201-abcdef012345",
            "previous": {"revision": 11, "files": []}});
        for (key, value) in entry.as_object().unwrap() {
            document[key] = value.clone();
        }
        let image: Image = serde_json::from_value(document).unwrap();
        let client = client.parse().unwrap();
        let question = Question {
            current: Some(current).filter(|current| *current > 0),
            current_epoch: Some(7),
            client: Some(&client),
            group: None,
            now: NOW.parse().unwrap(),
        };
        let verdict = decide(&image, image.rollout().unwrap().as_ref(), question);
        let target = match verdict.wanted {
            None => String::new(),
            Some(Wanted::Assigned) => " 12".to_owned(),
            Some(Wanted::Previous) => " 11".to_owned(),
        };
        format!("{} {}{target}", verdict.action.as_str(), verdict.reason)
    }

    #[test]
    fn without_a_rollout_everyone_is_offered_what_is_assigned() {
        let said = |current| verdict(&json!({}), current, "pc-1");
        assert_eq!(said(0), "update first_install 12");
        assert_eq!(said(11), "update newer_revision 12");
        assert_eq!(said(12), "none up_to_date");
        assert_eq!(said(13), "rollback rolled_back 12");
        assert_eq!(verdict(&json!({"epoch": 6}), 13, "pc-1"), "hold held_by_rollout");
    }

    #[test]
    fn a_machine_that_a_rollout_holds_has_the_assignment_before() {
        let start = "2026-12-01T00:00:00Z";
        let rolling = |rollout: Value| json!({"rollout": rollout});
        let nobody = rolling(json!({"percent": 0, "start": start}));
        assert_eq!(verdict(&nobody, 0, "pc-1"), "update first_install 11");
        assert_eq!(verdict(&nobody, 10, "pc-1"), "update newer_revision 11");
        assert_eq!(verdict(&nobody, 11, "pc-1"), "hold held_by_rollout");
        assert_eq!(verdict(&nobody, 12, "pc-1"), "none up_to_date");
        let said = |rollout: Value, client| verdict(&rolling(rollout), 11, client);
        assert_eq!(
            said(json!({"percent": 100, "start": start}), "pc-1"),
            "update newer_revision 12"
        );
        let canary = json!({"percent": 0, "start": start, "canaries": ["PC-*"]});
        assert_eq!(said(canary.clone(), "pc-1"), "update canary 12");
        assert_eq!(said(canary, "other"), "hold held_by_rollout");
        let later = json!({"percent": 100, "start": "2026-12-02T00:00:00Z"});
        assert_eq!(said(later, "pc-1"), "hold before_start");
        let paused = json!({"percent": 100, "start": start, "paused": true});
        assert_eq!(said(paused, "pc-1"), "hold paused");
        let window = json!({"days": ["tue"], "from": "13:00", "to": "14:00", "zone": "UTC"});
        let windows = json!({"percent": 100, "start": start, "windows": [window]});
        assert_eq!(said(windows, "pc-1"), "hold outside_window");
    }

    #[test]
    fn a_deadline_that_has_passed_leaves_nobody_out() {
        let rollout = json!({"percent": 0, "start": "2026-12-01T00:00:00Z"});
        let entry = |deadline: &str| json!({"rollout": rollout, "deadline": deadline});
        assert_eq!(verdict(&entry(NOW), 11, "pc-1"), "update deadline_passed 12");
        let later = entry("2026-12-01T12:00:01Z");
        assert_eq!(verdict(&later, 11, "pc-1"), "hold held_by_rollout");
    }

    #[test]
    fn a_machine_leaves_a_revoked_revision_also_while_nobody_is_offered_anything() {
        let rolling = |paused: bool| json!({"percent": 0, "start": NOW, "paused": paused});
        let entry = |paused| json!({"revoked": [10], "rollout": rolling(paused)});
        assert_eq!(verdict(&entry(false), 10, "pc-1"), "update revision_revoked 12");
        assert_eq!(verdict(&entry(true), 10, "pc-1"), "update revision_revoked 11");
        assert_eq!(verdict(&entry(false), 11, "pc-1"), "hold held_by_rollout");
    }

    #[test]
    fn terms_that_are_not_known_decide_nothing() {
        let written =
            json!({"image": "win7", "revision": 12, "files": [], "rollout": {"moon": "full"}});
        let image: Image = serde_json::from_value(written).unwrap();
        let refused = image.rollout().unwrap_err().to_string();
        assert!(refused.contains("moon") && refused.contains("newer imagedepot"), "{refused}");
    }
}
