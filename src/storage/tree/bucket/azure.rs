//! What a copy in Azure says of itself: `Copy Blob` takes it from the source, so it is told afterwards.
//!
//! For that moment the object is there under its name without its cache rules; its bytes are whole from the start.

use std::time::Duration;

use object_store::path::Path;
use object_store::signer::Method;

use super::{DIGEST, TreeBucket, refused};
use crate::model::publication::FOR_GOOD;
use crate::storage::blobs::{away, in_time};
use crate::storage::error::StorageError;
use crate::storage::tree::Original;

/// What one small request may take.
const TELLING: Duration = Duration::from_secs(15);

impl TreeBucket {
    /// `Set Blob Properties` and `Set Blob Metadata`, with the permission that a signed address is.
    pub(super) async fn describe_in_azure(
        &self,
        location: &Path,
        original: &Original,
    ) -> Result<(), StorageError> {
        let digest = original.digest.to_hex();
        let metadata = format!("x-ms-meta-{DIGEST}");
        let properties: [(&str, &str); 2] = [
            ("x-ms-blob-content-type", "application/octet-stream"),
            ("x-ms-blob-cache-control", FOR_GOOD),
        ];
        self.tell_azure(location, "properties", &properties).await?;
        self.tell_azure(location, "metadata", &[(&metadata, &digest)]).await
    }

    async fn tell_azure(
        &self,
        location: &Path,
        what: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), StorageError> {
        let signed = self.client.signer.signed_url(Method::PUT, location, TELLING);
        let mut url = in_time(signed).await?;
        url.query_pairs_mut().append_pair("comp", what);
        let mut request = self.http.put(url).header("content-length", "0").timeout(TELLING);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Without the address: its query is a permission.
        let answer = request.send().await;
        let answer = answer.map_err(|error| away(error.without_url().to_string()))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let detail = format!("the {what} of {location} could not be set: {}", answer.status());
        Err(refused(detail, answer.status()))
    }
}
