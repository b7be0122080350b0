//! Puts a revision whose files are all here into use: swaps the link, runs the command, goes back if that is asked, and
//! removes what is not kept.

use std::fs::File;
use std::time::{Duration, Instant};

use super::command::Told;
use super::kept_image::KeptImage;
use super::prestaged::Store;
use super::record::{Change, Refused, Report, Run, Status};
use super::settings::IfItFails;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::update_check::{Action, Answer, REVOKED};

/// The number of times that a command is run which is cut off each time, perhaps because it restarts the machine.
const MOST_ATTEMPTS: u32 = 5;

/// The time between two looks at a command that an earlier agent has left running.
const LOOK: Duration = Duration::from_millis(100);

impl KeptImage {
    /// Writes down that a revision, whose files are all here, is to be used.
    pub(super) fn note_change(
        &mut self,
        to: u64,
        answer: &Answer,
        bytes: u64,
        took: Duration,
    ) -> Result<(), Failure> {
        self.is_new_change = true;
        self.held.record.refused = None;
        self.held.record.wrong_bytes = None;
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

    /// Does what is left of a change whose files are all here. Returns how its command failed.
    pub(super) async fn finish_change(&mut self) -> Result<Option<String>, Failure> {
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
            self.prestage()?;
        }
        let error = self.run_command(&change).await?;
        let status = if error.is_some() { Status::Failed } else { Status::Applied };
        match &error {
            None => self.held.record.last_failure = None,
            Some(error) => {
                self.note_failure(change.to, error);
                self.go_back_if_asked(&change)?;
            }
        }
        if self.layout.current() == Some(change.to) {
            self.held.record.epoch = Some(change.epoch);
        }
        let (bytes, seconds) = (Some(change.bytes), Some(change.seconds));
        let report = self.report(change.to, status);
        self.held.record.add_report(Report { bytes, seconds, error: error.clone(), ..report });
        self.held.record.change = None;
        self.held.keep()?;
        self.remove_old(&change)?;
        Ok(error)
    }

    /// Lays the revision in use into the MED-V client's store, if there is one, and removes what lay there before. The
    /// record names the files first, so that none is forgotten there.
    fn prestage(&mut self) -> Result<(), Failure> {
        let Some(store) = self.settings.prestage_to.as_deref().map(Store::in_folder) else {
            return Ok(());
        };
        let Some(revision) = self.layout.current() else { return Ok(()) };
        let names = self.layout.files_of(revision)?;
        let mut before = std::mem::take(&mut self.held.record.prestaged);
        before.retain(|name| !names.contains(name));
        self.held.record.prestaged = [before.as_slice(), &names].concat();
        self.held.keep()?;
        store.lay(&self.layout.folder_of(revision), &names)?;
        store.remove(&before)?;
        self.held.record.prestaged = names;
        self.held.keep()
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
        let lock = self.run_lock(command.time_limit()).await?;
        self.note_run(Run::Started { attempt })?;
        let told = Told {
            image: self.settings.name.as_str().to_owned(),
            channel: self.settings.channel.as_str().to_owned(),
            revision: change.to,
            previous: change.from,
            path: self.layout.folder_of(change.to),
            attempt,
        };
        let ended = tokio::task::spawn_blocking(move || command.run(&told, lock)).await;
        let error = ended.map_err(|error| Failure::lost_task(&error))?.err();
        self.note_run(Run::Ended { error: error.clone() })?;
        Ok(error)
    }

    /// Waits until no command runs that an agent has left running which was killed.
    async fn run_lock(&self, patience: Duration) -> Result<File, Failure> {
        let until = Instant::now() + patience;
        loop {
            if let Some(lock) = self.layout.take_run_lock()? {
                return Ok(lock);
            }
            if Instant::now() >= until {
                let words = "the command of an earlier attempt is still running";
                return Err(Failure::new(Exit::Conflict, words));
            }
            tokio::time::sleep(LOOK).await;
        }
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
            self.prestage()?;
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
}
