//! Redirects of downloads to the bucket itself.
//!
//! A redirected client receives the bucket's tag and date of the file. Every response of this server about such a file
//! therefore has the same ones, or else a client that resumes would take the two halves for parts of different files.
//! Conditions are evaluated here; the bucket only serves the whole file and single ranges, after everything has been
//! decided. Buckets ignore `If-Range`, and answer several ranges with the whole file.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use moka::sync::Cache;
use url::Url;

use crate::api::conventions::caching;
use crate::api::conventions::file_response::{ContentIdentity, ServedFile, can_be_redirected};
use crate::api::conventions::problem::Problem;
use crate::catalog::snapshot::TreeFile;
use crate::catalog::{Catalog, Error};
use crate::storage::blobs::StoredObject;

/// The validity of a signed URL, as long as the credentials are valid themselves. It is longer than the pause of BITS
/// between two requests of a running job.
const URL_VALID_FOR: Duration = Duration::from_hours(1);

/// The number of files for which the bucket's answer is remembered. This is possible because a blob's object never
/// changes.
const REMEMBERED: u64 = 10_000;

/// The redirects of downloads to the bucket.
#[derive(Clone)]
pub struct Redirects {
    known: Cache<String, Arc<StoredObject>>,
}

impl Default for Redirects {
    fn default() -> Self {
        Self { known: Cache::new(REMEMBERED) }
    }
}

impl Redirects {
    /// Returns the file with the tag and the date of the bucket, or unchanged if the store is a folder.
    pub async fn as_stored(
        &self,
        catalog: &Catalog,
        file: &TreeFile,
        served: ServedFile,
    ) -> Result<ServedFile, Problem> {
        let Some(stored) = self.stored(catalog, &file.blob_key).await? else { return Ok(served) };
        let identity = ContentIdentity::Stored { tag: stored.tag.clone(), digest: file.digest };
        Ok(ServedFile { identity, last_modified: Some(stored.last_modified), ..served })
    }

    async fn stored(
        &self,
        catalog: &Catalog,
        key: &str,
    ) -> Result<Option<Arc<StoredObject>>, Problem> {
        if let Some(known) = self.known.get(key) {
            return Ok(Some(known));
        }
        let asked = catalog.blobs().stored_object(key).await.map_err(Error::from)?;
        let stored = asked.map(Arc::new);
        if let Some(stored) = &stored {
            self.known.insert(key.to_owned(), Arc::clone(stored));
        }
        Ok(stored)
    }

    /// Returns a redirect to the bucket, or none if this server has to answer.
    pub async fn elsewhere(
        &self,
        catalog: &Catalog,
        file: &TreeFile,
        served: &ServedFile,
        request: &HttpRequest,
    ) -> Result<Option<HttpResponse>, Problem> {
        if !can_be_redirected(request, served) {
            return Ok(None);
        }
        let method = request.method().as_str();
        let signed = catalog.blobs().signed_url(&file.blob_key, method, URL_VALID_FOR).await;
        let answer = |url: Url| {
            let mut answer = HttpResponse::TemporaryRedirect();
            answer.insert_header((header::LOCATION, url.as_str()));
            // A proxy that stored it would send it even after the URL has expired.
            answer.insert_header((header::CACHE_CONTROL, caching::NO_CACHING)).finish()
        };
        Ok(signed.map_err(Error::from)?.map(answer))
    }
}
