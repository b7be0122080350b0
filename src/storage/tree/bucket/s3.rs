//! Copies within S3: `CopyObject` (with other metadata than the source's) and, for objects that are too large for it,
//! `UploadPartCopy`.

use std::ops::Range;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method, SignedUrlOptions};
use object_store::{Attribute, Attributes, PutMultipartOptions};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{DIGEST, TreeBucket, of_revision, refused, value};
use crate::storage::blobs::{Answer, COPYING, CopySource, Encryption, SIGNED_FOR, in_time, within};
use crate::storage::error::StorageError;
use crate::storage::tree::Original;

/// The smallest size of a part other than the last (S3: 5 MiB).
const SMALLEST_PART: u64 = 5 * 1024 * 1024;
/// The largest number of parts; S3 accepts 10,000.
const MOST_PARTS: u64 = 9_000;

/// The characters of a key that are escaped in `x-amz-copy-source`.
const IN_SOURCE: AsciiSet =
    NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The answers `CopyObjectResult` and `CopyPartResult`. S3 may answer 200 before it knows how a copy ends, and report
/// an error in the body, which then has no tag.
#[derive(Deserialize)]
struct Copied {
    #[serde(rename = "ETag")]
    tag: String,
}

impl TreeBucket {
    pub(super) async fn copy_in_s3(
        &self,
        location: &Path,
        original: &Original,
        source: &CopySource,
    ) -> Result<(), StorageError> {
        let source = format!("{}/{}", source.bucket, source.location);
        let source = utf8_percent_encode(&source, &IN_SOURCE).to_string();
        if original.size <= self.copy_above {
            let mut headers = headers_of(&of_revision(original))?;
            if let Encryption::Ordered(encryption) = &*self.client.encryption {
                headers.extend(encryption.clone());
            }
            headers.insert("x-amz-copy-source", value(&source)?);
            headers.insert("x-amz-metadata-directive", HeaderValue::from_static("REPLACE"));
            return self.send(location, &[], headers).await.map(drop);
        }
        let options =
            PutMultipartOptions { attributes: of_revision(original), ..Default::default() };
        let begun = self.client.multiparts.create_multipart_opts(location, options);
        let id = in_time(begun).await?;
        let parts = match self.copy_parts(location, &id, original.size, &source).await {
            Ok(parts) => parts,
            Err(error) => {
                // If this fails, a lifecycle rule of the bucket removes the parts.
                let aborted = self.client.multiparts.abort_multipart(location, &id);
                if let Err(error) = in_time(aborted).await {
                    tracing::warn!(%error, %location, "an abandoned copy could not be removed from the bucket");
                }
                return Err(error);
            }
        };
        let joined = self.client.multiparts.complete_multipart(location, &id, parts);
        within(COPYING, joined).await.map(drop)
    }

    async fn copy_parts(
        &self,
        location: &Path,
        id: &str,
        size: u64,
        source: &str,
    ) -> Result<Vec<PartId>, StorageError> {
        let mut parts = Vec::new();
        for (number, range) in (1..).zip(parts_of(size, self.copy_above)) {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-copy-source", value(source)?);
            let range = format!("bytes={}-{}", range.start, range.end - 1);
            headers.insert("x-amz-copy-source-range", value(&range)?);
            let number: u32 = number;
            let query = [("partNumber", number.to_string()), ("uploadId", id.to_owned())];
            parts.push(PartId { content_id: self.send(location, &query, headers).await? });
        }
        Ok(parts)
    }

    /// Sends a request that the client has signed, and returns the tag of what it made.
    async fn send(
        &self,
        location: &Path,
        query: &[(&str, String)],
        headers: HeaderMap,
    ) -> Result<String, StorageError> {
        let mut options =
            SignedUrlOptions::new().with_query(query.iter().map(|(name, value)| (*name, value)));
        for (name, value) in &headers {
            options = options.with_signed_header(name.clone(), value.clone());
        }
        let signed =
            self.client.signer.signed_url_opts(Method::PUT, location, SIGNED_FOR, &options);
        let url = in_time(signed).await?;
        let sent = self.client.send(Method::PUT, &url, headers, Bytes::new(), COPYING);
        let Answer { status, body } = sent.await?;
        let body = String::from_utf8_lossy(&body);
        match quick_xml::de::from_str::<Copied>(&body) {
            Ok(copied) if status.is_success() => Ok(copied.tag),
            _ => {
                let said: String = body.chars().take(500).collect();
                Err(refused(
                    format!("the bucket did not copy to {location}: {status} {said}"),
                    status,
                ))
            }
        }
    }
}

/// Returns ranges of one size, except for the last.
fn parts_of(size: u64, above: u64) -> impl Iterator<Item = Range<u64>> {
    let part = above.max(SMALLEST_PART).max(size.div_ceil(MOST_PARTS));
    (0..size.div_ceil(part)).map(move |number| number * part..size.min((number + 1) * part))
}

fn headers_of(attributes: &Attributes) -> Result<HeaderMap, StorageError> {
    let mut headers = HeaderMap::new();
    for (attribute, text) in attributes {
        let name = match attribute {
            Attribute::ContentType => HeaderName::from_static("content-type"),
            Attribute::CacheControl => HeaderName::from_static("cache-control"),
            Attribute::Metadata(name) if name == DIGEST => {
                HeaderName::from_static("x-amz-meta-sha256")
            }
            _ => continue,
        };
        headers.insert(name, value(text.as_ref())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_whole_without_gaps() {
        const MIB: u64 = 1024 * 1024;
        for (size, above, count) in
            [(1, 0, 1), (12 * MIB, 5 * MIB, 3), (10 * MIB, 5 * MIB, 2), (7 * MIB, 1, 2)]
        {
            let parts: Vec<_> = parts_of(size, above).collect();
            assert_eq!(parts.len(), count);
            assert_eq!((parts[0].start, parts[count - 1].end), (0, size));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert!(parts_of(48 << 40, 5 << 30).count() <= 10_000);
    }

    #[test]
    fn an_error_that_comes_with_200_is_one() {
        let refused = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>";
        assert!(quick_xml::de::from_str::<Copied>(refused).is_err());
        let made = "<CopyObjectResult><LastModified>x</LastModified><ETag>&quot;a&quot;</ETag></CopyObjectResult>";
        assert_eq!(quick_xml::de::from_str::<Copied>(made).unwrap().tag, "\"a\"");
    }
}
