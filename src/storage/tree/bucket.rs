//! The tree in a bucket, which a bucket's own site or a CDN may serve.
//!
//! Files appear as copies that the service makes from the blobs, with the content type, the cache rules and the digest
//! that the server sends with them. An object appears whole or not at all, so there are no temporary names.
//!
//! The client offers only a plain copy, which keeps the attributes of the blob's object and is limited to 5 GB in S3.
//! The services' own requests are therefore signed by the client and sent from here.

mod azure;
mod s3;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::signer::HeaderValue;
use object_store::{
    Attribute, AttributeValue, Attributes, ObjectStoreExt as _, PutOptions, PutPayload,
};

use super::entry::{Entries, Entry, Original};
use crate::model::publication::ServedAs;
use crate::storage::blobs::{
    BlobReader, COPYING, Client, CopySource, Encryption, Service, in_time, of_a_file, within,
};
use crate::storage::error::{StorageError, away};

/// The time limit for listing a folder of the tree, page by page: a thousand files take a tenth of a second.
const LISTING: Duration = Duration::from_mins(2);

/// The name of the digest in an object's metadata, as `x-amz-meta-sha256`.
const DIGEST: &str = "sha256";

#[derive(Clone)]
pub struct TreeBucket {
    client: Client,
    /// The size in bytes above which blobs are copied in parts, and that of these parts.
    copy_above: u64,
}

impl TreeBucket {
    pub fn new(client: Client, copy_above: u64) -> Result<Self, StorageError> {
        if matches!(*client.encryption, Encryption::WithOwnKey) {
            let detail = "objects that are encrypted with a key of the client's own (sse-c) cannot be published, \
                          because nobody else could read them: choose AES256, aws:kms or the bucket's default";
            let detail = format!("store.options.aws_server_side_encryption: {detail}");
            return Err(StorageError::Unusable(detail));
        }
        Ok(Self { client, copy_above })
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Entries, StorageError> {
        let prefix = self.location(folder);
        let listed =
            within(LISTING, self.client.objects.list_with_delimiter(Some(&prefix))).await?;
        let entry = |object: object_store::ObjectMeta| {
            let name = object.location.filename()?.to_owned();
            Some((
                name,
                Entry::Object {
                    size: object.size,
                    modified: object.last_modified,
                    tag: object.e_tag.as_deref().map(plain),
                },
            ))
        };
        Ok(listed.objects.into_iter().filter_map(entry).collect())
    }

    /// Returns the tag of an object, as its own headers have it; none if there is no object.
    pub(super) async fn tag(&self, path: &str) -> Result<Option<String>, StorageError> {
        match in_time(self.client.objects.head(&self.location(path))).await {
            Ok(found) => Ok(found.e_tag.as_deref().map(plain)),
            Err(StorageError::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn folders(&self) -> Result<Vec<String>, StorageError> {
        let root = self.location("");
        let listed = in_time(self.client.objects.list_with_delimiter(Some(&root))).await?;
        let folders = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
        Ok(folders.map(str::to_owned).collect())
    }

    pub(super) async fn publish(
        &self,
        path: &str,
        original: &Original,
        source: &CopySource,
    ) -> Result<String, StorageError> {
        let location = self.location(path);
        if original.size == 0 {
            self.put(&location, PutPayload::new(), of_revision(original)).await?;
        } else {
            match self.client.service {
                Service::S3 => self.copy_in_s3(&location, original, source).await?,
                Service::Azure => {
                    within(COPYING, self.client.objects.copy(&source.location, &location)).await?;
                    self.describe_in_azure(&location, original).await?;
                }
                // The copy keeps the attributes of the blob's object.
                Service::Google => {
                    within(COPYING, self.client.objects.copy(&source.location, &location)).await?;
                }
            }
        }
        let made = in_time(self.client.objects.head(&location)).await?;
        if made.size != original.size {
            let (made, size) = (made.size, original.size);
            let detail = format!("{location} has {made} bytes after it was copied, not {size}");
            return Err(away(detail));
        }
        made.e_tag.as_deref().map(plain).ok_or_else(|| {
            StorageError::Unusable("the bucket gives its objects no tag (ETag)".to_owned())
        })
    }

    pub(super) async fn write_document(
        &self,
        path: &str,
        served_as: ServedAs,
        content: Bytes,
    ) -> Result<(), StorageError> {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, served_as.content_type.into());
        attributes.insert(Attribute::CacheControl, served_as.cache_control.into());
        self.put(&self.location(path), content.into(), attributes).await
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, StorageError> {
        let location = self.location(path);
        let read = async { self.client.objects.get(&location).await?.bytes().await };
        match in_time(read).await {
            Ok(content) => Ok(Some(content)),
            Err(StorageError::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn reader(&self, path: &str, size: u64) -> BlobReader {
        BlobReader::remote(Arc::clone(&self.client.objects), self.location(path), size)
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        match in_time(self.client.objects.delete(&self.location(path))).await {
            Err(StorageError::Store(object_store::Error::NotFound { .. })) => Ok(()),
            other => other,
        }
    }

    async fn put(
        &self,
        location: &Path,
        content: PutPayload,
        attributes: Attributes,
    ) -> Result<(), StorageError> {
        let options = PutOptions { attributes, ..PutOptions::default() };
        in_time(self.client.objects.put_opts(location, content, options)).await.map(drop)
    }

    fn location(&self, path: &str) -> Path {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(self.client.prefix.clone(), object_store::path::Path::join)
    }
}

fn value(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text).map_err(|error| StorageError::Unusable(error.to_string()))
}

/// Returns the error for a refusal: `Unusable` if the service will repeat it, another one if it may pass.
fn refused(detail: String, status: reqwest::StatusCode) -> StorageError {
    let may_pass = [408, 409, 429].contains(&status.as_u16());
    let is_for_good = status.is_client_error() || status == reqwest::StatusCode::NOT_IMPLEMENTED;
    if is_for_good && !may_pass { StorageError::Unusable(detail) } else { away(detail) }
}

/// Removes the quotation marks of a tag, which Azure writes in an answer and not in a listing.
fn plain(tag: &str) -> String {
    tag.trim_matches('"').to_owned()
}

/// Returns the attributes of the object of a revision's file.
fn of_revision(original: &Original) -> Attributes {
    let mut attributes = of_a_file();
    let digest: AttributeValue = original.digest.to_hex().into();
    attributes.insert(Attribute::Metadata(Cow::Borrowed(DIGEST)), digest);
    attributes
}
