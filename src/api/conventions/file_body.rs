//! A file as a body: its form in the OpenAPI document, the rules for the headers of a request, and the digests in them.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use crate::model::Digest;
use crate::wire::digest_fields::{self, CONTENT_DIGEST, REPR_DIGEST};
use crate::wire::promised_digests::{
    Algorithm, DigestCheck, Promise, Unsupported, WANT_REPR_DIGEST, WANTED, promised,
};

/// The raw bytes of a file.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct FileBytes(());

/// Checks that the body is the file itself. `application/…`, `binary/…` and `text/plain` are accepted, because clients
/// send different types for bytes: curl and wget that of a form, Python's and Go's clients one that they guess from a
/// name. All other types are refused, above all those of several parts, and so is a content coding.
pub fn must_be_plain_bytes(request: &HttpRequest) -> Result<(), Problem> {
    let text = |name: header::HeaderName| {
        request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
    };
    let essence =
        text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    let is_bytes = |essence: &str| {
        let essence = essence.to_ascii_lowercase();
        ["application/", "binary/"].iter().any(|family| essence.starts_with(family))
            || essence == "text/plain"
    };
    if essence.is_some_and(|essence| !is_bytes(essence)) {
        return Err(Problem::new(
            Code::RawBytesExpected,
            "the body must be the file itself, as application/octet-stream or without a Content-Type (curl -T FILE)",
        ));
    }
    must_be_uncoded(request)
}

/// Checks that there is no content coding, because nothing would decode it.
pub fn must_be_uncoded(request: &HttpRequest) -> Result<(), Problem> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "send the file as it is, without a content coding";
    Err(Problem::new(Code::ContentCodingRefused, detail))
}

/// Returns the SHA-256 digest that one of the fields of RFC 9530 contains.
pub fn digest_in(
    request: &HttpRequest,
    name: &header::HeaderName,
) -> Result<Option<Digest>, Problem> {
    digest_fields::read(request.headers(), name)
        .map_err(|error| Problem::new(Code::MalformedDigest, error.to_string()))
}

/// Returns the digests of the whole file in a request: the SHA-256 digest, which the catalog stores, and the others
/// that have to be compared.
pub fn promises_of_whole(
    request: &HttpRequest,
) -> Result<(Option<Digest>, Vec<DigestCheck>), Problem> {
    let digest = digest_of_whole(request)?;
    let known = digest.map(|digest| digest.as_bytes().to_vec());
    let is_other = |promise: &Promise| Some(&promise.digest) != known.as_ref();
    let others = promised(request.headers()).map_err(|unkept| unkept_promise(&unkept))?;
    Ok((digest, others.into_iter().filter(is_other).map(DigestCheck::of).collect()))
}

/// Refuses digests of algorithms that are not in `compared`. Where bytes come in pieces, each piece may have a digest
/// of its own, but other digests would not be compared.
pub fn must_promise_no_other(request: &HttpRequest, compared: &[Algorithm]) -> Result<(), Problem> {
    let promises = promised(request.headers()).map_err(|unkept| unkept_promise(&unkept))?;
    let Some(other) = promises.iter().find(|promise| !compared.contains(&promise.algorithm)) else {
        return Ok(());
    };
    let names: Vec<_> = compared.iter().map(|algorithm| algorithm.name()).collect();
    let (name, list) = (other.algorithm.name(), names.join(", "));
    let detail =
        format!("{name} is not checked for files that arrive in pieces: send {list}, or none");
    let problem = Problem::new(Code::DigestNotCompared, detail);
    let wanted = names.iter().map(|name| format!("{name}=10")).collect::<Vec<_>>().join(", ");
    Err(match HeaderValue::try_from(wanted) {
        Ok(wanted) => problem.with_header(WANT_REPR_DIGEST.clone(), wanted),
        Err(_) => problem,
    })
}

fn unkept_promise(unkept: &Unsupported) -> Problem {
    let code = match unkept {
        Unsupported::Malformed(_) => Code::MalformedDigest,
        Unsupported::Unknown(_) => Code::DigestNotCompared,
    };
    let problem = Problem::new(code, unkept.to_string());
    problem.with_header(WANT_REPR_DIGEST.clone(), HeaderValue::from_static(WANTED))
}

/// Returns the digest of the file in a request that contains it whole. Both fields then describe the same bytes.
pub fn digest_of_whole(request: &HttpRequest) -> Result<Option<Digest>, Problem> {
    match (digest_in(request, &REPR_DIGEST)?, digest_in(request, &CONTENT_DIGEST)?) {
        (Some(a), Some(b)) if a != b => {
            let detail = "Repr-Digest and Content-Digest name different digests of the same bytes";
            Err(Problem::new(Code::MalformedDigest, detail))
        }
        (a, b) => Ok(a.or(b)),
    }
}
