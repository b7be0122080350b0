//! `Idempotency-Key` on POSTs: a repeat gets the same answer, another request with the key gets 409.
//!
//! This is a middleware in front of all operations. It claims the key in the catalog before the operation runs, and
//! stores the answer afterwards. If a server is killed in between, the key stays unanswered and it is unknown whether
//! the change was made. A repeat is then told so, rather than making the change twice.

use std::borrow::Cow;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _, web};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::authentication::{has_credentials, identify};
use super::body::{LARGE, held};
use super::documented_routes::{DRY_RUN, Routes};
use super::problem::{Code, Problem};
use crate::access::{Denied, Identity};
use crate::api::depot::Depot;
use crate::catalog::idempotency::Claim;
use crate::storage::RememberedAnswer;
use crate::telemetry::request::{current_id, with_id};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// It is a POST only because its questions need a body.
const UPDATE_CHECK: &str = "/api/v1/update-check";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks a response whose answer contains a secret that is stored nowhere; an extension of the response.
pub struct ShownOnce;

/// The headers that belong to the answer, not to its transmission.
static REMEMBERED_HEADERS: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::ETAG,
    HeaderName::from_static("upload-complete"),
    HeaderName::from_static("upload-offset"),
    HeaderName::from_static("upload-limit"),
    HeaderName::from_static("upload-expires"),
];

/// The headers that describe what is requested, as a body does elsewhere.
static ASKING_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("upload-metadata"),
    HeaderName::from_static("upload-length"),
    HeaderName::from_static("upload-complete"),
];

pub async fn answer_repeats(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // A key belongs to its caller. An anonymous caller has no keys, and therefore writes no rows.
    let has_key = request.headers().contains_key(KEY) && has_credentials(request.request());
    if !has_key || !may_change_something(&request) {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    // If a client disconnects, the future that answers it is dropped. Keys exist for the repeat that it sends next,
    // which must find the answer. The work is therefore a task of its own, which runs to its end in any case.
    let work = with_id(current_id(), answer_once(request, next));
    actix_web::rt::spawn(work).await.map_err(|_| Problem::internal())?
}

/// Reports whether the request may change something. A key stands for a change. Requests that only ask
/// (`update-check`), dry runs and requests for unknown paths write no rows.
fn may_change_something(request: &ServiceRequest) -> bool {
    let is_operation = request
        .app_data::<web::Data<Routes>>()
        .and_then(|routes| routes.allowed(request.path()))
        .is_some_and(|methods| methods.split(", ").any(|method| method == "POST"));
    *request.method() == Method::POST
        && is_operation
        && !request.path().starts_with(UPDATE_CHECK)
        && !is_only_tried(request.query_string())
}

/// Reports whether the query asks for a dry run. `dry_run=false` is a change like any other, so its key is kept.
fn is_only_tried(query: &str) -> bool {
    let is_set = |parameter: &str| parameter.split_once('=') == Some((DRY_RUN, "true"));
    query.split('&').any(is_set)
}

async fn answer_once(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, claimed) = match claim(request).await {
        Ok(claimed) => claimed,
        Err(Refused { request, problem }) => {
            return Ok(request.into_response(problem.error_response()));
        }
    };
    let key = match claimed {
        Claimed::Now(key) => key,
        Claimed::Before(answer) => return Ok(request.into_response(replay(answer))),
    };
    let response = next.call(request).await?;
    let (request, response) = response.into_parts();
    let response = key.remember(response).await;
    Ok(ServiceResponse::new(request, response))
}

struct Refused {
    request: ServiceRequest,
    problem: Problem,
}

enum Claimed {
    Now(HeldKey),
    Before(RememberedAnswer),
}

async fn claim(mut request: ServiceRequest) -> Result<(ServiceRequest, Claimed), Refused> {
    match try_claim(&mut request).await {
        Ok(claimed) => Ok((request, claimed)),
        Err(problem) => Err(Refused { request, problem }),
    }
}

async fn try_claim(request: &mut ServiceRequest) -> Result<Claimed, Problem> {
    let depot = request.app_data::<web::Data<Depot>>().cloned().ok_or_else(Problem::internal)?;
    let key = read_key(request)?;
    let caller = identify(request.request()).await?.ok_or(Denied::Anonymous)?;
    let mut payload = request.take_payload();
    let body = held::collect(request.request(), &mut payload, LARGE).await.map_err(in_one_piece)?;
    let body = body.bytes.clone();
    let fingerprint = fingerprint(request, &body, &caller);
    let caller = caller.name().to_owned();
    request.set_payload(Payload::from(body));
    let conflict = |code, detail| Err(Problem::new(code, detail));
    match depot.catalog.claim_key(&caller, &key, &fingerprint).await? {
        Claim::Proceed => Ok(Claimed::Now(HeldKey { depot, caller, key })),
        Claim::Answered(answer) => Ok(Claimed::Before(answer)),
        Claim::OtherRequest => conflict(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key was used before with another request, or when the caller had other rights; use a \
             new key",
        ),
        Claim::Unanswered => conflict(
            Code::IdempotencyUnanswered,
            "the first request with this Idempotency-Key has no stored answer: it is still in progress, the server \
             stopped before it answered, or the answer contained a secret, which is shown only once. Check whether \
             the change was made; if not, repeat the request with a new key",
        ),
    }
}

/// Explains that files cannot be sent in a request with a key, if the body is too large.
fn in_one_piece(problem: Problem) -> Problem {
    if problem.code() != Code::BodyTooLarge {
        return problem;
    }
    let detail = format!(
        "a request with an Idempotency-Key may have at most {LARGE} bytes: send files without the key, and begin a \
         resumable upload with an empty body"
    );
    Problem::new(Code::BodyTooLarge, detail)
}

fn read_key(request: &ServiceRequest) -> Result<String, Problem> {
    let key = request.headers().get(KEY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = key.trim_matches('"');
    if (1..=255).contains(&key.len()) {
        Ok(key.to_owned())
    } else {
        Err(Problem::new(
            Code::BadIdempotencyKey,
            "Idempotency-Key must have 1 to 255 visible characters",
        ))
    }
}

/// Returns a hash of the request, of its caller and of the caller's rights. A caller who has fewer rights now does not
/// get the earlier answer, nor does another user who has the name of a deleted one.
fn fingerprint(request: &ServiceRequest, body: &[u8], caller: &Identity) -> String {
    let mut hasher = Sha256::new();
    hasher.update(serde_json::to_vec(&caller.standing()).unwrap_or_default());
    hasher.update([0]);
    hasher.update(request.uri().to_string());
    hasher.update([0]);
    hasher.update(without_password(request.path(), body));
    let fields = ASKING_HEADERS.iter().flat_map(|name| request.headers().get_all(name));
    for value in fields {
        hasher.update([0]);
        hasher.update(value);
    }
    hex::encode(hasher.finalize())
}

/// Removes the password from a body. The fingerprint is stored, and it is a fast hash: with the password, it would be a
/// hash of the password without any of Argon2's effort.
fn without_password<'a>(path: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    if path.trim_end_matches('/') != "/api/v1/users" {
        return Cow::Borrowed(body);
    }
    // A body that is not an object is refused in any case.
    let mut fields: serde_json::Map<String, Value> =
        serde_json::from_slice(body).unwrap_or_default();
    fields.remove("password");
    Cow::Owned(serde_json::to_vec(&fields).unwrap_or_default())
}

fn replay(answer: RememberedAnswer) -> HttpResponse {
    let mut response =
        HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    response.insert_header((REPLAYED, HeaderValue::from_static("true"))).body(answer.body)
}

/// A key that this request holds until it is answered.
struct HeldKey {
    depot: web::Data<Depot>,
    caller: String,
    key: String,
}

impl HeldKey {
    /// Stores the answer. Failures of the server are not stored, so that a repeat may succeed.
    async fn remember(
        self,
        response: HttpResponse<impl MessageBody + 'static>,
    ) -> HttpResponse<BoxBody> {
        let (head, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body).await else {
            return Problem::internal().error_response();
        };
        let catalog = &self.depot.catalog;
        // The key stays taken, but without an answer: a repeat is told to check whether the change was made, and makes
        // no second one.
        if head.status().is_success() && head.extensions().get::<ShownOnce>().is_some() {
            return head.set_body(BoxBody::new(bytes));
        }
        // A 404 means that nothing was changed.
        let is_open = head.status().is_server_error() || head.status() == StatusCode::NOT_FOUND;
        let noted = if is_open {
            catalog.release_key(&self.caller, &self.key).await
        } else {
            let headers = REMEMBERED_HEADERS.iter().filter_map(|name| {
                let value = head.headers().get(name)?.to_str().ok()?;
                Some((name.to_string(), value.to_owned()))
            });
            let answer = RememberedAnswer {
                status: head.status().as_u16(),
                headers: headers.collect(),
                body: String::from_utf8_lossy(&bytes).into_owned(),
            };
            catalog.remember(&self.caller, &self.key, &answer).await
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "an answer could not be stored for repeats of its request");
        }
        head.set_body(BoxBody::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_unless_the_change_is_only_tried() {
        assert!(is_only_tried("dry_run=true") && is_only_tried("rollback=true&dry_run=true"));
        for query in ["", "dry_run=false", "note=dry_run", "x=dry_run=true"] {
            assert!(!is_only_tried(query), "{query}");
        }
    }

    #[test]
    fn a_fingerprint_says_nothing_of_a_password() {
        let with = |password: &str| {
            format!(r#"{{"name": "kim", "password": "{password}", "roles": ["reader"]}}"#)
        };
        let path = "/api/v1/users";
        let [one, other] = ["first", "second"].map(with);
        let kept = without_password(path, one.as_bytes());
        assert_eq!(kept, without_password(path, other.as_bytes()));
        assert_ne!(kept, without_password(path, br#"{"name": "lee", "password": "first"}"#));
        assert_eq!(without_password("/api/v1/images", one.as_bytes()), one.as_bytes());
    }
}
