//! Responses to GET and HEAD for a file: ranges, preconditions, validators and digests in one place.
//!
//! The tree and the files of revisions are both served by this module, so BITS, curl and caches find the same rules at
//! every address. The right to read and the choice of the file have been settled before.
//!
//! `actix_files` is unsuitable: of several ranges it answers the first, it does not know `If-Range`, and its entity
//! tags differ from replica to replica.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{self, BodySize, MessageBody, SizedStream};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::Error;
use crate::model::Digest;
use crate::storage::blobs::BlobReader;
use crate::storage::blobs::reader::{BlobStream, Piece};
use crate::wire::digest_fields::{self, REPR_DIGEST};
use crate::wire::multipart_ranges::{MultipartRanges, Section};
use crate::wire::preconditions::{self, EntityTag, Validators, Verdict};
use crate::wire::ranges::{self, Selection};

const WANT_DIGEST: &str = "want-digest";
static DIGEST: HeaderName = HeaderName::from_static("digest");

/// A file to be served.
#[derive(Debug, Clone)]
pub struct ServedFile {
    pub reader: BlobReader,
    pub identity: ContentIdentity,
    /// The time of the file's content, sent in whole seconds. BITS restarts a transfer when it changes. It is none if
    /// other bytes may have the same time.
    pub last_modified: Option<DateTime<Utc>>,
    pub content_type: Cow<'static, str>,
    pub cache_control: &'static str,
}

/// The identity of a file's bytes. The entity tag is derived from it, so that it is the same on every replica.
#[derive(Debug, Clone)]
pub enum ContentIdentity {
    /// The SHA-256 digest of the whole file.
    Bytes(Digest),
    /// The digest of what the bytes are made from: a file that is put together while it is sent has no digest
    /// beforehand.
    Ingredients(Digest),
    /// The SHA-256 digest of the whole file, and the tag that a bucket has for it, because clients are redirected there
    /// as well.
    Stored { tag: String, digest: Digest },
}

impl ContentIdentity {
    fn tag(&self) -> String {
        match self {
            Self::Bytes(digest) => format!("sha256-{}", digest.to_hex()),
            Self::Ingredients(digest) => format!("made-{}", digest.to_hex()),
            Self::Stored { tag, .. } => tag.clone(),
        }
    }

    /// Returns the digest of the bytes themselves, or none if it is not known.
    const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Bytes(digest) | Self::Stored { digest, .. } => Some(*digest),
            Self::Ingredients(_) => None,
        }
    }
}

/// Answers a GET or HEAD of `file`: 200, 206, 304, or a problem with 412 or 416.
///
/// Responses with bytes always have a `Content-Length`, and never chunks or content codings, because BITS refuses both.
/// Answers 503 if the store that has the bytes is unreachable.
pub async fn respond(request: &HttpRequest, file: ServedFile) -> Result<HttpResponse, Problem> {
    let digest = wanted_digest(request.headers(), &file.identity);
    let mut response = answered(request, file).await?;
    if let Some(digest) = digest {
        response.headers_mut().insert(DIGEST.clone(), digest);
    }
    Ok(response)
}

/// Reports whether the client has the file already. Such a response costs nothing, however many downloads there are.
pub fn is_known(request: &HttpRequest, file: &ServedFile) -> bool {
    preconditions::evaluate(request.method(), request.headers(), &file.validators())
        == Verdict::NotModified
}

/// Reports whether the whole file or a single range of it has to be sent, after all conditions in the request were
/// checked. A bucket can serve such a request as well.
pub fn can_be_redirected(request: &HttpRequest, file: &ServedFile) -> bool {
    let (headers, validators) = (request.headers(), file.validators());
    let verdict = preconditions::evaluate(request.method(), headers, &validators);
    let Some(range) = headers.get(header::RANGE) else { return verdict == Verdict::Proceed };
    // A HEAD has no ranges here (RFC 9110 section 14.2). Several ranges count as several, even if only one of them is
    // in the file.
    let is_one = *request.method() == Method::GET && !range.as_bytes().contains(&b',');
    let selection = selection(headers, &validators, file.reader.size());
    verdict == Verdict::Proceed && is_one && matches!(selection, Selection::Single(_))
}

async fn answered(request: &HttpRequest, file: ServedFile) -> Result<HttpResponse, Problem> {
    let validators = file.validators();
    match preconditions::evaluate(request.method(), request.headers(), &validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            let response = file.head(StatusCode::NOT_MODIFIED).finish();
            // Without a length, because HTTP/2 would send `content-length: 0`, which is not the length of the file.
            return Ok(response.set_body(body::None::new()).map_into_boxed_body());
        }
        Verdict::Failed => return Err(precondition_failed(request.headers())),
    }
    if *request.method() == Method::HEAD {
        let mut head = file.head(StatusCode::OK);
        head.insert_header((header::CONTENT_TYPE, file.content_type.as_ref()));
        return Ok(head.body(Unsent(file.reader.size())));
    }

    match selection(request.headers(), &validators, file.reader.size()) {
        Selection::Whole => file.whole().await,
        Selection::Single(range) => file.part(range).await,
        Selection::Multiple(ranges) => file.parts(ranges).await,
        Selection::Unsatisfiable => Err(range_not_satisfiable(file.reader.size())),
    }
}

/// Returns the file's digest if `Want-Digest` asks for it (RFC 3230 section 4.3.1), as aria2 does.
fn wanted_digest(headers: &HeaderMap, identity: &ContentIdentity) -> Option<HeaderValue> {
    let digest = identity.digest()?;
    let wanted = headers.get_all(WANT_DIGEST).any(digest_fields::asks_for_sha256);
    wanted.then(|| HeaderValue::try_from(digest_fields::write_instance(digest)).ok())?
}

/// Returns the part of the file that is requested. Two `Range` fields in one request are malformed and therefore
/// ignored.
fn selection(headers: &HeaderMap, validators: &Validators, size: u64) -> Selection {
    let mut fields = headers.get_all(header::RANGE);
    match (fields.next(), fields.next()) {
        (Some(field), None) if preconditions::range_applies(headers, validators) => {
            ranges::select(field.as_bytes(), size)
        }
        _ => Selection::Whole,
    }
}

impl ServedFile {
    fn validators(&self) -> Validators {
        Validators {
            tag: Some(EntityTag::strong(self.identity.tag())),
            last_modified: self.last_modified,
        }
    }

    /// Starts a response with the headers that every response about the file has, including a 304.
    fn head(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut head = HttpResponse::build(status);
        head.insert_header((header::ETAG, format!("\"{}\"", self.identity.tag())))
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((header::CACHE_CONTROL, self.cache_control))
            // A proxy that buffers a large file (nginx) takes a gigabyte at once, and then nothing for minutes.
            .insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
        if let Some(time) = self.last_modified {
            head.insert_header((header::LAST_MODIFIED, httpdate::fmt_http_date(time.into())));
        }
        if let Some(digest) = self.identity.digest() {
            head.insert_header((REPR_DIGEST.clone(), digest_fields::write(digest)));
        }
        head
    }

    async fn whole(self) -> Result<HttpResponse, Problem> {
        let size = self.reader.size();
        let body = self.body(std::iter::once(Piece::Range(0..size))).await?;
        Ok(self
            .head(StatusCode::OK)
            .insert_header((header::CONTENT_TYPE, self.content_type.as_ref()))
            .body(SizedStream::new(size, body)))
    }

    async fn body(
        &self,
        pieces: impl Iterator<Item = Piece> + Send + 'static,
    ) -> Result<BlobStream, Problem> {
        Ok(self.reader.begin(pieces).await.map_err(Error::from)?)
    }

    async fn part(self, range: std::ops::Range<u64>) -> Result<HttpResponse, Problem> {
        let content_range =
            format!("bytes {}-{}/{}", range.start, range.end - 1, self.reader.size());
        let body = self.body(std::iter::once(Piece::Range(range.clone()))).await?;
        Ok(self
            .head(StatusCode::PARTIAL_CONTENT)
            .insert_header((header::CONTENT_TYPE, self.content_type.as_ref()))
            .insert_header((header::CONTENT_RANGE, content_range))
            .body(SizedStream::new(range.end - range.start, body)))
    }

    /// Returns the boundary between parts. No file contains half of its own SHA-256 digest, so it cannot occur in the
    /// content. Nor can anybody find a file that contains half of the digest of its ingredients.
    fn boundary(&self) -> String {
        let (ContentIdentity::Bytes(digest)
        | ContentIdentity::Ingredients(digest)
        | ContentIdentity::Stored { digest, .. }) = &self.identity;
        digest.to_hex()[..32].to_owned()
    }

    async fn parts(self, ranges: Vec<std::ops::Range<u64>>) -> Result<HttpResponse, Problem> {
        let boundary = self.boundary();
        let mut head = self.head(StatusCode::PARTIAL_CONTENT);
        let answer = MultipartRanges::new(
            ranges,
            self.reader.size(),
            boundary,
            self.content_type.clone().into_owned(),
        );
        head.insert_header((header::CONTENT_TYPE, answer.media_type()));

        let length = answer.content_length();
        let pieces = answer.into_sections().map(|section| match section {
            Section::Framing(text) => Piece::Literal(text),
            Section::Content(range) => Piece::Range(range),
        });
        Ok(head.body(SizedStream::new(length, self.body(pieces).await?)))
    }
}

fn precondition_failed(headers: &HeaderMap) -> Problem {
    let is_weak = |field: &HeaderValue| field.as_bytes().windows(2).any(|two| two == b"W/");
    let detail = if headers.get_all(header::IF_MATCH).any(is_weak) {
        "If-Match never matches a weak tag (RFC 9110 section 13.1.1). Send the tag as ETag gave it, without the W/ \
         that proxies add."
    } else {
        "The file is not the one that If-Match or If-Unmodified-Since names. Repeat the request without the condition \
         to get the current file."
    };
    Problem::new(Code::PreconditionFailed, detail)
}

fn range_not_satisfiable(size: u64) -> Problem {
    let problem = Problem::new(
        Code::RangeNotSatisfiable,
        format!("None of the ranges is inside the file, which has {size} bytes."),
    );
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}

/// A body that has a length but no bytes. The server reads a body to its end even for HEAD, although it sends none of
/// it: a real body would read the whole file for nothing.
struct Unsent(u64);

impl MessageBody for Unsent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}
