//! Refusals, in the form of the depot's: problem documents (RFC 9457), which no cache keeps.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::{Body, whole};
use crate::client::error::Failure;
use crate::client::exit_code::Exit;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into(), headers: Vec::new() }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "The tree has no such file.")
    }

    /// The refusal for a file that has left the tree: 410 for what was revoked, else 404.
    pub fn gone(status: u16) -> Self {
        match StatusCode::from_u16(status) {
            Ok(StatusCode::GONE) => {
                Self::new(StatusCode::GONE, "revision_revoked", "The revision was revoked.")
            }
            _ => Self::not_found(),
        }
    }

    /// A fetch whose turn came when nobody waited for it any more.
    pub fn nobody_waits() -> Self {
        let words = "Nobody waited for the file any more.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "nobody_waits", words)
    }

    /// Nobody believes the metadata that the mirror has.
    pub fn not_fresh(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "tree_not_renewed", detail)
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    pub fn answer(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let document = json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(),
            "detail": self.detail, "code": self.code, "request_id": id(),
        });
        let mut answer = Response::new(whole(document.to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        answer
    }
}

/// Returns a name for one answer.
fn id() -> String {
    let mut bytes = [0; 8];
    // Without randomness, all answers have one name.
    let _none = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<&Failure> for Problem {
    /// The failure of a fetch, before its first byte.
    fn from(failure: &Failure) -> Self {
        let (status, code) = match failure.exit() {
            Exit::NotFound => {
                return Self::gone(if failure.code() == Some("revision_revoked") {
                    410
                } else {
                    404
                });
            }
            Exit::Storage if failure.is_no_room() => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
            // This machine's disk is the trouble, not the depot.
            Exit::Storage => (StatusCode::INTERNAL_SERVER_ERROR, "not_readable"),
            Exit::Unreachable => (StatusCode::GATEWAY_TIMEOUT, "depot_away"),
            _ => (StatusCode::BAD_GATEWAY, "bad_upstream"),
        };
        Self::new(status, code, failure.to_string())
    }
}
