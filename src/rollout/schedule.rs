//! The course of a rollout in time: its share, its state and its next step.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
#[cfg(feature = "server")]
use utoipa::ToSchema;

use super::opening;
#[cfg(feature = "server")]
use crate::model::Promotion;
use crate::model::rollout::{Pace, Share, Step};
use crate::model::{ClientGroup, Rollout};

/// The state of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "server", schema(as = RolloutState))]
pub enum State {
    /// Its start has not come yet.
    Scheduled,
    /// Some clients are offered the revision, others are not yet.
    Rolling,
    /// A person has stopped it.
    Paused,
    /// Failures that clients reported have stopped it, or a person has called a halt.
    Halted,
    /// All clients are offered the revision.
    Complete,
}

/// The course of one promotion's rollout.
#[derive(Debug, Clone, Copy)]
pub struct Schedule<'a> {
    rollout: &'a Rollout,
    /// The time from which steps count.
    base: DateTime<Utc>,
    deadline: Option<DateTime<Utc>>,
    is_halted: bool,
}

impl<'a> Schedule<'a> {
    /// The course of a rollout that nobody has halted. Its steps count from its start, or from `made_at`.
    pub fn new(
        rollout: &'a Rollout,
        made_at: DateTime<Utc>,
        deadline: Option<DateTime<Utc>>,
    ) -> Self {
        Self { rollout, base: rollout.start.unwrap_or(made_at), deadline, is_halted: false }
    }

    #[cfg(feature = "server")]
    pub fn of(promotion: &'a Promotion) -> Self {
        let terms = &promotion.terms;
        let course = Self::new(&terms.rollout, promotion.created_at, terms.for_clients.deadline);
        Self { is_halted: promotion.progress.halted.is_some(), ..course }
    }

    /// Reports whether a person or reports have stopped the rollout.
    pub fn is_stopped(&self) -> bool {
        self.rollout.paused || self.is_halted
    }

    /// Reports whether the rollout's start is still to come.
    pub fn is_before_start(&self, now: DateTime<Utc>) -> bool {
        self.rollout.start.is_some_and(|start| now < start)
    }

    /// Returns the share of the clients of a group, or of clients without one. A pause does not stop the time: a paused
    /// rollout has the share that it would have without the pause.
    pub fn share(&self, group: Option<&ClientGroup>, now: DateTime<Utc>) -> Share {
        if self.is_before_start(now) {
            return Share::NOBODY;
        }
        match &self.rollout.pace {
            Pace::Percent(percent) => *percent,
            Pace::Steps(steps) => {
                let group = group.map(ClientGroup::key);
                let come = steps.iter().filter(|step| step.speaks_for(group.as_deref()));
                let come = come.filter(|step| self.time_of(step).is_some_and(|time| time <= now));
                come.map(|step| step.percent).max().unwrap_or(Share::NOBODY)
            }
        }
    }

    /// Returns the time of a step, or none if it is beyond the calendar.
    pub fn time_of(&self, step: &Step) -> Option<DateTime<Utc>> {
        self.base.checked_add_signed(TimeDelta::from_std(step.after).ok()?)
    }

    /// Returns the time from which all clients are offered the revision, or none if that never comes: the share of clients
    /// without a group is 100 % and a window is open, or the deadline passes.
    pub fn completes_at(&self) -> Option<DateTime<Utc>> {
        let share = match &self.rollout.pace {
            Pace::Percent(percent) => percent.is_everyone().then_some(self.base),
            Pace::Steps(steps) => {
                let whole = |step: &&Step| step.percent.is_everyone() && step.speaks_for(None);
                steps.iter().find(whole).and_then(|step| self.time_of(step))
            }
        };
        let windows = &self.rollout.windows;
        let opens = share.and_then(|time| {
            if opening::is_open(windows, time) {
                Some(time)
            } else {
                opening::next_opening(windows, time)
            }
        });
        let deadline = self.deadline.map(|deadline| deadline.max(self.base));
        opens.into_iter().chain(deadline).min()
    }

    /// Reports whether all clients are offered the revision, and nobody has stopped that.
    pub fn is_complete(&self, now: DateTime<Utc>) -> bool {
        !self.is_stopped() && self.completes_at().is_some_and(|time| time <= now)
    }

    pub fn state(&self, now: DateTime<Utc>) -> State {
        if self.is_halted {
            State::Halted
        } else if self.rollout.paused {
            State::Paused
        } else if self.is_before_start(now) {
            State::Scheduled
        } else if self.is_complete(now) {
            State::Complete
        } else {
            State::Rolling
        }
    }

    /// Returns the times at which a share changes, earliest first: the start, and each step.
    pub fn times(&self) -> Vec<DateTime<Utc>> {
        let mut times: Vec<_> = match &self.rollout.pace {
            Pace::Percent(_) => self.rollout.start.into_iter().collect(),
            Pace::Steps(steps) => steps.iter().filter_map(|step| self.time_of(step)).collect(),
        };
        times.sort_unstable();
        times.dedup();
        times
    }

    /// Returns the time of the next step or of the start, or none if nothing more happens by itself.
    pub fn next_step_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.times().into_iter().find(|time| now < *time)
    }

    /// Returns the number of times that have come.
    pub fn steps_come(&self, now: DateTime<Utc>) -> i64 {
        let come = self.times().into_iter().filter(|time| *time <= now).count();
        i64::try_from(come).unwrap_or(i64::MAX)
    }
}
