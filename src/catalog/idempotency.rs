//! The same answer to a repeated request, which a caller's `Idempotency-Key` identifies.

use super::{Catalog, Result};
use crate::storage::{RememberedAnswer, StorageError};

/// The number of newest keys that are kept for each caller: a day's work, and a limit on how much a caller can fill the
/// catalog.
const MOST_KEYS: i64 = 1000;

/// The size in bytes up to which answers are kept. Answers to changes are about a tenth as long.
const LONGEST_ANSWER: usize = 4096;

/// The way to handle a request that carries a key.
pub enum Claim {
    /// The key is new: do the work, then call [`Catalog::remember`] or [`Catalog::release_key`].
    Proceed,
    /// The request was done before, with this answer.
    Answered(RememberedAnswer),
    /// The key came with another request before.
    OtherRequest,
    /// The first request is still in progress, or its server was stopped before it could answer.
    Unanswered,
}

impl Catalog {
    /// Claims a key for a request. `fingerprint` distinguishes one request from another.
    ///
    /// This also works on a full disk: the request may be a deletion, and the key is released if the request is
    /// refused.
    pub async fn claim_key(&self, caller: &str, key: &str, fingerprint: &str) -> Result<Claim> {
        let mut tx = self.db.write_to_free().await?;
        if let Some(remembered) = tx.remembered(caller, key).await? {
            return Ok(match remembered.answer {
                _ if remembered.fingerprint != fingerprint => Claim::OtherRequest,
                Some(answer) => Claim::Answered(answer.0),
                None => Claim::Unanswered,
            });
        }
        match tx
            .claim_idempotency_key(caller, key, fingerprint, self.instance, self.clock.now())
            .await
        {
            Ok(()) => {}
            // Another replica was slightly faster.
            Err(StorageError::Duplicate) => return Ok(Claim::Unanswered),
            Err(error) => return Err(error.into()),
        }
        tx.forget_answers_but(caller, MOST_KEYS - 1).await?;
        tx.commit().await?;
        Ok(Claim::Proceed)
    }

    /// Stores the answer to a request. An answer that is too long is not stored: its key stays taken, and a repeat is
    /// told to check whether the change was made.
    pub async fn remember(&self, caller: &str, key: &str, answer: &RememberedAnswer) -> Result<()> {
        if answer.body.len() > LONGEST_ANSWER {
            return Ok(());
        }
        let mut tx = self.db.write_to_free().await?;
        tx.remember_answer(caller, key, answer).await?;
        Ok(tx.commit().await?)
    }

    /// Releases a key. A request that failed on the server's side may be repeated with its key.
    pub async fn release_key(&self, caller: &str, key: &str) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.release_idempotency_key(caller, key).await?;
        Ok(tx.commit().await?)
    }
}
