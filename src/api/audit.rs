//! `/audit`: the record of who changed what.

use actix_web::get;
use actix_web::web::{Data, Query};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{Code, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::Administer;
use crate::storage::{AuditFilter, AuditRow};

/// A change of the catalog.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct AuditEntry {
    id: Uuid,
    at: DateTime<Utc>,
    caller: String,
    /// The noun and the verb of the change, such as `channel.promote`.
    action: String,
    /// The path of the changed resource, below `/api/v1`.
    subject: String,
    #[schema(required = true)]
    before: Option<serde_json::Value>,
    #[schema(required = true)]
    after: Option<serde_json::Value>,
    #[schema(required = true)]
    request_id: Option<String>,
    /// The address of the client; null for the command line and the server's own work.
    #[schema(required = true)]
    client_address: Option<String>,
    /// The position of the entry in the chain.
    #[schema(required = true)]
    sequence: Option<i64>,
    /// The hash over this entry and the hash of the previous one; `imagedepot audit verify` checks all of them.
    #[schema(required = true)]
    hash: Option<String>,
}

impl AuditEntry {
    fn sample() -> Self {
        let assigned = |revision, epoch| json!({"revision": revision, "epoch": epoch});
        Self {
            id: sample::ID,
            at: sample::time("2026-01-05T10:00:00Z"),
            caller: sample::ADMIN.to_owned(),
            action: "channel.promote".to_owned(),
            subject: "images/win7-office/channels/production".to_owned(),
            before: Some(assigned(11, 16)),
            after: Some(assigned(12, 17)),
            request_id: Some(sample::ID.simple().to_string()),
            client_address: Some("192.0.2.17".to_owned()),
            sequence: Some(4711),
            hash: Some(
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            ),
        }
    }
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

/// The conditions of a list of changes. All that are given have to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The caller that made the change.
    #[param(example = "alice")]
    caller: Option<String>,
    /// The path of a resource, below `/api/v1`. Changes of what lies below it are listed, too.
    #[param(example = "images/win7-office")]
    subject: Option<String>,
    /// The noun and the verb of the change, with `*` for any run of characters.
    #[param(example = "channel.*")]
    action: Option<String>,
    /// Changes at or after this time.
    since: Option<DateTime<Utc>>,
    /// Changes before this time.
    until: Option<DateTime<Utc>>,
}

impl AuditQuery {
    /// Returns the conditions. A text with a NUL is refused: none is on record, and PostgreSQL fails on one.
    fn filter(self) -> Result<AuditFilter, Problem> {
        let Self { caller, subject, action, since, until } = self;
        if [&caller, &subject, &action].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Problem::new(Code::BadQuery, "the query is invalid: a text contains NUL"));
        }
        Ok(AuditFilter { caller, subject, action, since, until })
    }
}

/// List changes
///
/// Returns every change of the catalog, newest first, with the state of the changed resource before and after it. Of
/// long values only the length and the SHA-256 digest are kept.
#[utoipa::path(tag = "maintenance", operation_id = "list_audit", params(PageQuery, AuditQuery), responses(
    (status = 200, description = "A page of changes", body = Page<AuditEntry>), ReadRefusals
))]
#[get("/audit")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
    query: Query<AuditQuery>,
) -> Result<Page<AuditEntry>, Problem> {
    caller.sees_all_images()?;
    let filter = query.into_inner().filter()?;
    let rows = depot.catalog.audit_rows(page.position()?, &filter, page.fetch()?).await?;
    page.page(rows, |row| row.sequence, Into::into)
}
