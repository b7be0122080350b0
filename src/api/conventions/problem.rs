//! Problem documents (RFC 9457): the one form in which the API says no, and the one table that gives
//! the catalog's errors their status and code.
//!
//! Each document carries a stable `code` for programs, a sentence for people that says what to do,
//! and the request's id for whoever reads the logs. What went wrong inside the server is logged once,
//! here, and not told.

pub mod codes;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Denied;
use crate::catalog::Error;
use crate::storage::StorageError;
use crate::telemetry::request;
use crate::wire::resumable;

/// Why a request was refused.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Another type than our own, for a kind of problem that a protocol has named.
    kind: Option<&'static str>,
    members: BTreeMap<&'static str, u64>,
}

/// A problem document as it is sent, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/docs/problems#image_not_found", "title": "Not Found", "status": 404,
    "detail": "there is no image of this name", "code": "image_not_found",
    "request_id": "0198f2a4c3d47e0b9d3a6f1e2b4c5d6e"
}))]
pub struct ProblemDocument {
    /// A URI for the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The kind of problem for programs; never changes its meaning.
    code: String,
    /// The `X-Request-Id` of the answer, for whoever reads the server's logs.
    request_id: String,
    /// Numbers that programs may go on with, such as `expected-offset`; the type says which there are.
    #[serde(flatten)]
    #[schema(ignore)]
    members: BTreeMap<&'static str, u64>,
}

impl Problem {
    /// `code` is part of the API: programs compare it, so it never changes its meaning.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (detail, headers, members) = (detail.into(), Vec::new(), BTreeMap::new());
        Self { status, code, detail, headers, kind: None, members }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(present, _)| present == name)
    }

    /// The same with the status that a protocol has for it.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a `type` that a protocol has registered for it.
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

    /// 503: nothing is wrong with the request, it may come again in `seconds`.
    pub fn come_back(code: &'static str, detail: impl Into<String>, seconds: u16) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(header::RETRY_AFTER, seconds.into())
    }

    /// 404 for what does not exist, and for what the caller may not know of.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    /// 401. What is offered depends on the listener, which adds its challenges ([`super::listener`]).
    fn unauthorised(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// Bearer's challenge as RFC 6750 section 3 has it for a token that was not taken. `why` has neither
    /// quotes nor anything beyond ASCII.
    fn with_token_error(self, why: &str) -> Self {
        let challenge = format!(
            r#"Bearer realm="imagedepot", error="invalid_token", error_description="{why}""#
        );
        match HeaderValue::from_str(&challenge) {
            Ok(value) => self.with_header(header::WWW_AUTHENTICATE, value),
            Err(_) => self,
        }
    }

    /// The headers that the status asks for.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// What is sent.
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            kind: self.kind.map_or_else(|| format!("/docs/problems#{}", self.code), str::to_owned),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: request::current_id().unwrap_or_default(),
            members: self.members.clone(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
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

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::Anonymous => Self::unauthorised("credentials_required", detail),
            Denied::WrongCredentials => Self::unauthorised("credentials_wrong", detail),
            Denied::Unreadable => Self::unauthorised("credentials_unreadable", detail),
            Denied::NotOffered => Self::unauthorised("credentials_not_offered", detail),
            Denied::BadToken(_) => {
                Self::unauthorised("token_invalid", &*detail).with_token_error(&detail)
            }
            Denied::ExpiredToken => {
                Self::unauthorised("token_expired", &*detail).with_token_error(&detail)
            }
            Denied::NoGrant => Self::new(StatusCode::FORBIDDEN, "token_without_grant", detail),
            Denied::IssuerAway => Self::come_back("issuer_away", detail, 10),
            Denied::CertificateHeader => {
                Self::new(StatusCode::BAD_REQUEST, "malformed_client_cert", detail)
            }
            Denied::CertificateRefused => {
                Self::new(StatusCode::FORBIDDEN, "certificate_denied", detail)
            }
            Denied::CertificateNotMapped => {
                Self::new(StatusCode::FORBIDDEN, "certificate_not_mapped", detail)
            }
            Denied::CertificateOfDisabled => {
                Self::new(StatusCode::FORBIDDEN, "certificate_user_disabled", detail)
            }
            Denied::CertificateUnreadable => {
                Self::new(StatusCode::FORBIDDEN, "certificate_unreadable", detail)
            }
            Denied::CertificateMissing => {
                Self::new(StatusCode::FORBIDDEN, "certificate_required", detail)
            }
            Denied::Slowed { wait } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "logins_slowed", detail)
                    .with_header(header::RETRY_AFTER, seconds.into())
            }
            Denied::WrongTicket => Self::unauthorised("ticket_wrong", detail),
            Denied::Ntlm => Self::unauthorised("ntlm_refused", detail),
            Denied::TooManySteps => Self::unauthorised("negotiation_too_long", detail),
            Denied::NoSuchPrincipal => Self::unauthorised("principal_unknown", detail),
            Denied::Busy => Self::come_back("logins_busy", detail, 5),
        }
    }
}

/// The table: one line for each way in which the catalog refuses.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use StatusCode as S;
        let (status, code) = match &error {
            Error::ImageNotFound => (S::NOT_FOUND, "image_not_found"),
            Error::RevisionNotFound(_) => (S::NOT_FOUND, "revision_not_found"),
            Error::RevisionDeleted(_) => (S::GONE, "revision_deleted"),
            Error::FileNotFound(_) => (S::NOT_FOUND, "file_not_found"),
            Error::ChannelNotFound => (S::NOT_FOUND, "channel_not_found"),
            Error::AccountNotFound => (S::NOT_FOUND, "user_not_found"),
            Error::TokenNotFound => (S::NOT_FOUND, "token_not_found"),
            Error::TokenRevoked => (S::GONE, "token_revoked"),
            Error::CertificateMappingNotFound => (S::NOT_FOUND, "certificate_mapping_not_found"),
            Error::NothingAssigned => (S::NOT_FOUND, "nothing_assigned"),
            Error::NameTaken(_) => (S::CONFLICT, "name_taken"),
            Error::Invalid { .. } => (S::UNPROCESSABLE_ENTITY, "invalid_value"),
            Error::RoleUnknown { .. } => (S::UNPROCESSABLE_ENTITY, "role_unknown"),
            Error::RevisionSealed(_) => (S::CONFLICT, "revision_sealed"),
            Error::RevisionNotReady { .. } => (S::CONFLICT, "revision_not_ready"),
            Error::RevisionIncomplete { .. } => (S::CONFLICT, "revision_incomplete"),
            Error::RevisionAssigned { .. } => (S::CONFLICT, "revision_assigned"),
            Error::RevisionProtected(_) => (S::CONFLICT, "revision_protected"),
            Error::NothingToRollBackTo => (S::CONFLICT, "nothing_to_roll_back_to"),
            Error::ChannelRequired { .. } => (S::CONFLICT, "channel_required"),
            Error::ChannelInUse { .. } => (S::CONFLICT, "channel_in_use"),
            Error::ChannelIsRequired { .. } => (S::CONFLICT, "channel_is_required"),
            Error::LastAdministrator => (S::CONFLICT, "last_administrator"),
            Error::AccountMapped { .. } => (S::CONFLICT, "user_mapped"),
            Error::CertificateMapped(_) => (S::CONFLICT, "certificate_mapped"),
            Error::Stale => (S::PRECONDITION_FAILED, "precondition_failed"),
            Error::UploadLost => (S::CONFLICT, "upload_lost"),
            Error::UploadNotFound => (S::NOT_FOUND, "upload_not_found"),
            Error::OffsetMismatch { .. } => (S::CONFLICT, "offset_mismatch"),
            Error::UploadComplete => (S::CONFLICT, "upload_complete"),
            Error::UploadIncomplete { .. } => (S::CONFLICT, "upload_incomplete"),
            Error::BeyondEnd { .. } => (S::PAYLOAD_TOO_LARGE, "beyond_end"),
            Error::ChecksumMismatch => (S::UNPROCESSABLE_ENTITY, "checksum_mismatch"),
            Error::UploadTakenOver => (S::CONFLICT, "upload_taken_over"),
            Error::UploadBusy => return Self::come_back("upload_busy", error.to_string(), 5),
            Error::ReferencesIncomplete(_) => (S::CONFLICT, "references_incomplete"),
            Error::JobTaken => return Self::come_back("job_taken", error.to_string(), 10),
            Error::TooManyUploads { .. } => {
                return Self::new(S::TOO_MANY_REQUESTS, "too_many_uploads", error.to_string())
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            Error::QuotaExceeded { .. } => (S::PAYLOAD_TOO_LARGE, "image_quota_exceeded"),
            Error::Forbidden(_) => (S::FORBIDDEN, "forbidden"),
            Error::DigestMismatch { .. } => (S::UNPROCESSABLE_ENTITY, "digest_mismatch"),
            Error::OtherBytes { .. } => (S::UNPROCESSABLE_ENTITY, "other_bytes"),
            Error::Truncated { .. } => (S::BAD_REQUEST, "body_truncated"),
            Error::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "file_too_large"),
            Error::NoRoom { .. } | Error::FloorReached { .. } => {
                (S::INSUFFICIENT_STORAGE, "no_room")
            }
            Error::Storage(storage) => return Self::from_storage(storage),
        };
        let problem = Self::new(status, code, error.to_string());
        match error {
            Error::OffsetMismatch { expected, given } => problem.at_offset(expected, given),
            _ => problem,
        }
    }
}

impl Problem {
    /// In the words of the IETF's draft, whatever protocol is spoken: it tells where to go on.
    fn at_offset(mut self, expected: u64, given: u64) -> Self {
        self.members.insert(resumable::EXPECTED_OFFSET, expected);
        self.members.insert(resumable::PROVIDED_OFFSET, given);
        self.with_type(resumable::MISMATCHING_OFFSET)
            .with_header(resumable::UPLOAD_OFFSET.clone(), expected.into())
    }

    fn from_storage(error: &StorageError) -> Self {
        let request_id = request::current_id().unwrap_or_default();
        match error {
            StorageError::Unavailable(_) => {
                tracing::warn!(%error, request.id = request_id, "the database keeps requests waiting");
                Self::come_back(
                    "database_unavailable",
                    "the database is busy or away; try again",
                    2,
                )
            }
            StorageError::Frozen(_) => Self::come_back(
                "catalog_frozen",
                format!("{error}; come back when it is at its new place"),
                60,
            ),
            StorageError::NoRoom(_) => {
                tracing::error!(%error, request.id = request_id, "the disk is full");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "no_room",
                    "the server's disk is full; nothing was changed",
                )
            }
            StorageError::Store(_) | StorageError::File { .. } => {
                tracing::error!(%error, request.id = request_id, "the store failed");
                Self::come_back(
                    "store_unavailable",
                    "the store of files does not work at the moment",
                    10,
                )
            }
            _ => {
                tracing::error!(%error, request.id = request_id, "a request failed");
                Self::internal()
            }
        }
    }

    /// 500, about which the log says more.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the server; its log says what, under this request_id",
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
    /// How reading operations refuse, for the OpenAPI document.
    ReadRefusals:
    400 Malformed "The request is malformed: `bad_limit`, `bad_cursor`, `bad_query`",
    401 Unknown "Credentials are missing or wrong; `WWW-Authenticate` has the challenges",
    403 Forbidden "The caller lacks the right",
    404 NotFound "There is no such thing, or the caller may not know of it",
    410 Gone "The revision was deleted",
    503 Unavailable "The server cannot answer now; `Retry-After` says when to ask again",
);

refusals!(
    /// How changing operations refuse, for the OpenAPI document.
    ChangeRefusals:
    400 Malformed "The request is malformed: `malformed_json`, `body_truncated`, `malformed_digest`",
    401 Unknown "Credentials are missing or wrong; `WWW-Authenticate` has the challenges",
    403 Forbidden "The caller lacks the right",
    404 NotFound "There is no such thing, or the caller may not know of it",
    409 Conflict "The state of things forbids it; `code` says which and `detail` what to do",
    410 Gone "The revision was deleted",
    411 LengthRequired "An upload has to say its length",
    412 PreconditionFailed "It was changed in the meantime: `If-Match` names an older state",
    413 TooLarge "The body is larger than the limit that `detail` names",
    415 MediaType "The body is not of the expected type",
    422 Invalid "Well-formed but wrong: an unknown field, a bad name, another digest than was named",
    503 Unavailable "The server cannot answer now; `Retry-After` says when to ask again",
    507 NoRoom "The bytes do not fit on the server's disk",
);
