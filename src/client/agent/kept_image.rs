//! One image that is kept up to date: its folder, its record, the question what to have, and the reports.
//!
//! `round` does one thing after the other, `fetching` brings files here, and `changing` puts them into use.

use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use super::depot::{Current, Depot};
use super::layout::Layout;
use super::record::{Held, LastCheck, LastFailure, Refused, Report, Status};
use super::settings::Image;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::update_check::{Action, Answer};

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
                && since_1970().as_secs() < wrong.not_before
        });
        let is_wanted = is_told && is_new && !is_put_off && record.refused != Some(refused);
        is_wanted.then_some(plan)
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

    /// Sends the reports that are not acknowledged yet, in their order. Those that the depot cannot take now are sent in a
    /// later round; those that it will never take are given up.
    pub(super) async fn send_reports(&mut self, depot: &Depot) -> Result<(), Failure> {
        while let Some(report) = self.held.record.reports.first() {
            match depot.report(report).await {
                Ok(()) => {}
                Err(failure) if is_final(&failure) => {
                    depot.note(&format!("a report was refused: {failure}"));
                }
                Err(_) => return Ok(()),
            }
            self.held.record.reports.remove(0);
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

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
