//! What caches may do with an answer (RFC 9111). A proxy's cache hands what it keeps to everybody, so an answer that needs
//! credentials says so itself: `public` lets it be kept although there was an `Authorization` (section 3.5), and a client
//! certificate leaves no trace in the request at all.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::model::ReadAccess;

/// Nobody keeps it, and least of all a cache that others share.
pub const KEPT_BY_NOBODY: &str = "private, no-store";

/// What is kept for as long as it is not asked after each time: pages of the documentation.
const ASKED_AFTER: HeaderValue = HeaderValue::from_static("no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// `open` where everyone may read.
pub const fn of_channel(access: ReadAccess, open: &'static str) -> &'static str {
    match access {
        ReadAccess::Everyone => open,
        ReadAccess::Authenticated => KEPT_BY_NOBODY,
    }
}

/// Whether it is a page of the documentation, which is open to everyone.
pub(super) fn is_page(path: &str) -> bool {
    path.starts_with("/docs") || path == "/api/openapi.json"
}

/// What an answer says that says nothing itself. A refusal is never kept: what is missing now may be there in a second, and caches
/// keep a 404 or 410 of their own accord (section 4.2.2).
pub(super) fn complete(is_page: bool, status: StatusCode, headers: &mut HeaderMap) {
    let refused = status.is_client_error() || status.is_server_error();
    if refused {
        headers.insert(header::CACHE_CONTROL, NO_STORE);
    } else if !headers.contains_key(header::CACHE_CONTROL) {
        let value = if is_page { ASKED_AFTER } else { HeaderValue::from_static(KEPT_BY_NOBODY) };
        headers.insert(header::CACHE_CONTROL, value);
    }
}
