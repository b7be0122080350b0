//! The time limits for requests to a bucket, by kind of request.

use std::time::Duration;

use tokio::time::timeout;

use crate::storage::error::{StorageError, away};

/// The time limit for sending one part.
pub(super) const PART_TIME: Duration = Duration::from_mins(1);
/// The time limit for completing a multipart upload, in which some stores copy the parts.
pub(super) const COMPLETING: Duration = Duration::from_mins(2);

/// The time limit for one request that copies within the service. S3 takes about a minute for 5 GB.
pub(in crate::storage) const COPYING: Duration = Duration::from_mins(5);

/// The time for which a request that is signed and sent by hand is valid. It begins by this machine's clock, and
/// services accept clocks that are a quarter of an hour off.
pub(in crate::storage) const SIGNED_FOR: Duration = Duration::from_hours(1);

/// The time limit for a request that moves no bytes.
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
