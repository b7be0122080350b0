//! Answering GET and HEAD for a file: ranges, preconditions, validators and digests in one place.
//!
//! The tree and the files of revisions are both served by this, so BITS, curl and caches find the
//! same rules under every address. Who may read, and which file it is, has been settled before.
//!
//! `actix_files` is no base for it: of several ranges it answers the first, it does not know
//! `If-Range`, and its entity tags differ from replica to replica.

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

/// A file as it is to be served.
#[derive(Debug, Clone)]
pub struct ServedFile {
    pub reader: BlobReader,
    pub identity: Identity,
    /// The time of its content, shown in whole seconds. BITS restarts a transfer when it changes. None where the same
    /// time may belong to other bytes.
    pub last_modified: Option<DateTime<Utc>>,
    pub content_type: Cow<'static, str>,
    pub cache_control: &'static str,
}

/// What tells a file's bytes from any others. The entity tag is made from it, equal on every replica.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The SHA-256 of all its bytes.
    Bytes(Digest),
    /// Of what the bytes are made from: a file that is put together while it is sent has no digest before.
    Ingredients(Digest),
    /// The SHA-256 of all its bytes, with the tag that a bucket has for them: clients are sent there, too.
    Stored { tag: String, digest: Digest },
}

impl Identity {
    fn tag(&self) -> String {
        match self {
            Self::Bytes(digest) => format!("sha256-{}", digest.to_hex()),
            Self::Ingredients(digest) => format!("made-{}", digest.to_hex()),
            Self::Stored { tag, .. } => tag.clone(),
        }
    }

    /// Of the bytes themselves.
    const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Bytes(digest) | Self::Stored { digest, .. } => Some(*digest),
            Self::Ingredients(_) => None,
        }
    }
}

/// The answer to a GET or HEAD of `file`: 200, 206, 304, or a problem of 412 or 416.
///
/// `Content-Length` is always there, chunks and content codings never: BITS refuses both.
/// 503 where the store that has its bytes is away.
pub async fn respond(request: &HttpRequest, file: ServedFile) -> Result<HttpResponse, Problem> {
    let digest = wanted_digest(request.headers(), &file.identity);
    let mut response = answered(request, file).await?;
    if let Some(digest) = digest {
        response.headers_mut().insert(DIGEST.clone(), digest);
    }
    Ok(response)
}

/// Whether the client has it already: an answer that costs nothing, however many downloads there are.
pub fn is_known(request: &HttpRequest, file: &ServedFile) -> bool {
    preconditions::evaluate(request.method(), request.headers(), &file.validators())
        == Verdict::NotModified
}

/// Whether nothing is to be decided any more: the whole file or one range of it is due, with whatever conditions came.
pub fn is_for_whoever_has_the_bytes(request: &HttpRequest, file: &ServedFile) -> bool {
    let (headers, validators) = (request.headers(), file.validators());
    let verdict = preconditions::evaluate(request.method(), headers, &validators);
    let Some(range) = headers.get(header::RANGE) else { return verdict == Verdict::Proceed };
    // A HEAD has no ranges here (RFC 9110 section 14.2), and several are several though only one of them is in the file.
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
            // Without a length: HTTP/2 would say `content-length: 0`, which is not the file's.
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

/// The instance's digest where `Want-Digest` asks for it (RFC 3230 section 4.3.1), as aria2 does.
fn wanted_digest(headers: &HeaderMap, identity: &Identity) -> Option<HeaderValue> {
    let digest = identity.digest()?;
    let wanted = headers.get_all(WANT_DIGEST).any(digest_fields::asks_for_sha256);
    wanted.then(|| HeaderValue::try_from(digest_fields::write_instance(digest)).ok())?
}

/// What is asked for. Two `Range` fields in one request are malformed, hence ignored.
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

    /// What every answer about the file says, 304 included.
    fn head(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut head = HttpResponse::build(status);
        head.insert_header((header::ETAG, format!("\"{}\"", self.identity.tag())))
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((header::CACHE_CONTROL, self.cache_control))
            // A proxy that buffers a large file takes a gigabyte at once and then nothing for minutes (nginx).
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

    /// No file holds half of its own SHA-256, so this cannot stand in the content; nor would anybody find a file
    /// that has half of the one of its ingredients in it.
    fn boundary(&self) -> String {
        let (Identity::Bytes(digest)
        | Identity::Ingredients(digest)
        | Identity::Stored { digest, .. }) = &self.identity;
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
        "If-Match never matches a weak tag (RFC 9110 section 13.1.1). Send the tag as ETag gave it, without W/, which proxies add."
    } else {
        "The file is not the one that If-Match or If-Unmodified-Since names. Ask again without it to get the current one."
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

/// A body that has a length and is not there. The server reads a body to its end even for HEAD,
/// where it sends none of it; a real one would read the whole file for nothing.
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
