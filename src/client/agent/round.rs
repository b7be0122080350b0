//! A round of an image: checking, fetching, changing and reporting.
//!
//! A round may be cut off anywhere, by SIGKILL or a power failure; the next one goes on from what is in the folder and in
//! the record. A change is written down before `current` is swapped, and its command's start and end, each before the next
//! step.

use std::time::{Duration, Instant};

use super::depot::Depot;
use super::kept_image::{KeptImage, words};
use crate::client::bandwidth::is_outside_hours;
use crate::client::error::Failure;

/// The outcome of a round.
#[derive(Debug)]
pub struct Outcome {
    /// The revision in use.
    pub revision: Option<u64>,
    /// True if it was another one before the round.
    pub is_new: bool,
    /// The answer of the depot, for people: `update newer_revision`.
    pub answer: String,
    /// True if something is to be fetched in the hours for it.
    pub waits_for_hours: bool,
    /// The way in which the command failed.
    pub failed: Option<String>,
    /// The time until this client's slot.
    pub wait: Duration,
}

impl KeptImage {
    /// Checks once, and does what the depot says.
    pub async fn round(&mut self, depot: &Depot) -> Result<Outcome, Failure> {
        let before = self.layout.current();
        let mut failed = self.finish_change().await?;
        self.send_reports(depot).await?;
        let mut answer = self.check(depot).await?;
        let mut waits_for_hours = false;
        if let Some(plan) = self.wanted(&answer) {
            let begun = Instant::now();
            match self.bring_here_or_tell(depot, plan, &answer).await {
                Err(failure) if is_outside_hours(&failure) => waits_for_hours = true,
                Err(failure) => return Err(failure),
                Ok(bytes) => {
                    // Fetching may take days: what is wanted now counts, in this window, of this rollout.
                    let again = self.check(depot).await?;
                    if self.wanted(&again).map(|plan| plan.revision) == Some(plan.revision) {
                        self.note_change(plan.revision, &again, bytes, begun.elapsed())?;
                        failed = self.finish_change().await?.or(failed);
                        self.send_reports(depot).await?;
                    }
                    answer = again;
                }
            }
        }
        let revision = self.layout.current();
        Ok(Outcome {
            revision,
            is_new: revision != before,
            answer: words(&answer),
            waits_for_hours,
            failed,
            wait: answer.check_after(),
        })
    }
}
