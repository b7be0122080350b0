//! Publication: keeps the physical tree up to date with the catalog.
//!
//! A reconciler compares what the catalog wants, what it has put into the tree before and what is there, makes a
//! [`plan`] and carries it out. It keeps nothing in memory between runs, so the next run repairs a crash at any point.
//! Files appear complete, `.ckm` before `.ckm.index`. They are removed in reverse order, the `.ckm` after a grace
//! period. Correct files are not touched, and foreign files are not deleted.

mod apply;
mod inventory;
pub mod plan;
pub mod signed_files;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::events::{News, of_error};
use super::job::{Done, Round, Trigger};
use super::{Catalog, Error, Result};
use crate::model::event::EventPlace;
use crate::model::{EventType, Job, metric};
use crate::storage::ListedPublication;
use plan::{Plan, Step};

/// The interval at which the tree is checked without a signal, because someone may have deleted a file.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The delay after a failure, such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Catalog {
    pub(crate) fn tree_is_due(&self) {
        self.shared.tree_is_due.notify_one();
        self.shared.signing_is_due.notify_one();
    }

    /// Keeps the tree up to date with the catalog, until cancelled. Of several servers, one does it.
    pub async fn keep_publishing(&self) {
        // The first round is at once, because the tree may have changed while no server was running.
        let mut wanted = Trigger::Now;
        loop {
            let round = self.do_round(Job::Publish, wanted, RETRY_AFTER, self.reconcile_once());
            let wait = match round.await {
                Ok(Round::Done(plan)) => self.until(self.next_round(&plan)),
                Ok(Round::NotBefore(at)) => {
                    // The steps that this server left undone now belong to another one.
                    steps_due(0);
                    self.until(at).min(LOOK_EVERY)
                }
                Err(error) => {
                    tracing::error!(%error, "the tree could not be brought up to date; the server tries again");
                    RETRY_AFTER
                }
            };
            let _either = tokio::time::timeout(wait, self.shared.tree_is_due.notified()).await;
            wanted = Trigger::For { version: self.snapshot().version() };
        }
    }

    fn next_round(&self, plan: &Plan) -> DateTime<Utc> {
        let look = self.clock.now() + LOOK_EVERY;
        let due = plan.next_withdrawal.into_iter().chain(plan.next_document);
        due.fold(look, DateTime::min)
    }

    /// Returns the catalog's records of what is in the tree, in the order of the paths.
    pub async fn publications(&self, after: &str, limit: i64) -> Result<Vec<ListedPublication>> {
        Ok(self.db.read().await?.publications_after(after, limit).await?)
    }

    /// Brings the tree up to date with the catalog, and reports what was done. A file that cannot be created only
    /// delays steps that would refer to it. The error is the first one that occurred.
    pub async fn reconcile(&self) -> Result<Plan> {
        self.do_round_now(Job::Publish, RETRY_AFTER, || self.reconcile_once()).await
    }

    async fn reconcile_once(&self) -> Result<Done<Plan>> {
        let done = self.look_and_carry_out().await;
        match &done {
            Ok(done) => self.note_publication(in_the_way(&done.result)),
            // That is a problem of the catalog, not of the tree.
            Err(error) if error.is_database_unreachable() => {}
            Err(error) => {
                let what = "the last update of the tree is not complete; the server's log says why";
                if self.shared.parts.publication_failed.load().is_none() {
                    self.tell_readers_alone(failed(error)).await;
                }
                self.note_publication(Some(what.to_owned()));
            }
        }
        done
    }

    /// Records the outcome of a round. `trouble` is a sentence about what it has left undone.
    fn note_publication(&self, trouble: Option<String>) {
        let noted = trouble.map(|what| Arc::new((what, self.clock.now())));
        self.shared.parts.publication_failed.store(noted);
    }

    async fn look_and_carry_out(&self) -> Result<Done<Plan>> {
        let version = self.snapshot().version();
        let mut plan = self.plan().await?;
        steps_due(plan.steps.len());
        self.carry_out(&plan).await?;
        steps_due(0);
        // Last, because the signed files describe all others.
        if let Some(date) = self.write_signed_files().await? {
            plan.write_later(date);
        }
        let due_at = self.next_round(&plan);
        Ok(Done { result: plan, version, due_at })
    }
}

fn failed(error: &Error) -> News<'static> {
    News {
        kind: EventType::PublicationFailed,
        actor: "system:publication",
        subject: "publications".to_owned(),
        place: EventPlace::default(),
        data: of_error(error),
    }
}

/// Describes the conflicts, which only a person can resolve.
fn in_the_way(plan: &Plan) -> Option<String> {
    let conflicts = plan.steps.iter().filter(|step| matches!(step, Step::Conflict { .. })).count();
    (conflicts > 0)
        .then(|| format!("{conflicts} files that imagedepot did not make block published files"))
}

fn steps_due(count: usize) {
    metric::TREE_STEPS_DUE.set(u32::try_from(count).unwrap_or(u32::MAX).into());
}
