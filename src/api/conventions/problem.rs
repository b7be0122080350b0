//! Problem documents (RFC 9457): the only form in which the API refuses requests. The table of all refusals is in
//! `code`.
//!
//! Each document has a stable `code` for programs, a sentence for people that says what to do, and the request's id for
//! readers of the logs. Failures inside the server are logged once, here, and not disclosed.

mod code;
pub mod page;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use code::Code;

use crate::access::Denied;
use crate::catalog::Error;
use crate::storage::StorageError;
use crate::telemetry::request;
use crate::wire::resumable;

/// The reason why a request was refused.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    /// The code's own status, unless a protocol has a different one for it.
    status: StatusCode,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A `type` other than our own, for a kind of problem that a protocol has registered.
    kind: Option<&'static str>,
    members: BTreeMap<&'static str, serde_json::Value>,
}

/// A problem document (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/docs/problems#image_not_found", "title": "Not Found", "status": 404,
    "detail": "there is no image of this name", "code": "image_not_found",
    "request_id": "0198f2a4c3d47e0b9d3a6f1e2b4c5d6e"
}))]
pub struct ProblemDocument {
    /// A URI that identifies the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The text of the status, such as `Not Found`.
    title: String,
    status: u16,
    /// A sentence that says what is wrong with this request, and what to do.
    detail: String,
    /// The kind of problem, for programs. Its meaning never changes.
    code: String,
    /// The `X-Request-Id` of the response, for readers of the server's logs.
    request_id: String,
    /// Numbers that programs may use, such as `expected-offset`; the type says which there are.
    #[serde(flatten)]
    #[schema(ignore)]
    members: BTreeMap<&'static str, serde_json::Value>,
}

impl Problem {
    /// Creates a problem with the status of its code, and with `Retry-After` if the table has one.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (detail, members) = (detail.into(), BTreeMap::new());
        let after = code.retry_after().map(|seconds| (header::RETRY_AFTER, seconds.into()));
        let headers = after.into_iter().collect();
        Self { code, status: code.status(), detail, headers, kind: None, members }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(present, _)| present == name)
    }

    /// Replaces the status with the one that a protocol has for it.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets a `type` that a protocol has registered for it.
    #[must_use]
    pub fn with_type(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Adds a header that the status asks for, such as `Retry-After` or `Content-Range`.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the seconds after which the caller may try again, in place of those of the code.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.retain(|(name, _)| *name != header::RETRY_AFTER);
        self.with_header(header::RETRY_AFTER, seconds.into())
    }

    /// Adds a member to the document (RFC 9457 section 3.2).
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.members.insert(name, value);
        }
        self
    }

    /// Returns a 404, for anything that does not exist or that the caller may not know of.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    /// Adds the challenge of RFC 6750, section 3, for a Bearer token that was refused. `why` contains neither quotes
    /// nor anything beyond ASCII.
    fn with_token_error(self, why: &str) -> Self {
        let challenge = format!(
            r#"Bearer realm="imagedepot", error="invalid_token", error_description="{why}""#
        );
        match HeaderValue::from_str(&challenge) {
            Ok(value) => self.with_header(header::WWW_AUTHENTICATE, value),
            Err(_) => self,
        }
    }

    /// Returns the headers that the status requires.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Returns the document to be sent.
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            kind: self
                .kind
                .map_or_else(|| format!("/docs/problems#{}", self.code.as_str()), str::to_owned),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str().to_owned(),
            request_id: request::current_id().unwrap_or_default(),
            members: self.members.clone(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response
            .insert_header((header::CONTENT_TYPE, "application/problem+json"))
            .json(self.document())
    }
}

/// The challenges of a 401 depend on the listener, which adds them ([`super::listener`]).
impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        let problem = Self::new(Code::from(&denied), &*detail);
        match denied {
            Denied::BadToken(_) | Denied::ExpiredToken => problem.with_token_error(&detail),
            Denied::Slowed { wait } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                problem.with_header(header::RETRY_AFTER, seconds.into())
            }
            _ => problem,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match Code::of_catalog(&error) {
            Ok(code) => code,
            Err(failure) => return Self::from_storage(failure),
        };
        let problem = Self::new(code, error.to_string());
        match error {
            Error::OffsetMismatch { expected, given } => problem.at_offset(expected, given),
            _ => problem,
        }
    }
}

impl Problem {
    /// Adds the correct offset in the format of the IETF draft, whatever the protocol, so that a client can continue
    /// there.
    fn at_offset(mut self, expected: u64, given: u64) -> Self {
        self.members.insert(resumable::EXPECTED_OFFSET, expected.into());
        self.members.insert(resumable::PROVIDED_OFFSET, given.into());
        self.with_type(resumable::MISMATCHING_OFFSET)
            .with_header(resumable::UPLOAD_OFFSET.clone(), expected.into())
    }

    fn from_storage(error: &StorageError) -> Self {
        let request_id = request::current_id().unwrap_or_default();
        match error {
            StorageError::Unavailable(_) => {
                tracing::warn!(%error, request.id = request_id, "the database is busy or unreachable");
                let detail = "the database is busy or unreachable; try again";
                Self::new(Code::DatabaseUnavailable, detail)
            }
            StorageError::Frozen(_) => {
                let detail = format!("{error}; try again when it is at its new location");
                Self::new(Code::CatalogFrozen, detail)
            }
            StorageError::NoRoom(_) => {
                tracing::error!(%error, request.id = request_id, "the disk is full");
                let detail = "the server's disk is full; nothing was changed";
                Self::new(Code::NoRoom, detail)
            }
            StorageError::SpaceReserved { .. } => {
                tracing::warn!(%error, request.id = request_id, "the disk is full");
                Self::new(Code::NoRoom, format!("{error}; nothing was changed"))
            }
            StorageError::Store(_) | StorageError::File { .. } => {
                tracing::error!(%error, request.id = request_id, "the store cannot be used");
                let refusal = error.refusal_of_store();
                let detail = refusal.unwrap_or("the store of files is unavailable; try again");
                Self::new(Code::StoreUnavailable, detail)
            }
            _ => {
                tracing::error!(%error, request.id = request_id, "a request failed");
                Self::internal()
            }
        }
    }

    /// Returns a 500, about which the log says more.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "an internal error occurred; the server's log has the details under this request_id",
        )
    }
}

macro_rules! refusals {
    ($(#[$doc:meta])* $type:ident: $($status:literal $variant:ident $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(utoipa::IntoResponses)]
        pub enum $type {
            $(
                #[doc = $text]
                #[response(status = $status, content_type = "application/problem+json")]
                $variant(ProblemDocument),
            )+
        }
    };
}

refusals!(
    /// The refusals of operations that read, for the OpenAPI document.
    ReadRefusals:
    400 Malformed "The request is malformed: `bad_limit`, `bad_cursor`, `bad_query`",
    401 Unknown "Credentials are missing or wrong; `WWW-Authenticate` has the challenges",
    403 Forbidden "The caller lacks the right",
    404 NotFound "The resource does not exist, or the caller may not know of it",
    410 Gone "The revision was deleted",
    429 TooMany "Wrong passwords were sent before; `Retry-After` says when to try again",
    503 Unavailable "The server cannot answer now; `Retry-After` says when to try again",
);

refusals!(
    /// The refusals of downloads, besides [`ReadRefusals`].
    FileRefusals:
    409 Conflict "The state of the revision does not allow downloads; `code` says why",
    412 PreconditionFailed "`If-Match` or `If-Unmodified-Since` names an older state",
    416 NotSatisfiable "None of the ranges is inside the file; `Content-Range` has its size",
);

refusals!(
    /// The refusal of an operation that needs a ready revision, besides [`ReadRefusals`].
    NotReady:
    409 Conflict "The revision is not ready; `detail` names its state",
);

refusals!(
    /// The refusals of an operation that checks its query, besides [`ReadRefusals`].
    InvalidQuery:
    422 Invalid "A parameter is well-formed but not valid; `detail` names it",
);

refusals!(
    /// The refusals of a question about an upload in the tus protocol, besides [`ReadRefusals`].
    UnknownTus:
    412 TusVersion "`Tus-Resumable` names a version that the server does not support",
);

refusals!(
    /// The refusals of an operation that reads a JSON body but changes nothing, besides [`ReadRefusals`].
    BodyRefusals:
    408 TooSlow "The body stopped arriving",
    413 TooLarge "The body is larger than the limit that `detail` names",
    415 MediaType "The body is not of the expected type",
    422 Invalid "The body is well-formed but not valid: an unknown field, or a value that is not allowed",
);

refusals!(
    /// The refusals of operations that change something, for the OpenAPI document.
    ChangeRefusals:
    400 Malformed "The request is malformed: `malformed_json`, `body_truncated`, `malformed_digest`",
    401 Unknown "Credentials are missing or wrong; `WWW-Authenticate` has the challenges",
    403 Forbidden "The caller lacks the right",
    404 NotFound "The resource does not exist, or the caller may not know of it",
    408 TooSlow "The body stopped arriving; `detail` says whether the bytes that arrived were kept",
    409 Conflict "The current state does not allow it; `code` says why, and `detail` what to do",
    410 Gone "The revision was deleted",
    411 LengthRequired "An upload must state its length, or that it follows later",
    412 PreconditionFailed "The resource was changed in the meantime: `If-Match` names an older state",
    413 TooLarge "The body is larger than the limit that `detail` names",
    415 MediaType "The body is not of the expected type",
    422 Invalid "The request is not valid: an unknown field, an invalid name, a digest that does not match",
    429 TooMany "Too many uploads are open, or wrong passwords were sent before; `Retry-After` says when to try again",
    503 Unavailable "The server cannot answer now; `Retry-After` says when to try again",
    507 NoRoom "The bytes do not fit on the server's disk, or it is full and only operations that free space are \
     accepted",
);
