//! `/audit`: who changed what.

use actix_web::get;
use actix_web::web::{Data, Query};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{Problem, ReadRefusals};
use super::depot::Depot;
use crate::access::permission::Administer;
use crate::storage::AuditRow;

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e", "at": "2026-01-05T10:00:00Z", "caller": "admin",
    "action": "channel.promote", "subject": "images/win7-office/channels/production",
    "before": {"revision": 11, "epoch": 16, "mandatory": false},
    "after": {"revision": 12, "epoch": 17, "mandatory": false},
    "request_id": "0198f2a4c3d47e0b9d3a6f1e2b4c5d6e", "client_address": "192.0.2.17", "sequence": 4711,
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
}))]
pub struct AuditEntry {
    id: Uuid,
    at: DateTime<Utc>,
    caller: String,
    /// Noun and verb.
    action: String,
    /// The path of what was changed, below `/api/v1`.
    subject: String,
    #[schema(required = true)]
    before: Option<serde_json::Value>,
    #[schema(required = true)]
    after: Option<serde_json::Value>,
    #[schema(required = true)]
    request_id: Option<String>,
    /// Where the request came from; null for the command line and the server's own work.
    #[schema(required = true)]
    client_address: Option<String>,
    /// Its place in the chain.
    #[schema(required = true)]
    sequence: Option<i64>,
    /// Over the row and the hash of the one before it; `imagedepot audit verify` checks all of them.
    #[schema(required = true)]
    hash: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            caller: row.caller,
            action: row.action,
            subject: row.subject,
            before: row.state_before.map(|state| state.0),
            after: row.state_after.map(|state| state.0),
            request_id: row.request_id,
            client_address: row.client_address,
            sequence: row.sequence,
            hash: row.hash,
        }
    }
}

/// List changes
///
/// Every change of the catalog, newest first, with what was before and after.
#[utoipa::path(tag = "maintenance", operation_id = "list_audit", params(PageQuery), responses(
    (status = 200, description = "A page of changes", body = Page<AuditEntry>), ReadRefusals
))]
#[get("/audit")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<AuditEntry>, Problem> {
    caller.sees_all_images()?;
    let rows = depot.catalog.audit_rows(page.position()?, page.fetch()?).await?;
    page.page(rows, |row| row.id, Into::into)
}
