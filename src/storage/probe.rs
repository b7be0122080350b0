//! A test of whether blobs and tree are safe where the settings put them, made before anything is stored there.

use bytes::Bytes;
use uuid::Uuid;

use super::blobs::{Blobs, Findings, unusable};
use super::error::StorageError;
use super::tree::{Original, Tree};
use crate::model::{Clock, Digest};

const BYTES: &[u8] = b"imagedepot tests what this store does; this object is removed in a moment";

/// Tests a bucket and the copies within it, and leaves nothing behind. Returns none if the store is a folder.
///
/// Returns `Unusable` for a store that would lose data. Other errors mean that the test was not possible now.
pub async fn probe(
    blobs: &Blobs,
    tree: &Tree,
    clock: &Clock,
    id: Uuid,
) -> Result<Option<Findings>, StorageError> {
    let key = format!("probe-{id}");
    let path = format!(".imagedepot-{key}");
    let found = try_both(blobs, tree, clock, &key, &path).await;
    if matches!(found, Ok(None)) {
        return found;
    }
    let removed = tree.remove(&path).await.and(blobs.remove(&key, None).await);
    // An error of the test is reported before an error of the clean-up.
    let findings = found?;
    removed?;
    Ok(findings)
}

async fn try_both(
    blobs: &Blobs,
    tree: &Tree,
    clock: &Clock,
    key: &str,
    path: &str,
) -> Result<Option<Findings>, StorageError> {
    let Some(findings) = blobs.probe(key, BYTES).await? else { return Ok(None) };
    copy(blobs, tree, clock, key, path).await?;
    Ok(Some(findings))
}

async fn copy(
    blobs: &Blobs,
    tree: &Tree,
    clock: &Clock,
    key: &str,
    path: &str,
) -> Result<(), StorageError> {
    let original = Original {
        blob_key: key.to_owned(),
        size: BYTES.len() as u64,
        digest: Digest::of(BYTES),
        sealed_at: clock.now(),
    };
    let tag = tree.publish(path, &original, blobs).await?;
    if tree.read(path).await? != Some(Bytes::from_static(BYTES)) {
        return Err(unusable("a copy has other bytes than its source"));
    }
    let listed = tree.list("").await?;
    let is_known = listed
        .get(path)
        .is_some_and(|entry| Tree::is_published(entry, &original, tag.as_deref(), blobs));
    if is_known { Ok(()) } else { Err(unusable("a listing does not show a copy as it was made")) }
}
