//! The answers that were given under an `Idempotency-Key`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{execute, insert, optional};
use crate::model::row::from_row;
use crate::storage::{StorageError, Tx};

/// The answer as it was sent, to be sent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RememberedAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The record of a key.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// The digest of the request that came with the key.
    pub fingerprint: String,
    /// The answer; none while the first request is in progress, and forever if its server was stopped.
    pub answer: Option<Json<RememberedAnswer>>,
    pub instance: Uuid,
}

from_row!(Remembered { fingerprint, answer, instance });

impl Tx {
    /// Claims a key for a request. Returns `Duplicate` if the caller has used the key before.
    pub async fn claim_idempotency_key(
        &mut self,
        caller: &str,
        key: &str,
        fingerprint: &str,
        instance: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        insert!(self, "idempotency", {
            caller: caller,
            key: key,
            fingerprint: fingerprint,
            instance: instance,
            created_at: now,
        })?;
        Ok(())
    }

    /// Forgets all but the newest `kept` + 1 keys of a caller.
    pub async fn forget_answers_but(
        &mut self,
        caller: &str,
        kept: i64,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "delete from idempotency where caller = $1 and created_at < (select created_at from idempotency \
             where caller = $1 order by created_at desc limit 1 offset $2)",
            caller,
            kept
        )
    }

    /// Forgets all answers to a caller that was deleted or locked out.
    pub async fn forget_answers_of(&mut self, caller: &str) -> Result<u64, StorageError> {
        execute!(self, "delete from idempotency where caller = $1", caller)
    }

    pub async fn remembered(
        &mut self,
        caller: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StorageError> {
        optional!(
            self,
            "select fingerprint, answer, instance from idempotency where caller = $1 and key = $2",
            caller,
            key
        )
    }

    pub async fn remember_answer(
        &mut self,
        caller: &str,
        key: &str,
        answer: &RememberedAnswer,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update idempotency set answer = $3 where caller = $1 and key = $2",
            caller,
            key,
            Json(answer)
        )?;
        Ok(())
    }

    pub async fn release_idempotency_key(
        &mut self,
        caller: &str,
        key: &str,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from idempotency where caller = $1 and key = $2", caller, key)?;
        Ok(())
    }

    pub async fn forget_answers_before(
        &mut self,
        before: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(self, "delete from idempotency where created_at < $1", before)
    }
}
