//! One image that is kept up to date: its folder, its record, the question what to have, and the reports.
//!
//! `round` does one thing after the other, `fetching` brings files here, and `changing` puts them into use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime::format_rfc3339_seconds;

use super::depot::{Current, Depot};
use super::layout::Layout;
use super::record::{Held, LastCheck, LastFailure, Refused, Report, Status};
use super::settings::Image;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::update_check::{Action, Answer};

/// More than the longest time for which anything is put off.
const FARTHEST: Duration = Duration::from_hours(25);

/// An image, its folder and its record.
#[derive(Debug)]
pub struct KeptImage {
    pub(super) settings: Image,
    pub(super) layout: Layout,
    pub(super) held: Held,
    /// Set if the change on record was wanted in this round.
    pub(super) is_new_change: bool,
}

impl KeptImage {
    pub fn open(settings: Image) -> Result<Self, Failure> {
        let layout = Layout::open(&settings.folder)?;
        let held = Held::take(layout.root(), settings.name.as_str(), settings.channel.as_str())?;
        Ok(Self { settings, layout, held, is_new_change: false })
    }

    pub fn name(&self) -> &str {
        self.settings.name.as_str()
    }

    pub(super) async fn check(&mut self, depot: &Depot) -> Result<Answer, Failure> {
        let current = Current { revision: self.layout.current(), epoch: self.held.record.epoch };
        let asked = depot.ask(self.settings.name.as_str(), &self.settings.channel, current).await;
        let (told, error) = match &asked {
            Ok(answer) => (Some(words(answer)), None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        self.held.record.last_check = Some(LastCheck { at: now(), answer: told, error });
        // A full disk must not keep the agent from doing what it is told.
        let _only_shown = self.held.keep();
        asked
    }

    /// Returns what is to be fetched, if anything is.
    pub(super) fn wanted<'a>(&self, answer: &'a Answer) -> Option<&'a FetchPlan> {
        let (plan, record) = (answer.target.as_ref()?, &self.held.record);
        let is_told = matches!(answer.action, Action::Update | Action::Rollback);
        let is_new = self.layout.current() != Some(plan.revision);
        let refused = Refused { revision: plan.revision, epoch: answer.epoch };
        let is_put_off = record.wrong_bytes.is_some_and(|wrong| {
            (wrong.revision, wrong.epoch) == (plan.revision, answer.epoch)
                && is_ahead(wrong.not_before)
        });
        let is_wanted = is_told && is_new && !is_put_off && record.refused != Some(refused);
        is_wanted.then_some(plan)
    }

    /// Returns why something that the depot offers is not fetched, if there is such a reason.
    pub(super) fn left_alone(&self, answer: &Answer) -> Option<String> {
        let target = answer.target.as_ref().map(|plan| plan.revision)?;
        let record = &self.held.record;
        if self.wanted(answer).is_some() || self.layout.current() == Some(target) {
            return None;
        }
        let is_refused = record.refused == Some(Refused { revision: target, epoch: answer.epoch });
        if is_refused {
            return Some(format!(
                "another assignment: the command of revision {target} failed here"
            ));
        }
        let until = UNIX_EPOCH + Duration::from_secs(record.wrong_bytes?.not_before);
        let until = format_rfc3339_seconds(until);
        Some(format!("{until}: the bytes of revision {target} were wrong"))
    }

    pub(super) fn note_waiting(&mut self, waits_for: Option<String>) -> Result<(), Failure> {
        if self.held.record.waits_for == waits_for {
            return Ok(());
        }
        self.held.record.waits_for = waits_for;
        self.held.keep()
    }

    /// Puts a failure on record, for the status.
    pub(super) fn note_failure(&mut self, revision: u64, error: &str) {
        let error = error.to_owned();
        self.held.record.last_failure = Some(LastFailure { at: now(), revision, error });
    }

    pub(super) fn report(&self, revision: u64, status: Status) -> Report {
        Report {
            image: self.settings.name.as_str().to_owned(),
            channel: self.settings.channel.as_str().to_owned(),
            revision,
            status,
            bytes: None,
            seconds: None,
            error: None,
        }
    }

    /// Tells once why reports are not taken: nobody would notice that they lack a right.
    fn note_refused(&mut self, depot: &Depot, failure: &Failure) -> Result<(), Failure> {
        let why = Some(failure.to_string()).filter(|_| failure.exit() == Exit::Refused);
        if why.is_none() || self.held.record.report_refused == why {
            return Ok(());
        }
        depot.note(&format!("reports of {} wait: {failure}", self.name()));
        self.held.record.report_refused = why;
        self.held.keep()
    }

    /// Sends the reports that are not acknowledged yet, in their order. Those that the depot cannot take now are sent in a
    /// later round; those that it will never take are given up.
    pub(super) async fn send_reports(&mut self, depot: &Depot) -> Result<(), Failure> {
        while let Some(report) = self.held.record.reports.first() {
            match depot.report(report).await {
                Ok(()) => {}
                Err(failure) if is_final(&failure) => {
                    depot.note(&format!("a report was refused: {failure}"));
                }
                Err(failure) => return self.note_refused(depot, &failure),
            }
            self.held.record.reports.remove(0);
            self.held.record.report_refused = None;
            self.held.keep()?;
        }
        Ok(())
    }
}

fn is_final(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::Usage | Exit::NotFound | Exit::Conflict)
}

/// Returns an answer in the API's words.
pub(super) fn words(answer: &Answer) -> String {
    format!("{} {}", answer.action.as_str(), answer.reason)
}

fn now() -> String {
    format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Reports whether a time, in seconds since 1970, is to come. One that is days ahead was noted by a wrong clock.
fn is_ahead(time: u64) -> bool {
    let now = since_1970().as_secs();
    (now..now + FARTHEST.as_secs()).contains(&time)
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
