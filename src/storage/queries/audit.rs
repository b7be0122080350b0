//! The record of who changed what.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{all, execute, optional};
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
    pub client_address: Option<String>,
    /// Its place in the chain, from 1; none in rows of versions that had no chain.
    pub sequence: Option<i64>,
    /// Over the row and the hash of the one before it.
    pub hash: Option<String>,
}

/// The newest row of the chain.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditHead {
    pub sequence: i64,
    /// Empty before the first row.
    pub hash: String,
}

impl Tx {
    /// The newest row, locked: whoever appends next waits for this transaction's end.
    pub async fn lock_audit_head(&mut self) -> Result<Option<AuditHead>, StorageError> {
        execute!(self, "update audit_head set sequence = sequence where id = 1")?;
        self.audit_head().await
    }

    pub async fn audit_head(&mut self) -> Result<Option<AuditHead>, StorageError> {
        optional!(self, "select sequence, hash from audit_head where id = 1")
    }

    /// Appends a row and makes it the newest.
    pub async fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into audit (id, at, caller, action, subject, state_before, state_after, request_id, \
             client_address, sequence, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            row.id,
            row.at,
            &row.caller,
            &row.action,
            &row.subject,
            &row.state_before,
            &row.state_after,
            &row.request_id,
            &row.client_address,
            row.sequence,
            &row.hash,
        )?;
        execute!(
            self,
            "update audit_head set sequence = $1, hash = $2 where id = 1",
            row.sequence,
            &row.hash
        )?;
        Ok(())
    }

    /// Newest first, those before `before`.
    pub async fn audit_before(
        &mut self,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StorageError> {
        all!(self, "select * from audit where id < $1 order by id desc limit $2", before, limit)
    }

    /// Rows of the chain in its order, those after `after`.
    pub async fn audit_chain_after(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StorageError> {
        all!(
            self,
            "select * from audit where sequence > $1 order by sequence limit $2",
            after,
            limit
        )
    }

    /// Rows outside of the chain, the oldest first, those after `after`.
    pub async fn audit_unchained_after(
        &mut self,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StorageError> {
        all!(
            self,
            "select * from audit where sequence is null and id > $1 order by id limit $2",
            after,
            limit
        )
    }
}
