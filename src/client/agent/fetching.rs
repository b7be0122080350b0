//! Brings the files of a revision here, whole and verified, and makes room for them.

use std::time::Duration;

use super::depot::Depot;
use super::kept_image::{KeptImage, since_1970};
use super::record::{Report, Status, WrongBytes};
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::update_check::Answer;

/// The time after which a revision whose bytes were wrong is fetched again, doubled each time up to the longest: they may
/// be twenty gigabytes.
const FIRST_REPEAT: Duration = Duration::from_mins(15);
const LONGEST_REPEAT: Duration = Duration::from_hours(24);

impl KeptImage {
    /// Fetches a revision, unless it is here, and reports why it cannot be had. Returns the bytes that came over the
    /// network.
    pub(super) async fn bring_here_or_tell(
        &mut self,
        depot: &Depot,
        plan: &FetchPlan,
        answer: &Answer,
    ) -> Result<u64, Failure> {
        let brought = self.bring_here_or_make_room(depot, plan, answer.is_urgent).await;
        if let Err(failure) = &brought
            // A line that breaks says nothing about the revision.
            && matches!(failure.exit(), Exit::Verification | Exit::Storage)
        {
            let error = failure.to_string();
            self.note_failure(plan.revision, &error);
            if failure.exit() == Exit::Verification {
                self.put_off(plan.revision, answer.epoch);
            }
            let report = self.report(plan.revision, Status::Failed);
            self.held.record.add_report(Report { error: Some(error), ..report });
            // The failure of the fetch is the one to tell.
            let _kept = self.held.keep();
            let _sent = self.send_reports(depot).await;
        }
        brought
    }

    fn put_off(&mut self, revision: u64, epoch: u64) {
        let before = self
            .held
            .record
            .wrong_bytes
            .filter(|wrong| (wrong.revision, wrong.epoch) == (revision, epoch));
        let times = before.map_or(1, |wrong| wrong.times.saturating_add(1));
        let wait = FIRST_REPEAT.saturating_mul(1 << (times - 1).min(16)).min(LONGEST_REPEAT);
        let not_before = (since_1970() + wait).as_secs();
        self.held.record.wrong_bytes = Some(WrongBytes { revision, epoch, times, not_before });
    }

    /// Fetches a revision. If the disk is too small, older revisions that are only kept make room, one after the other.
    async fn bring_here_or_make_room(
        &self,
        depot: &Depot,
        plan: &FetchPlan,
        is_urgent: bool,
    ) -> Result<u64, Failure> {
        loop {
            let failure = match self.bring_here(depot, plan, is_urgent).await {
                Err(failure) if failure.is_no_room() => failure,
                brought => return brought,
            };
            let (in_use, all) = (self.layout.current(), self.layout.revisions());
            let is_only_kept = |number: &&u64| Some(**number) != in_use;
            let Some(oldest) = all.iter().rfind(is_only_kept) else { return Err(failure) };
            depot.note(&format!("{failure}; revision {oldest}, which is not in use, makes room"));
            let kept: Vec<_> = all.iter().copied().filter(|number| number != oldest).collect();
            self.layout.keep_only(&kept)?;
        }
    }

    /// Returns the bytes that came over the network.
    async fn bring_here(
        &self,
        depot: &Depot,
        plan: &FetchPlan,
        is_urgent: bool,
    ) -> Result<u64, Failure> {
        let revision = plan.revision;
        if self.layout.has(revision)
            && depot.is_whole(plan, &self.layout.folder_of(revision)).await?
        {
            return Ok(0);
        }
        depot.may_fetch(is_urgent)?;
        let _unread = depot.report(&self.report(revision, Status::Downloading)).await;
        let others: Vec<_> = self
            .layout
            .revisions()
            .into_iter()
            .map(|number| self.layout.folder_of(number))
            .collect();
        let incoming = self.layout.incoming(revision)?;
        let fetched = depot.fetch(plan, is_urgent, &incoming, &others).await?;
        if self.layout.has(revision) {
            // It is damaged, and not in use: that one is never fetched.
            let kept: Vec<_> =
                self.layout.revisions().into_iter().filter(|other| *other != revision).collect();
            self.layout.keep_only(&kept)?;
        }
        let names: Vec<_> = plan.files.iter().map(|file| file.name.as_str()).collect();
        self.layout.install(revision, &names)?;
        Ok(fetched)
    }
}
