//! For how long a bucket is waited for, by what it is asked.

use std::time::Duration;

use tokio::time::timeout;

use crate::storage::error::{StorageError, away};

/// What sending one part may take, and what completing may: stores copy for as long.
pub(super) const PART_TIME: Duration = Duration::from_mins(1);
pub(super) const COMPLETING: Duration = Duration::from_mins(2);

/// A copy within the service that is one request; of 5 GB it takes S3 about a minute.
pub(in crate::storage) const COPYING: Duration = Duration::from_mins(5);

/// How long a request is good for that is signed and sent by hand: its life begins with this machine's clock, and services
/// take clocks that are a quarter of an hour off.
pub(in crate::storage) const SIGNED_FOR: Duration = Duration::from_hours(1);

/// A request that moves no bytes.
const SMALL_REQUEST: Duration = Duration::from_secs(15);

pub(in crate::storage) async fn in_time<T>(
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StorageError> {
    within(SMALL_REQUEST, request).await
}

pub(in crate::storage) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StorageError> {
    match timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(away("the store does not answer")),
    }
}
