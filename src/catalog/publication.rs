//! Publication: the physical tree follows the catalog.
//!
//! One reconciler looks at what the catalog wants, what it put there before and what is there, makes
//! a [`plan`] and carries it out. It holds nothing in memory between runs, so a crash at any point is
//! repaired by the next run. Files appear complete, `.ckm` before `.ckm.index`; they go in the
//! reverse order, the `.ckm` after a grace. What is right is not touched, what is foreign not deleted.

mod carry_out;
mod look;
pub mod plan;

use std::time::Duration;

use super::{Catalog, Result};
use crate::model::Publication;
use plan::Plan;

/// Without a bell the tree is looked at so often: somebody may have deleted a file.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// After a failure, such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Catalog {
    pub(super) fn tree_is_due(&self) {
        self.shared.tree_is_due.notify_one();
    }

    /// Keeps the tree up with the catalog, until cancelled.
    pub async fn keep_publishing(&self) {
        loop {
            let wait = match self.reconcile().await {
                Ok(plan) => self.until_next_withdrawal(&plan).min(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(%error, "the tree could not be brought up to date; trying again");
                    RETRY_AFTER
                }
            };
            let _either = tokio::time::timeout(wait, self.shared.tree_is_due.notified()).await;
        }
    }

    fn until_next_withdrawal(&self, plan: &Plan) -> Duration {
        let next =
            plan.next_withdrawal.map(|at| (at - self.clock.now()).to_std().unwrap_or_default());
        next.unwrap_or(LOOK_EVERY)
    }

    /// What there is in the tree by the catalog's own record, in the order of the paths.
    pub async fn publications(&self, after: &str, limit: i64) -> Result<Vec<Publication>> {
        Ok(self.db.read().await?.publications_after(after, limit).await?)
    }

    /// Makes the tree what the catalog says, and tells what was done. A file that cannot be made holds
    /// up what would speak of it and nothing else; the error is the first one met.
    pub async fn reconcile(&self) -> Result<Plan> {
        let _one_at_a_time = self.shared.reconciling.lock().await;
        let plan = self.plan().await?;
        self.carry_out(&plan).await?;
        Ok(plan)
    }
}
