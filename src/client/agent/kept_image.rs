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

/// The reason of an answer that wants a machine to leave a revoked revision.
const REVOKED: &str = "revision_revoked";

/// The number of times that a command is run which is cut off each time, perhaps because it restarts the machine.
const MOST_ATTEMPTS: u32 = 5;

/// An image, its folder and its record.
#[derive(Debug)]
pub struct KeptImage {
    settings: Image,
    layout: Layout,
    held: Held,
    /// Set if the change on record was wanted in this round.
    is_new_change: bool,
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
    /// The way in which the command failed.
    pub failed: Option<String>,
    /// The time until this client's slot.
    pub wait: Duration,
}

impl KeptImage {
    pub fn open(settings: Image, folder: &std::path::Path) -> Result<Self, Failure> {
        let layout = Layout::open(folder, settings.name.as_str())?;
        let held = Held::take(layout.root(), settings.name.as_str(), settings.channel.as_str())?;
        Ok(Self { settings, layout, held, is_new_change: false })
    }

    pub fn name(&self) -> &str {
        self.settings.name.as_str()
    }

    /// Checks once, and does what the depot says.
    pub async fn round(&mut self, depot: &Depot) -> Result<Outcome, Failure> {
        let before = self.layout.current();
        let mut failed = self.finish_change().await?;
        self.send_reports(depot).await?;
        let mut answer = self.check(depot).await?;
        if let Some(plan) = self.wanted(&answer) {
            let begun = Instant::now();
            let bytes = self.bring_here_or_tell(depot, plan).await?;
            // Fetching may take days: what is wanted now counts, in this window, of this rollout.
            let again = self.check(depot).await?;
            if self.wanted(&again).map(|plan| plan.revision) == Some(plan.revision) {
                self.note_change(plan.revision, &again, bytes, begun.elapsed())?;
                failed = self.finish_change().await?.or(failed);
                self.send_reports(depot).await?;
            }
            answer = again;
        }
        let revision = self.layout.current();
        let wait = answer.check_after();
        let answer = format!("{} {}", word(answer.action), answer.reason);
        Ok(Outcome { revision, is_new: revision != before, answer, failed, wait })
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
        // A full disk must not keep the agent from doing what it is told.
        let _only_shown = self.held.keep();
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

    /// Fetches a revision, unless it is here, and reports why it cannot be had. Returns the bytes that came over the
    /// network.
    async fn bring_here_or_tell(
        &mut self,
        depot: &Depot,
        plan: &FetchPlan,
    ) -> Result<u64, Failure> {
        let brought = self.bring_here(depot, plan).await;
        if let Err(failure) = &brought
            // A line that breaks says nothing about the revision.
            && matches!(failure.exit(), Exit::Verification | Exit::Storage)
        {
            let report = self.report(plan.revision, Status::Failed);
            let report = Report { error: Some(failure.to_string()), ..report };
            self.held.record.add_report(report);
            // The failure of the fetch is the one to tell.
            let _kept = self.held.keep();
            let _sent = self.send_reports(depot).await;
        }
        brought
    }

    /// Writes down that a revision, whose files are all here, is to be used.
    fn note_change(
        &mut self,
        to: u64,
        answer: &Answer,
        bytes: u64,
        took: Duration,
    ) -> Result<(), Failure> {
        self.is_new_change = true;
        self.held.record.refused = None;
        self.held.record.change = Some(Change {
            from: self.layout.current(),
            to,
            is_ordered_away: answer.action == Action::Rollback || answer.reason == REVOKED,
            epoch: answer.epoch,
            bytes,
            seconds: took.as_secs(),
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

    /// Does what is left of a change whose files are all here. Returns how its command failed.
    async fn finish_change(&mut self) -> Result<Option<String>, Failure> {
        let Some(change) = self.held.record.change.clone() else { return Ok(None) };
        let is_in_use = self.layout.current() == Some(change.to);
        if change.run == Run::NotStarted && !is_in_use && !self.is_new_change {
            // From before a power failure: the next check says if it is still wanted.
            self.held.record.change = None;
            return self.held.keep().map(|()| None);
        }
        self.is_new_change = false;
        if change.run == Run::NotStarted {
            self.layout.switch_to(change.to)?;
        }
        let error = self.run_command(&change).await?;
        let status = if error.is_some() { Status::Failed } else { Status::Applied };
        if error.is_some() {
            self.go_back_if_asked(&change)?;
        }
        let (bytes, seconds) = (Some(change.bytes), Some(change.seconds));
        let report = self.report(change.to, status);
        self.held.record.add_report(Report { bytes, seconds, error: error.clone(), ..report });
        self.held.record.change = None;
        self.held.keep()?;
        self.remove_old(&change)?;
        Ok(error)
    }

    /// Runs the command, unless its end is recorded. Returns how it failed.
    async fn run_command(&mut self, change: &Change) -> Result<Option<String>, Failure> {
        let attempt = match &change.run {
            Run::Ended { error } => return Ok(error.clone()),
            Run::NotStarted => 1,
            Run::Started { attempt: MOST_ATTEMPTS.. } => {
                let error = Some(format!("the command was cut off {MOST_ATTEMPTS} times"));
                self.note_run(Run::Ended { error: error.clone() })?;
                return Ok(error);
            }
            Run::Started { attempt } => attempt + 1,
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
        // Where the depot wants a machine to leave a revision, it leaves it.
        let leads_back = !change.is_ordered_away;
        let before = change.from.filter(|revision| leads_back && self.layout.has(*revision));
        if let (IfItFails::GoBack, Some(before)) = (self.settings.if_it_fails, before) {
            self.layout.switch_to(before)?;
            self.held.record.refused = Some(Refused { revision: change.to, epoch: change.epoch });
        }
        Ok(())
    }

    /// Keeps the revision in use, and of the others so many as are wanted: the one before first, then the newest, and one
    /// that failed last.
    fn remove_old(&self, change: &Change) -> Result<(), Failure> {
        let current = self.layout.current();
        let mut others = self.layout.revisions();
        others.retain(|revision| Some(*revision) != current);
        others.sort_by_key(|revision| (Some(*revision) != change.from, *revision == change.to));
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

    /// Sends the reports that are not acknowledged yet, in their order. Those that the depot cannot take now are sent in a
    /// later round; those that it will never take are given up.
    async fn send_reports(&mut self, depot: &Depot) -> Result<(), Failure> {
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

/// Returns the API's word for an action.
const fn word(action: Action) -> &'static str {
    match action {
        Action::None => "none",
        Action::Update => "update",
        Action::Hold => "hold",
        Action::Rollback => "rollback",
    }
}
