//! Downloads that are sent to the bucket itself.
//!
//! A client that is sent there hears the bucket's tag and date of the file, so whatever is answered here for such a file
//! says the same, or a client that goes on would take two halves for those of different files. Conditions are answered
//! here; what is left to the bucket is the whole file and single ranges that are due. Buckets pass `If-Range` by, and
//! answer several ranges with the whole file.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use moka::sync::Cache;
use url::Url;

use crate::api::conventions::caching;
use crate::api::conventions::file_response::{Identity, ServedFile, is_for_whoever_has_the_bytes};
use crate::api::conventions::problem::Problem;
use crate::catalog::snapshot::TreeFile;
use crate::catalog::{Catalog, Error};
use crate::storage::blobs::StoredObject;

/// How long an address of the bucket's is good, where the credentials are. Longer than BITS leaves between two requests
/// of a job that runs.
const GOOD_FOR: Duration = Duration::from_hours(1);

/// What the bucket says of so many files is remembered: a blob's object never changes.
const REMEMBERED: u64 = 10_000;

/// Where downloads are sent to the bucket.
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
    /// The file as the bucket tells of it; as it was, where the store is a folder.
    pub async fn as_stored(
        &self,
        catalog: &Catalog,
        file: &TreeFile,
        served: ServedFile,
    ) -> Result<ServedFile, Problem> {
        let Some(stored) = self.stored(catalog, &file.blob_key).await? else { return Ok(served) };
        let identity = Identity::Stored { tag: stored.tag.clone(), digest: file.digest };
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

    /// Where the bucket gives what is asked for.
    pub async fn elsewhere(
        &self,
        catalog: &Catalog,
        file: &TreeFile,
        served: &ServedFile,
        request: &HttpRequest,
    ) -> Result<Option<HttpResponse>, Problem> {
        if !is_for_whoever_has_the_bytes(request, served) {
            return Ok(None);
        }
        let method = request.method().as_str();
        let signed = catalog.blobs().signed_url(&file.blob_key, method, GOOD_FOR).await;
        let answer = |url: Url| {
            let mut answer = HttpResponse::TemporaryRedirect();
            answer.insert_header((header::LOCATION, url.as_str()));
            // Kept by a proxy, it would be answered with after its hour.
            answer.insert_header((header::CACHE_CONTROL, caching::KEPT_BY_NOBODY)).finish()
        };
        Ok(signed.map_err(Error::from)?.map(answer))
    }
}
