//! The attributes of a copy in Azure: `Copy Blob` takes them from the source, so they are set afterwards.
//!
//! In the meantime the object exists under its name without its cache rules; its bytes are complete from the start.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{TreeBucket, refused, value};
use crate::model::publication::CACHE_IMMUTABLE;
use crate::storage::blobs::{SIGNED_FOR, in_time};
use crate::storage::error::StorageError;
use crate::storage::tree::Original;

/// The time limit for one small request.
const TELLING: Duration = Duration::from_secs(15);

impl TreeBucket {
    /// Sends `Set Blob Properties` and `Set Blob Metadata`, each authorised by a signed URL.
    pub(super) async fn describe_in_azure(
        &self,
        location: &Path,
        original: &Original,
    ) -> Result<(), StorageError> {
        let digest = original.digest.to_hex();
        let properties = [
            ("x-ms-blob-content-type", "application/octet-stream"),
            ("x-ms-blob-cache-control", CACHE_IMMUTABLE),
        ];
        let properties = properties
            .map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_static(text)));
        self.tell_azure(location, "properties", properties.into_iter().collect()).await?;
        let digest = (HeaderName::from_static("x-ms-meta-sha256"), value(&digest)?);
        self.tell_azure(location, "metadata", HeaderMap::from_iter([digest])).await
    }

    async fn tell_azure(
        &self,
        location: &Path,
        what: &str,
        headers: HeaderMap,
    ) -> Result<(), StorageError> {
        let signed = self.client.signer.signed_url(Method::PUT, location, SIGNED_FOR);
        let mut url = in_time(signed).await?;
        url.query_pairs_mut().append_pair("comp", what);
        let sent = self.client.send(Method::PUT, &url, headers, Bytes::new(), TELLING);
        let status = sent.await?.status;
        if status.is_success() {
            return Ok(());
        }
        Err(refused(format!("the {what} of {location} could not be set: {status}"), status))
    }
}
