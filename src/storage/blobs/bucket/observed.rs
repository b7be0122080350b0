//! The connections to a bucket, observed: each request is counted with its kind and how it ended, and the service's own
//! time is kept.
//!
//! This is below the client's retries, so each attempt counts. A request that is given up (a time limit, a client that
//! disconnects) counts as unanswered.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::signer::Method;

use crate::model::metric;

/// The age up to which the service's time is used.
const TIME_IS_GOOD_FOR: Duration = Duration::from_mins(1);

/// The time that a service last named, and when it did so. Shared by all connections to it.
#[derive(Debug, Clone, Default)]
pub struct ServiceTime(Arc<Mutex<Option<Told>>>);

/// A time, and the moment at which it was told.
type Told = (DateTime<Utc>, Instant);

impl ServiceTime {
    /// Returns the current time by the service's clock, to the second; none unless an answer came within a minute.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = at.elapsed();
        (since < TIME_IS_GOOD_FOR).then(|| told + since)
    }

    fn note(&self, answer: &HttpResponse) {
        // A proxy may have made the answer, or kept it.
        if answer.status().is_server_error() || answer.headers().contains_key("age") {
            return;
        }
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
            return;
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((date.to_utc(), Instant::now()));
    }
}

/// Set for connections to the bucket itself, and not for those to a service that issues credentials.
#[derive(Debug, Clone)]
pub(super) struct IsOfBucket(Arc<AtomicBool>);

impl IsOfBucket {
    /// The connections turned out to be for credentials.
    pub(super) fn withdraw(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// An HTTP client whose requests are counted.
#[derive(Debug)]
pub(super) struct Observed {
    client: HttpClient,
    time: ServiceTime,
    is_of_bucket: IsOfBucket,
}

impl Observed {
    pub(super) fn client(client: HttpClient, time: ServiceTime) -> (HttpClient, IsOfBucket) {
        let is_of_bucket = IsOfBucket(Arc::new(AtomicBool::new(true)));
        (HttpClient::new(Self { client, time, is_of_bucket: is_of_bucket.clone() }), is_of_bucket)
    }
}

impl HttpService for Observed {
    fn call<'service, 'call>(
        &'service self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'service: 'call,
        Self: 'call,
    {
        let kind = kind_of(&request);
        Box::pin(async move {
            if !self.is_of_bucket.0.load(Ordering::Relaxed) {
                return self.client.execute(request).await;
            }
            let mut counted = Counted { kind, began: Instant::now(), outcome: "unanswered" };
            let answer = self.client.execute(request).await?;
            counted.outcome = match answer.status().as_u16() {
                401 | 403 | 429 => "refused",
                500.. => "failed",
                _ => "answered",
            };
            self.time.note(&answer);
            Ok(answer)
        })
    }
}

/// Counts a request when it ends, in whatever way.
struct Counted {
    kind: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Drop for Counted {
    fn drop(&mut self) {
        metric::STORE_REQUESTS.with([self.kind, self.outcome]).increment(1);
        metric::STORE_REQUEST_SECONDS.with([self.kind]).record(self.began.elapsed().as_secs_f64());
    }
}

/// The kinds of requests, in the words of object stores.
const KINDS: [&str; 7] = ["get", "head", "list", "put", "copy", "post", "delete"];
const OUTCOMES: [&str; 4] = ["answered", "refused", "failed", "unanswered"];

/// Shows every series from the start.
pub(in crate::storage) fn begin_at_zero() {
    for (kind, outcome) in KINDS.iter().flat_map(|kind| OUTCOMES.map(|outcome| (*kind, outcome))) {
        metric::STORE_REQUESTS.with([kind, outcome]).increment(0);
    }
}

fn kind_of(request: &HttpRequest) -> &'static str {
    let query = request.uri().query().unwrap_or_default();
    let lists = || {
        let mut pairs = query.split('&');
        pairs.any(|pair| matches!(pair, "list-type=2" | "comp=list") || pair.starts_with("uploads"))
    };
    let copies = || {
        let names = ["x-amz-copy-source", "x-ms-copy-source", "x-goog-copy-source"];
        names.iter().any(|name| request.headers().contains_key(*name))
    };
    // Both services delete several objects by one request, and are asked so for a single one, too.
    let deletes =
        || query.split('&').any(|pair| matches!(pair, "delete" | "delete=" | "comp=batch"));
    match *request.method() {
        Method::GET if lists() => "list",
        Method::GET => "get",
        Method::HEAD => "head",
        Method::PUT if copies() => "copy",
        Method::PUT => "put",
        Method::DELETE => "delete",
        Method::POST if deletes() => "delete",
        _ => "post",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_kind_that_an_administrator_would_give_it() {
        for (method, target, header, kind) in [
            ("GET", "http://s3/b/?list-type=2&prefix=a", "host", "list"),
            ("GET", "http://az/c?restype=container&comp=list", "host", "list"),
            ("GET", "http://s3/b/?uploads=&prefix=a", "host", "list"),
            ("GET", "http://s3/b/key", "host", "get"),
            ("HEAD", "http://s3/b/key", "host", "head"),
            ("PUT", "http://s3/b/key?partNumber=1&uploadId=x", "host", "put"),
            ("PUT", "http://s3/b/key", "x-amz-copy-source", "copy"),
            ("POST", "http://s3/b/key?uploads", "host", "post"),
            ("DELETE", "http://s3/b/key", "host", "delete"),
            ("POST", "http://s3/b?delete", "host", "delete"),
            ("POST", "http://az/c?restype=container&comp=batch", "host", "delete"),
        ] {
            let mut request = HttpRequest::new(Vec::<u8>::new().into());
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = target.parse().unwrap();
            request.headers_mut().insert(header, "x".parse().unwrap());
            assert_eq!(kind_of(&request), kind, "{method} {target}");
            assert!(KINDS.contains(&kind));
        }
    }
}
