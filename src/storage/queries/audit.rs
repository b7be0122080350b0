//! The record of who changed what.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{all, execute};
use crate::storage::{StorageError, Tx};

/// One change, as it is kept.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AuditRow {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub caller: String,
    pub action: String,
    pub subject: String,
    pub state_before: Option<Json<Value>>,
    pub state_after: Option<Json<Value>>,
    pub request_id: Option<String>,
}

impl Tx {
    pub async fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into audit (id, at, caller, action, subject, state_before, state_after, request_id) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            row.id,
            row.at,
            &row.caller,
            &row.action,
            &row.subject,
            &row.state_before,
            &row.state_after,
            &row.request_id,
        )?;
        Ok(())
    }

    /// Newest first, those before `before`.
    pub async fn audit_before(&mut self, before: Uuid, limit: i64) -> Result<Vec<AuditRow>, StorageError> {
        all!(self, "select * from audit where id < $1 order by id desc limit $2", before, limit)
    }
}
