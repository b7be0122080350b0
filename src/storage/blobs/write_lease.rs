//! The time for which a writer may assume that a blob is its own.
//!
//! A request that is in progress when the time is up is dropped: the store has not received all of it then, so it
//! cannot take effect after what a newer writer sends. The catalog renews the time, because its rows record who writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::storage::error::{StorageError, away};

/// The end of the time for which requests may be in progress. Clones share renewals.
#[derive(Debug, Clone)]
pub struct WriteLease {
    length: Duration,
    until: Arc<watch::Sender<Instant>>,
}

impl WriteLease {
    /// Creates a lease that lasts `length` from `begun`, which has to be a time before the database was asked for it.
    pub fn new(begun: Instant, length: Duration) -> Self {
        Self { length, until: Arc::new(watch::Sender::new(begun + length)) }
    }

    pub fn renew(&self, begun: Instant) {
        self.until.send_replace(begun + self.length);
    }

    /// Ends the lease: the blob belongs to another writer, or to none.
    pub fn end(&self) {
        self.until.send_replace(Instant::now());
    }

    /// Returns the time since the last renewal.
    pub fn age(&self) -> Duration {
        self.length.saturating_sub(self.until.borrow().saturating_duration_since(Instant::now()))
    }

    /// Does the work, unless the time is up first.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        tokio::select! {
            biased;
            () = self.is_over() => Err(away("the writer could not renew its lease on the upload")),
            done = work => done,
        }
    }

    async fn is_over(&self) {
        let mut until = self.until.subscribe();
        loop {
            let end = *until.borrow_and_update();
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                _renewed = until.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn work_goes_on_while_the_lease_is_renewed_and_no_longer() {
        let lease = WriteLease::new(Instant::now(), LENGTH);
        let renewing = async {
            for _ in 0..10 {
                tokio::time::sleep(LENGTH / 5).await;
                lease.renew(Instant::now());
            }
        };
        let work = async {
            tokio::time::sleep(LENGTH * 2).await;
            Ok(())
        };
        let (done, ()) = tokio::join!(lease.during(work), renewing);
        done.unwrap();
        let forever = std::future::pending::<Result<(), StorageError>>();
        assert!(lease.during(forever).await.is_err());
    }

    #[tokio::test]
    async fn an_ended_lease_begins_nothing() {
        let lease = WriteLease::new(Instant::now(), LENGTH);
        lease.end();
        let done = lease.during(async { Ok(()) }).await;
        assert!(matches!(done, Err(StorageError::Store(_))));
    }
}
