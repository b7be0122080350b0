//! A test of what a bucket really does, with an object that is made for it.
//!
//! imagedepot relies on little: that what was written is read back, whole and in ranges, and that a listing shows it at
//! once. A store that does otherwise would lose data and is refused. Features that nothing here relies on (conditional
//! writes, which some stores silently ignore, and checksums that are verified) are only tested to report them to the
//! administrator.

use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method, SignedUrlOptions};
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};

use super::Bucket;
use super::client::Service;
use super::time_limits::{SIGNED_FOR, in_time};
use crate::storage::error::StorageError;

/// The time limit for the request with the wrong checksum.
const TRYING: Duration = Duration::from_secs(15);

/// The checksum of no bytes at all, which is wrong for any others.
const WRONG_CHECKSUM: HeaderValue =
    HeaderValue::from_static("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");

/// The features that a bucket has beyond those that are relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Findings {
    /// A write that may only create a new object does not replace an existing one.
    pub conditional_writes: bool,
    /// A write whose checksum (SHA-256) is wrong is refused.
    pub checksums: bool,
}

impl Bucket {
    /// Tests the bucket and leaves a blob of these bytes under the key. Returns `Unusable` for a store that would lose
    /// data.
    pub(in crate::storage::blobs) async fn probe(
        &self,
        key: &str,
        bytes: &'static [u8],
    ) -> Result<Findings, StorageError> {
        let location = self.location(key);
        let id = in_time(self.client.multiparts.create_multipart(&location)).await?;
        let sent =
            self.client.multiparts.put_part(&location, &id, 0, PutPayload::from_static(bytes));
        let part: PartId = in_time(sent).await?;
        in_time(self.client.multiparts.complete_multipart(&location, &id, vec![part])).await?;
        self.must_read_back(&location, bytes).await?;
        Ok(Findings {
            conditional_writes: self.honours_conditions(&location, bytes).await?,
            checksums: self.honours_checksums(&location).await?,
        })
    }

    async fn must_read_back(&self, location: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let whole = async { self.client.objects.get(location).await?.bytes().await };
        if in_time(whole).await? != bytes {
            return Err(unusable("the bytes that were read are not those that were written"));
        }
        if in_time(self.client.objects.get_range(location, 3..10)).await? != bytes[3..10] {
            return Err(unusable("a range of an object has other bytes than were requested"));
        }
        let folder: Path = location.parts().take(location.parts().count() - 1).collect();
        let listed = in_time(self.client.objects.list_with_delimiter(Some(&folder))).await?;
        if !listed.objects.iter().any(|object| object.location == *location) {
            return Err(unusable("a listing does not show an object that was just written"));
        }
        Ok(())
    }

    async fn honours_conditions(
        &self,
        location: &Path,
        bytes: &'static [u8],
    ) -> Result<bool, StorageError> {
        use object_store::Error as E;
        let again = PutPayload::from_static(bytes);
        match in_time(self.client.objects.put_opts(location, again, PutMode::Create.into())).await {
            Err(StorageError::Store(E::AlreadyExists { .. } | E::Precondition { .. })) => Ok(true),
            Ok(_) | Err(StorageError::Store(E::NotImplemented { .. } | E::NotSupported { .. })) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reports whether a wrong checksum is refused. Only S3 is tested: the other services have no such header.
    async fn honours_checksums(&self, location: &Path) -> Result<bool, StorageError> {
        if self.client.service != Service::S3 {
            return Ok(false);
        }
        let header = HeaderName::from_static("x-amz-checksum-sha256");
        let beside = location.clone().join("checksum");
        let options =
            SignedUrlOptions::new().with_signed_header(header.clone(), WRONG_CHECKSUM.clone());
        let signed = self.client.signer.signed_url_opts(Method::PUT, &beside, SIGNED_FOR, &options);
        let url = in_time(signed).await?;
        let headers = HeaderMap::from_iter([(header, WRONG_CHECKSUM.clone())]);
        let probe = Bytes::from_static(b"a probe");
        let status = self.client.send(Method::PUT, &url, headers, probe, TRYING).await?.status;
        if status.is_success() {
            in_time(self.client.objects.delete(&beside)).await?;
        }
        // 403 would be about permissions, not about the checksum.
        Ok(status == reqwest::StatusCode::BAD_REQUEST)
    }
}

pub(in crate::storage) fn unusable(what: &str) -> StorageError {
    StorageError::Unusable(format!("the bucket of store.url would lose data: {what}"))
}
