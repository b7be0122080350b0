//! The audit. Every change writes a row (actor, action, subject, state before and after) in its own transaction. Of the
//! states before and after, the row keeps what differs, within limits (`difference`). The rows form a [`chain`], whose
//! beginning may be pruned ([`prune`]). Refused log-ins leave rows, too ([`refused_logins`]).

pub mod chain;
mod difference;
pub mod prune;
mod recorder;
pub mod refused_logins;

use chrono::SubsecRound as _;
use serde::Serialize;
use sqlx::types::Json;

use super::events::{News, of_change};
use super::{Actor, Catalog, Result};
use crate::storage::{AuditFilter, AuditRow, Tx};

/// The action of a row, its subject and its actor.
pub(crate) struct Entry<'a> {
    /// The noun and verb: `revision.seal`.
    pub action: &'static str,
    /// The path of the resource below `/api/v1`.
    pub subject: String,
    pub actor: &'a Actor,
}

impl Catalog {
    /// Adds a row to the audit, which is written with the commit. `before` and `after` must not contain secrets:
    /// callers pass what the API would show. A change that people are told of becomes an event, too ([`of_change`]).
    pub(crate) fn audit(
        &self,
        tx: &mut Tx,
        entry: Entry<'_>,
        before: Option<&impl Serialize>,
        after: Option<&impl Serialize>,
    ) {
        let before = before.and_then(|state| serde_json::to_value(state).ok());
        let after = after.and_then(|state| serde_json::to_value(state).ok());
        let place = of_change::place(&entry.subject, before.as_ref(), after.as_ref());
        let (before, after) = difference::kept(before, after);
        if let Some(kind) = of_change::event_type(entry.action) {
            let data = of_change::data(before.as_ref(), after.as_ref());
            let Entry { subject, actor, .. } = &entry;
            self.tell_readers(
                tx,
                News { kind, actor: &actor.name, subject: subject.clone(), place, data },
            );
        }
        tx.note_for_audit(AuditRow {
            id: self.ids.next(),
            // With the precision of PostgreSQL; otherwise the hash could not be computed again from the stored row.
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

    /// Returns the rows before the sequence number `before` that the filter covers, newest first.
    pub async fn audit_rows(
        &self,
        before: Option<i64>,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<AuditRow>> {
        let mut tx = self.db.read().await?;
        Ok(tx.audit_before(before.unwrap_or(i64::MAX), filter, limit).await?)
    }
}

/// The state for changes that have nothing before or after them.
pub(crate) const NOTHING: Option<&()> = None;
