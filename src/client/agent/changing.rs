//! Puts a revision whose files are all here into use: swaps the link, runs the command, goes back if that is asked, and
//! removes what is not kept.

use std::fs::File;
use std::time::{Duration, Instant};

use super::command::Told;
use super::kept_image::KeptImage;
use super::prestaged::Store;
use super::record::{Change, Prestaged, Refused, Report, Run, Status};
use super::settings::IfItFails;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::download::blocking;
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
        let before = self.held.record.clone();
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
        // A change that is not on stable storage is none: the next round asks again.
        let kept = self.held.keep();
        match &kept {
            Ok(()) => self.is_new_change = true,
            Err(_) => self.held.record = before,
        }
        kept
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
        }
        let not_prestaged = self.prestage().await.err().map(|failure| failure.to_string());
        let of_command = self.run_command(&change).await?;
        let leads_back = of_command.is_some();
        let error = of_command.or(not_prestaged);
        let status = if error.is_some() { Status::Failed } else { Status::Applied };
        match &error {
            None => self.held.record.last_failure = None,
            Some(error) => {
                self.note_failure(change.to, error);
                if leads_back {
                    self.go_back_if_asked(&change)?;
                    // The round after this one tells if that is not possible.
                    let _told_later = self.prestage().await;
                }
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
    pub(super) async fn prestage(&mut self) -> Result<(), Failure> {
        let before = self.held.record.prestaged.clone();
        let wanted = match (&self.settings.prestage_to, self.layout.current()) {
            (None, _) => Prestaged::default(),
            (Some(_), None) => return Ok(()),
            (Some(folder), Some(revision)) => {
                Prestaged { folder: folder.clone(), names: self.layout.files_of(revision)? }
            }
        };
        let is_elsewhere = before.folder != wanted.folder;
        let mut old = before.names.clone();
        old.retain(|name| is_elsewhere || !wanted.names.contains(name));
        if is_elsewhere && !old.is_empty() {
            Store::in_folder(&before.folder).remove(&old)?;
            old.clear();
        }
        let names = [old.as_slice(), &wanted.names].concat();
        self.note_prestaged(Prestaged { folder: wanted.folder.clone(), names })?;
        if let Some(revision) = self.layout.current().filter(|_| !wanted.names.is_empty()) {
            let (from, to) = (self.layout.folder_of(revision), wanted.clone());
            blocking(move || Store::in_folder(&to.folder).lay(&from, &to.names)).await?;
            Store::in_folder(&wanted.folder).remove(&old)?;
        }
        self.note_prestaged(wanted)
    }

    fn note_prestaged(&mut self, prestaged: Prestaged) -> Result<(), Failure> {
        if self.held.record.prestaged == prestaged {
            return Ok(());
        }
        self.held.record.prestaged = prestaged;
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
        let lock = self.run_lock(attempt, command.time_limit()).await?;
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

    /// Returns the lock that a command holds while it runs. An attempt that was cut off may have left its command running:
    /// it is waited for, but no longer than its own time limit.
    async fn run_lock(&self, attempt: u32, patience: Duration) -> Result<File, Failure> {
        let until = Instant::now() + patience;
        while attempt > 1 && Instant::now() < until {
            if let Some(lock) = self.layout.take_run_lock()? {
                return Ok(lock);
            }
            tokio::time::sleep(LOOK).await;
        }
        self.layout.new_run_lock()?.ok_or_else(|| {
            Failure::new(Exit::Conflict, "another command of this image was started just now")
        })
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
}
