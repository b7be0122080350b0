//! The same answer to a repeated request: what a caller's `Idempotency-Key` stands for.

use super::{Catalog, Result};
use crate::storage::{RememberedAnswer, StorageError};

/// Keys of one caller that are kept, the newest: a day's work, and a bound on what a caller can fill the catalog with.
const MOST_KEYS: i64 = 1000;

/// Longer answers are not kept, in bytes; those to changes have a tenth of it.
const LONGEST_ANSWER: usize = 4096;

/// What is to be done with a request that carries a key.
pub enum Claim {
    /// The key is new: do it, then [`Catalog::remember`] or [`Catalog::release_key`].
    Proceed,
    /// It was done: the answer was this.
    Answered(RememberedAnswer),
    /// The key came with another request before.
    OtherRequest,
    /// The first request is still under way, or its server was stopped before it could answer.
    Unanswered,
}

impl Catalog {
    /// `fingerprint` tells one request from another.
    ///
    /// Also on a full disk: what the key comes with may be a deletion, and with a refusal the key is released.
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
            // Another replica was faster by a moment.
            Err(StorageError::Duplicate) => return Ok(Claim::Unanswered),
            Err(error) => return Err(error.into()),
        }
        tx.forget_answers_but(caller, MOST_KEYS - 1).await?;
        tx.commit().await?;
        Ok(Claim::Proceed)
    }

    /// One that is too long is not kept: its key stays taken, and a repeat is told to look whether the change is there.
    pub async fn remember(&self, caller: &str, key: &str, answer: &RememberedAnswer) -> Result<()> {
        if answer.body.len() > LONGEST_ANSWER {
            return Ok(());
        }
        let mut tx = self.db.write_to_free().await?;
        tx.remember_answer(caller, key, answer).await?;
        Ok(tx.commit().await?)
    }

    /// A request that failed on the server's side may be tried again with its key.
    pub async fn release_key(&self, caller: &str, key: &str) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.release_idempotency_key(caller, key).await?;
        Ok(tx.commit().await?)
    }
}
