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
use crate::client::pull::update_check::Action;

/// The reason of an answer after which nothing is fetched any more.
const WITHDRAWN: &str = "withdrawn";

/// The outcome of a round.
#[derive(Debug)]
pub struct Outcome {
    /// The revision in use.
    pub revision: Option<u64>,
    /// True if it was another one before the round.
    pub is_new: bool,
    /// The answer of the depot, for people: `update newer_revision`.
    pub answer: String,
    /// The reason why what the depot offers is not in use yet.
    pub waits_for: Option<String>,
    /// The way in which the command, or the MED-V client's store, failed.
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
        if let Err(failure) = self.prestage().await {
            failed = failed.or_else(|| Some(failure.to_string()));
        }
        let mut answer = self.check(depot).await?;
        let mut waits_for = self.left_alone(&answer);
        if let Some(plan) = self.wanted(&answer) {
            let begun = Instant::now();
            self.note_waiting(None)?;
            match self.bring_here_or_tell(depot, plan, &answer).await {
                Err(failure) if is_outside_hours(&failure) => {
                    waits_for = Some("the hours for fetching".to_owned());
                }
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
        } else if answer.action == Action::None || answer.reason == WITHDRAWN {
            // While it is merely held, or waits, it may be gone on with.
            self.layout.clear_incoming()?;
        }
        self.note_waiting(waits_for.clone())?;
        let revision = self.layout.current();
        Ok(Outcome {
            revision,
            is_new: revision != before,
            answer: words(&answer),
            waits_for,
            failed,
            wait: answer.check_after(),
        })
    }
}
