//! Old rows of the audit go, and the chain stays one: what is left begins behind an anchor, the place and hash of the last
//! row that went. Anchor, removal and a row that tells of them (`audit.prune`) are one step.
//!
//! Only the beginning of the chain goes, and only rows that are what was written: pruning must not take away the traces of
//! somebody who altered one.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};
use crate::storage::{AuditHead, StorageError, Tx};

/// The action of the row that tells of it.
pub(super) const ACTION: &str = "audit.prune";

/// Rows that go in one step.
const BATCH: u16 = 500;

/// Steps of one sweep; the next goes on.
const STEPS_OF_A_SWEEP: usize = 100;

/// The rule lets rows become older by this, or by a tenth of the time that they are kept: each step leaves a row, and a row
/// for every row that goes would be none less.
const SLACK: TimeDelta = TimeDelta::days(1);

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    pub rows: u64,
    /// Of the last row that went, by now or before; 0 and empty where none did.
    pub anchor: AuditHead,
}

/// The oldest rows of the chain, one batch of them.
struct Oldest {
    rows: u16,
    last: AuditHead,
    /// When the oldest was written, whether it may go or not.
    begun_at: Option<DateTime<Utc>>,
}

impl Catalog {
    /// What [`Self::prune_audit`] would remove.
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

    /// Removes the rows from the oldest on to the first that was written at `before` or later.
    pub async fn prune_audit(&self, actor: &Actor, before: DateTime<Utc>) -> Result<Pruned> {
        self.prune_in_steps(actor, before, usize::MAX).await
    }

    /// Removes what `audit.keep` does not keep.
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
        tracing::info!(rows = pruned.rows, "pruned the audit by audit.keep");
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
            // Nobody else prunes meanwhile.
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

/// Those behind the anchor that were written before then; refuses where one of them is not what was written.
async fn oldest(tx: &mut Tx, anchor: &AuditHead, before: DateTime<Utc>) -> Result<Oldest> {
    let page = tx.audit_chain_after(anchor.sequence, BATCH.into()).await?;
    let mut oldest =
        Oldest { rows: 0, last: anchor.clone(), begun_at: page.first().map(|row| row.at) };
    for row in page.iter().take_while(|row| row.at < before) {
        oldest.last = oldest.last.if_followed_by(row).ok_or_else(|| {
            StorageError::Damaged(format!(
                "the audit is not what was written behind row {}, and is not pruned: see `imagedepot audit verify`",
                oldest.last.sequence
            ))
        })?;
        oldest.rows += 1;
    }
    Ok(oldest)
}
