//! Every change leaves a row: who, what, before, after; in the change's own transaction. Of before and after it keeps what
//! differs, within bounds (`difference`). The rows form a [`chain`], whose beginning may be pruned ([`prune`]). Log-ins that
//! were refused leave rows, too ([`refused_logins`]).

pub mod chain;
mod difference;
pub mod prune;
mod recorder;
pub mod refused_logins;

use chrono::SubsecRound as _;
use serde::Serialize;
use sqlx::types::Json;

use super::{Actor, Catalog, Result};
use crate::storage::{AuditRow, Tx};

/// What was done, and to what.
pub(crate) struct Entry<'a> {
    /// Noun and verb: `revision.seal`.
    pub action: &'static str,
    /// The path of the resource below `/api/v1`.
    pub subject: String,
    pub actor: &'a Actor,
}

impl Catalog {
    /// The row is written with the commit. Secrets have no place in `before` and `after`: callers pass what the API
    /// would show.
    pub(crate) fn audit(
        &self,
        tx: &mut Tx,
        entry: Entry<'_>,
        before: Option<&impl Serialize>,
        after: Option<&impl Serialize>,
    ) {
        let (before, after) = difference::kept(
            before.and_then(|state| serde_json::to_value(state).ok()),
            after.and_then(|state| serde_json::to_value(state).ok()),
        );
        tx.note_for_audit(AuditRow {
            id: self.ids.next(),
            // As exact as PostgreSQL keeps it, or the hash would not be found again.
            at: self.clock.now().trunc_subsecs(6),
            caller: entry.actor.name.clone(),
            action: entry.action.to_owned(),
            subject: entry.subject,
            state_before: before.map(Json),
            state_after: after.map(Json),
            request_id: entry.actor.request_id.clone(),
            client_address: entry.actor.address.clone(),
            sequence: None,
            hash: None,
        });
    }

    /// Newest first, those before the sequence `before`.
    pub async fn audit_rows(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditRow>> {
        let mut tx = self.db.read().await?;
        Ok(tx.audit_before(before.unwrap_or(i64::MAX), limit).await?)
    }
}

/// For changes that have nothing before or after them.
pub(crate) const NOTHING: Option<&()> = None;
