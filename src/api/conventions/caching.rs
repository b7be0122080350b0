//! The rules for caches (RFC 9111). A proxy's cache gives what it stores to everybody, so a response that requires
//! credentials has to forbid that itself: `public` would allow it to be stored despite an `Authorization` (section
//! 3.5), and a client certificate leaves no trace in the request at all.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::model::ReadAccess;

/// The value for responses that no cache may store, least of all a shared one.
pub const NO_CACHING: &str = "private, no-store";

/// The value for pages of the documentation, which caches may store but have to revalidate each time.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Returns `open` if everyone may read the channel, and otherwise forbids caching.
pub const fn of_channel(access: ReadAccess, open: &'static str) -> &'static str {
    match access {
        ReadAccess::Everyone => open,
        ReadAccess::Authenticated => NO_CACHING,
    }
}

/// Reports whether the path is a page of the documentation, which is open to everyone.
pub(super) fn is_page(path: &str) -> bool {
    path.starts_with("/docs") || path == "/api/openapi.json"
}

/// Sets the header of responses that have none. A refusal is never stored: what is missing now may exist a second
/// later, and caches store a 404 or 410 by default (section 4.2.2).
pub(super) fn complete(is_page: bool, status: StatusCode, headers: &mut HeaderMap) {
    let refused = status.is_client_error() || status.is_server_error();
    if refused {
        headers.insert(header::CACHE_CONTROL, NO_STORE);
    } else if !headers.contains_key(header::CACHE_CONTROL) {
        let value = if is_page { REVALIDATE } else { HeaderValue::from_static(NO_CACHING) };
        headers.insert(header::CACHE_CONTROL, value);
    }
}
