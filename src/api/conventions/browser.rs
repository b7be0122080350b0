//! Headers for browsers: they forbid guessing content types, and framing or leaking the documentation's pages. They
//! also name the other sites whose pages may call the API (CORS).

use actix_cors::Cors;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// A file has the type that is declared, whatever its bytes look like.
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// The pages load everything from this server. Swagger UI itself writes styles and small pictures into its page.
const OWN_CONTENT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// The response headers that pages of other origins may read, besides the few that they may always read.
const EXPOSED: [&str; 24] = [
    "Accept-Ranges",
    "Allow",
    "Check-After",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Complete",
    "Upload-Draft-Interop-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Limit",
    "Upload-Metadata",
    "Upload-Offset",
    "Want-Repr-Digest",
    "WWW-Authenticate",
    "X-Request-Id",
];

/// The time for which a browser may keep the answer to a preflight request, in seconds.
const PREFLIGHT_AGE: usize = 3600;

/// Sets the headers of every response, and those of HTML pages.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, OWN_CONTENT);
        headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    }
}

/// Lets pages of these origins call the API with credentials of their own, in `Authorization`. The credentials that the
/// browser holds (certificates, tickets, passwords) are not sent along. Requests of other origins that contain them are
/// refused in [`super::cross_site`].
pub fn let_in_pages_of(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allow_any_header()
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_AGE);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
