//! A file as the body of a request: what its headers must say, and the digests that they name.

use actix_web::HttpRequest;
use actix_web::http::header;

use super::problem::{Code, Problem};
use crate::model::Digest;
use crate::wire::digest_fields::{self, CONTENT_DIGEST, REPR_DIGEST};

/// A file comes as it is: `application/octet-stream`, no type at all, or one of `others`, and without a
/// content coding.
pub fn must_be_plain_bytes(request: &HttpRequest, others: &[&str]) -> Result<(), Problem> {
    let text = |name: header::HeaderName| {
        request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
    };
    let essence =
        text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    let known = |essence: &str| {
        essence.eq_ignore_ascii_case("application/octet-stream")
            || others.iter().any(|other| essence.eq_ignore_ascii_case(other))
    };
    if essence.is_some_and(|essence| !known(essence)) {
        return Err(Problem::new(
            Code::RawBytesExpected,
            "the body is the file itself: send it as application/octet-stream or without a Content-Type (curl -T FILE)",
        ));
    }
    must_be_uncoded(request)
}

/// Nobody would take the coding off again.
pub fn must_be_uncoded(request: &HttpRequest) -> Result<(), Problem> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "files are sent as they are, without a content coding";
    Err(Problem::new(Code::ContentCodingRefused, detail))
}

/// The SHA-256 that one of the fields of RFC 9530 names.
pub fn digest_in(
    request: &HttpRequest,
    name: &header::HeaderName,
) -> Result<Option<Digest>, Problem> {
    digest_fields::read(request.headers(), name)
        .map_err(|error| Problem::new(Code::MalformedDigest, error.to_string()))
}

/// In a request that holds the whole file both fields speak of the same bytes.
pub fn digest_of_whole(request: &HttpRequest) -> Result<Option<Digest>, Problem> {
    match (digest_in(request, &REPR_DIGEST)?, digest_in(request, &CONTENT_DIGEST)?) {
        (Some(a), Some(b)) if a != b => {
            let detail = "Repr-Digest and Content-Digest name different digests of the same bytes";
            Err(Problem::new(Code::MalformedDigest, detail))
        }
        (a, b) => Ok(a.or(b)),
    }
}
