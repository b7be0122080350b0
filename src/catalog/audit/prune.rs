//! Pruning: old rows of the audit are removed, and the rest is still one chain. It begins after an anchor, which holds
//! the place and hash of the last removed row. The anchor, the removal and a row that records them (`audit.prune`) are
//! one step.
//!
//! Only the beginning of the chain is removed, and only intact rows: pruning must not remove the traces of someone who
//! has altered a row.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};
use crate::storage::{AuditHead, StorageError, Tx};

/// The action of the row that records a pruning.
pub(super) const ACTION: &str = "audit.prune";

/// The number of rows that are removed in one step.
const BATCH: u16 = 500;

/// The number of steps of one sweep. The next sweep continues.
const STEPS_OF_A_SWEEP: usize = 100;

/// The time by which rows may become older than the rule says, at most a tenth of the time for which they are kept.
/// Each step adds a row, so a step for each removed row would not reduce their number.
const SLACK: TimeDelta = TimeDelta::days(1);

/// The rows that were removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    pub rows: u64,
    /// The last row that was removed, now or before; 0 and empty if there is none.
    pub anchor: AuditHead,
}

/// The oldest rows of the chain, one batch of them.
struct Oldest {
    rows: u16,
    last: AuditHead,
    /// The time when the oldest row was written, whether it may be removed or not.
    begun_at: Option<DateTime<Utc>>,
}

impl Catalog {
    /// Returns what [`Self::prune_audit`] would remove.
    pub async fn prunable_audit_rows(&self, before: DateTime<Utc>) -> Result<Pruned> {
        let mut tx = self.db.read().await?;
        let mut pruned = Pruned { rows: 0, anchor: tx.audit_anchor().await? };
        loop {
            let oldest = oldest(&mut tx, &pruned.anchor, before).await?;
            pruned.rows += u64::from(oldest.rows);
            pruned.anchor = oldest.last;
            if oldest.rows < BATCH {
                return Ok(pruned);
            }
        }
    }

    /// Removes the rows from the oldest one up to, but not including, the first one that was written at `before` or
    /// later.
    pub async fn prune_audit(&self, actor: &Actor, before: DateTime<Utc>) -> Result<Pruned> {
        self.prune_in_steps(actor, before, usize::MAX).await
    }

    /// Removes the rows that are older than `audit.keep`.
    pub(crate) async fn prune_audit_by_rule(&self) -> Result<()> {
        let keep = TimeDelta::from_std(self.rules().audit.keep).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.clock.now().checked_sub_signed(keep).filter(|_| !keep.is_zero())
        else {
            return Ok(());
        };
        let mut tx = self.db.read().await?;
        let anchor = tx.audit_anchor().await?;
        let begun_at = oldest(&mut tx, &anchor, before).await?.begun_at;
        drop(tx);
        let slack = SLACK.min(keep / 10);
        if begun_at.is_none_or(|at| at >= before - slack) {
            return Ok(());
        }
        let actor = Actor::system("sweep");
        let pruned = self.prune_in_steps(&actor, before, STEPS_OF_A_SWEEP).await?;
        tracing::info!(rows = pruned.rows, "pruned the audit as audit.keep says");
        Ok(())
    }

    async fn prune_in_steps(
        &self,
        actor: &Actor,
        before: DateTime<Utc>,
        steps: usize,
    ) -> Result<Pruned> {
        let mut pruned = Pruned { rows: 0, anchor: AuditHead::default() };
        for _ in 0..steps {
            let mut tx = self.db.write_to_free().await?;
            // Prevents other prunings meanwhile.
            tx.lock_audit().await?;
            pruned.anchor = tx.audit_anchor().await?;
            let Oldest { rows, last, .. } = oldest(&mut tx, &pruned.anchor, before).await?;
            if rows == 0 {
                break;
            }
            tx.prune_audit(&last).await?;
            let entry = Entry { action: ACTION, subject: "audit".to_owned(), actor };
            let after = json!({
                "sequence": last.sequence, "hash": last.hash, "rows": rows, "older_than": before,
            });
            self.audit(&mut tx, entry, NOTHING, Some(&after));
            tx.commit().await?;
            pruned = Pruned { rows: pruned.rows + u64::from(rows), anchor: last };
            if rows < BATCH {
                break;
            }
        }
        Ok(pruned)
    }
}

/// Returns the rows after the anchor that were written before `before`. Refuses if one of them is not intact.
async fn oldest(tx: &mut Tx, anchor: &AuditHead, before: DateTime<Utc>) -> Result<Oldest> {
    let page = tx.audit_chain_after(anchor.sequence, BATCH.into()).await?;
    let mut oldest =
        Oldest { rows: 0, last: anchor.clone(), begun_at: page.first().map(|row| row.at) };
    for row in page.iter().take_while(|row| row.at < before) {
        oldest.last = oldest.last.if_followed_by(row).ok_or_else(|| {
            StorageError::Damaged(format!(
                "the audit was altered after row {}, so it is not pruned: run `imagedepot audit verify`",
                oldest.last.sequence
            ))
        })?;
        oldest.rows += 1;
    }
    Ok(oldest)
}
