//! One image that is kept up to date: a round of checking, fetching, changing and reporting.
//!
//! A round may be cut off anywhere, by SIGKILL or a power failure; the next one goes on from what is in the folder and in
//! the record. A change is written down before `current` is swapped, and its command's start and end, each before the next
//! step.

use std::time::{Duration, Instant, SystemTime};

use humantime::format_rfc3339_seconds;

use super::command::Told;
use super::depot::Depot;
use super::layout::Layout;
use super::record::{Change, Held, LastCheck, Refused, Report, Run, Status};
use super::settings::{IfItFails, Image};
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::update_check::{Action, Answer};

/// An image, its folder and its record.
#[derive(Debug)]
pub struct KeptImage {
    settings: Image,
    layout: Layout,
    held: Held,
}

/// The outcome of a round.
#[derive(Debug)]
pub struct Outcome {
    /// The revision in use.
    pub revision: Option<u64>,
    /// True if it was another one before the round.
    pub is_new: bool,
    /// The answer of the depot, for people: `update newer_revision`.
    pub answer: String,
    /// The time until this client's slot.
    pub wait: Duration,
}

impl KeptImage {
    pub fn open(settings: Image, folder: &std::path::Path) -> Result<Self, Failure> {
        let layout = Layout::open(folder, settings.name.as_str())?;
        let held = Held::take(layout.root(), settings.name.as_str(), settings.channel.as_str())?;
        Ok(Self { settings, layout, held })
    }

    pub fn name(&self) -> &str {
        self.settings.name.as_str()
    }

    /// Checks once, and does what the depot says.
    pub async fn round(&mut self, depot: &Depot) -> Result<Outcome, Failure> {
        let before = self.layout.current();
        self.finish_change().await?;
        self.send_report(depot).await?;
        let answer = self.check(depot).await?;
        let outcome = (format!("{} {}", word(answer.action), answer.reason), answer.check_after());
        if let Some(plan) = self.wanted(&answer) {
            self.fetch(depot, plan, answer.action, answer.epoch).await?;
            self.finish_change().await?;
            self.send_report(depot).await?;
        }
        let revision = self.layout.current();
        let (answer, wait) = outcome;
        Ok(Outcome { revision, is_new: revision != before, answer, wait })
    }

    async fn check(&mut self, depot: &Depot) -> Result<Answer, Failure> {
        let (name, channel) = (self.settings.name.as_str(), self.settings.channel.as_str());
        let asked = depot.ask(name, channel, self.layout.current()).await;
        let (told, error) = match &asked {
            Ok(answer) => (Some(format!("{} {}", word(answer.action), answer.reason)), None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        let at = format_rfc3339_seconds(SystemTime::now()).to_string();
        self.held.record.last_check = Some(LastCheck { at, answer: told, error });
        self.held.keep()?;
        asked
    }

    /// Returns what is to be fetched, if anything is.
    fn wanted<'a>(&self, answer: &'a Answer) -> Option<&'a FetchPlan> {
        let plan = answer.target.as_ref()?;
        let is_told = matches!(answer.action, Action::Update | Action::Rollback);
        let refused = Refused { revision: plan.revision, epoch: answer.epoch };
        let is_new = self.layout.current() != Some(plan.revision);
        (is_told && is_new && self.held.record.refused != Some(refused)).then_some(plan)
    }

    /// Fetches a revision, unless it is here, and writes down that it is to be used.
    async fn fetch(
        &mut self,
        depot: &Depot,
        plan: &FetchPlan,
        action: Action,
        epoch: u64,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let bytes = match self.bring_here(depot, plan).await {
            Ok(bytes) => bytes,
            Err(failure) => {
                // A line that breaks says nothing about the revision.
                if matches!(failure.exit(), Exit::Verification | Exit::Storage) {
                    let report = self.report(plan.revision, Status::Failed);
                    self.held.record.report =
                        Some(Report { error: Some(failure.to_string()), ..report });
                    self.held.keep()?;
                    self.send_report(depot).await?;
                }
                return Err(failure);
            }
        };
        self.held.record.refused = None;
        self.held.record.change = Some(Change {
            from: self.layout.current(),
            to: plan.revision,
            is_rollback: action == Action::Rollback,
            epoch,
            bytes,
            seconds: begun.elapsed().as_secs(),
            run: Run::NotStarted,
        });
        self.held.keep()
    }

    /// Returns the bytes that came over the network.
    async fn bring_here(&self, depot: &Depot, plan: &FetchPlan) -> Result<u64, Failure> {
        let revision = plan.revision;
        if self.layout.has(revision)
            && depot.is_whole(plan, &self.layout.folder_of(revision)).await?
        {
            return Ok(0);
        }
        let _unread = depot.report(&self.report(revision, Status::Downloading)).await;
        let others: Vec<_> = self
            .layout
            .revisions()
            .into_iter()
            .map(|number| self.layout.folder_of(number))
            .collect();
        let incoming = self.layout.incoming(revision)?;
        let fetched = depot.fetch(plan, &incoming, &others).await?;
        if self.layout.has(revision) {
            // It is damaged, and not in use: that one is never fetched.
            let kept: Vec<_> =
                self.layout.revisions().into_iter().filter(|other| *other != revision).collect();
            self.layout.keep_only(&kept)?;
        }
        self.layout.install(revision)?;
        Ok(fetched)
    }

    /// Does what is left of a change whose files are all here.
    async fn finish_change(&mut self) -> Result<(), Failure> {
        let Some(change) = self.held.record.change.clone() else { return Ok(()) };
        if !self.layout.has(change.to) {
            self.held.record.change = None;
            return self.held.keep();
        }
        if change.run == Run::NotStarted {
            self.layout.switch_to(change.to)?;
        }
        let error = self.run_command(&change).await?;
        let status = match (&error, change.is_rollback) {
            (Some(_), _) => Status::Failed,
            (None, true) => Status::RolledBack,
            (None, false) => Status::Applied,
        };
        if error.is_some() {
            self.go_back_if_asked(&change)?;
        }
        let (bytes, seconds) = (Some(change.bytes), Some(change.seconds));
        let report = Report { bytes, seconds, error, ..self.report(change.to, status) };
        self.held.record.report = Some(report);
        self.held.record.change = None;
        self.held.keep()?;
        self.remove_old(change.from)
    }

    /// Runs the command, unless its end is recorded. Returns how it failed.
    async fn run_command(&mut self, change: &Change) -> Result<Option<String>, Failure> {
        let attempt = match &change.run {
            Run::Ended { error } => return Ok(error.clone()),
            Run::NotStarted => 1,
            Run::Started { attempt } => attempt.saturating_add(1),
        };
        let Some(command) = self.settings.run_after.clone() else { return Ok(None) };
        self.note_run(Run::Started { attempt })?;
        let told = Told {
            image: self.settings.name.as_str().to_owned(),
            channel: self.settings.channel.as_str().to_owned(),
            revision: change.to,
            previous: change.from,
            path: self.layout.folder_of(change.to),
            attempt,
        };
        let ended = tokio::task::spawn_blocking(move || command.run(&told)).await;
        let error = ended.map_err(|error| Failure::lost_task(&error))?.err();
        self.note_run(Run::Ended { error: error.clone() })?;
        Ok(error)
    }

    fn note_run(&mut self, run: Run) -> Result<(), Failure> {
        if let Some(change) = &mut self.held.record.change {
            change.run = run;
        }
        self.held.keep()
    }

    fn go_back_if_asked(&mut self, change: &Change) -> Result<(), Failure> {
        let before = change.from.filter(|revision| self.layout.has(*revision));
        if let (IfItFails::GoBack, Some(before)) = (self.settings.if_it_fails, before) {
            self.layout.switch_to(before)?;
            self.held.record.refused = Some(Refused { revision: change.to, epoch: change.epoch });
        }
        Ok(())
    }

    /// Keeps the revision in use, and of the others so many as are wanted: the one before first, then the newest.
    fn remove_old(&self, before: Option<u64>) -> Result<(), Failure> {
        let current = self.layout.current();
        let mut others = self.layout.revisions();
        others.retain(|revision| Some(*revision) != current);
        others.sort_by_key(|revision| Some(*revision) != before);
        others.truncate(self.settings.keep);
        others.extend(current);
        self.layout.keep_only(&others)
    }

    fn report(&self, revision: u64, status: Status) -> Report {
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

    /// Sends the report that is not acknowledged yet. If the depot cannot be reached, it is sent in the next round.
    async fn send_report(&mut self, depot: &Depot) -> Result<(), Failure> {
        let Some(report) = &self.held.record.report else { return Ok(()) };
        match depot.report(report).await {
            Err(failure) if failure.exit() == Exit::Unreachable => return Ok(()),
            Err(failure) => depot.note(&format!("a report was refused: {failure}")),
            Ok(()) => {}
        }
        self.held.record.report = None;
        self.held.keep()
    }
}

/// Returns the API's word for an action.
const fn word(action: Action) -> &'static str {
    match action {
        Action::None => "none",
        Action::Update => "update",
        Action::Hold => "hold",
        Action::Rollback => "rollback",
    }
}
