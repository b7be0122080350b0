//! Answers to GET and HEAD of the tree, as the depot answers: the same tags, dates and rules for caches, so that a
//! download that was begun at one goes on at the other.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderValue, LAST_MODIFIED,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::about::About;
use super::body::{Body, whole};
use super::conditions::{Validators, Wanted as Asked, wanted};
use super::library::{Opened, Wanted};
use super::moment::{Moment, Named};
use super::problem::Problem;
use super::reading::Reading;
use super::site::Site;
use crate::client::trust::copy::path_of;
use crate::client::trust::source::largest;
use crate::file_system;
use crate::model::Digest;
use crate::trust::role::FileName;

/// The rules for caches, as the depot has them.
const FOR_A_DAY: &str = "public, max-age=86400, immutable, no-transform";
const BRIEFLY: &str = "public, max-age=15, no-transform";
const FOR_A_MOMENT: &str = "public, max-age=1, no-transform";
const NOT_AT_ALL: &str = "private, no-store";

const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// Answers a request.
pub async fn answer<B>(site: Arc<Site>, request: Request<B>, address: IpAddr) -> Response<Body> {
    let (head, _) = request.into_parts();
    let is_get = match head.method {
        Method::GET => true,
        Method::HEAD => false,
        _ => {
            let words = "This server answers GET and HEAD alone.";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words);
            return problem.with(ALLOW, HeaderValue::from_static("GET, HEAD")).answer();
        }
    };
    let asked = Question { site: &site, headers: &head.headers, is_get, address };
    let mut answer = asked.answer(head.uri.path()).await.unwrap_or_else(Problem::answer);
    if !is_get {
        // The length stays: hyper sends no body to a HEAD.
        *answer.body_mut() = whole("");
    }
    answer
}

/// A request.
struct Question<'a> {
    site: &'a Site,
    headers: &'a HeaderMap,
    is_get: bool,
    address: IpAddr,
}

impl Question<'_> {
    async fn answer(&self, path: &str) -> Result<Response<Body>, Problem> {
        let path = path.strip_prefix(&self.site.alias).ok_or_else(Problem::not_found)?;
        let path = percent_decode_str(path).decode_utf8().map_err(|_| Problem::not_found())?;
        let moment = self.site.moment()?;
        let is_closed = self.site.must_read(&moment, &path, self.headers, self.address).await?;
        let open = |rule: &'static str| if is_closed { NOT_AT_ALL } else { rule };
        match moment.find(&path)? {
            Named::Timestamp => self.bytes(moment.picture.timestamp().to_vec(), open(FOR_A_MOMENT)),
            Named::Metadata(name) => self.bytes(self.metadata(name)?, open(FOR_A_DAY)),
            Named::Document(path) => self.bytes(document(&moment, &path)?, open(BRIEFLY)),
            Named::File(file) => self.file(&file, is_closed).await,
        }
    }

    fn metadata(&self, name: FileName) -> Result<Vec<u8>, Problem> {
        let place = self.site.folder.join(path_of(name));
        file_system::read(&place, largest(name)).map_err(|_| Problem::not_found())
    }

    /// Answers with a small file.
    fn bytes(&self, bytes: Vec<u8>, cache: &str) -> Result<Response<Body>, Problem> {
        let facts = Facts {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            date: None,
            cache: cache.to_owned(),
            content_type: JSON,
        };
        match facts.asked(self) {
            Asked::Whole => Ok(facts.ok(whole(bytes))),
            Asked::Part(range) => {
                let part = slice(&bytes, &range).to_vec();
                Ok(facts.part(&range, whole(part)))
            }
            other => facts.refusal(&other),
        }
    }

    async fn file(&self, file: &Wanted, is_closed: bool) -> Result<Response<Body>, Problem> {
        if !self.is_get {
            let facts = Facts::of(file, self.site.library.about(file).await?, is_closed);
            return match facts.asked(self) {
                Asked::Whole | Asked::Part(_) => Ok(facts.ok(whole(""))),
                other => facts.refusal(&other),
            };
        }
        // What the tag alone decides needs no bytes.
        let facts = Facts::of(file, About::default(), is_closed);
        let from = match facts.asked(self) {
            Asked::Whole => 0,
            Asked::Part(range) => range.start,
            other => return facts.refusal(&other),
        };
        if file.size == 0 {
            return Ok(facts.ok(whole("")));
        }
        let Opened { file: bytes, about, arriving, readers } =
            self.site.library.open(file, from).await?;
        let facts = Facts::of(file, about, is_closed);
        let reading = Reading { file: bytes, size: file.size, arriving, guard: readers };
        match facts.asked(self) {
            Asked::Whole => Ok(facts.ok(reading.body(0..file.size))),
            Asked::Part(range) => Ok(facts.part(&range, reading.body(range.clone()))),
            other => facts.refusal(&other),
        }
    }
}

/// The headers of a file.
struct Facts {
    digest: Digest,
    size: u64,
    date: Option<SystemTime>,
    cache: String,
    content_type: &'static str,
}

impl Facts {
    fn of(file: &Wanted, about: About, is_closed: bool) -> Self {
        let date = about.last_modified.and_then(|date| httpdate::parse_http_date(&date).ok());
        let cache = about.cache_control.filter(|_| !is_closed);
        let rule = if is_closed { NOT_AT_ALL } else { FOR_A_DAY };
        Self {
            digest: file.digest,
            size: file.size,
            date,
            cache: cache.unwrap_or_else(|| rule.to_owned()),
            content_type: BYTES,
        }
    }

    fn tag(&self) -> String {
        format!("\"sha256-{}\"", self.digest.to_hex())
    }

    fn asked(&self, question: &Question<'_>) -> Asked {
        let tag = self.tag();
        let validators = Validators { tag: &tag, date: self.date };
        wanted(question.headers, question.is_get, self.size, validators)
    }

    fn ok(&self, body: Body) -> Response<Body> {
        let mut answer = self.head(StatusCode::OK, body);
        answer.headers_mut().insert(CONTENT_LENGTH, self.size.into());
        answer
    }

    fn part(&self, range: &Range<u64>, body: Body) -> Response<Body> {
        let mut answer = self.head(StatusCode::PARTIAL_CONTENT, body);
        let text = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size);
        answer.headers_mut().insert(CONTENT_RANGE, header(text));
        answer.headers_mut().insert(CONTENT_LENGTH, (range.end - range.start).into());
        answer
    }

    fn refusal(&self, asked: &Asked) -> Result<Response<Body>, Problem> {
        match asked {
            Asked::NotModified => Ok(self.head(StatusCode::NOT_MODIFIED, whole(""))),
            Asked::Unsatisfiable => {
                let words =
                    format!("The range is not inside the file, which has {} bytes.", self.size);
                let code = "range_not_satisfiable";
                let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, code, words);
                Err(problem.with(CONTENT_RANGE, header(format!("bytes */{}", self.size))))
            }
            _ => {
                let words = "The file is not the one that the condition names.";
                Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", words))
            }
        }
    }

    /// The headers of each answer about a file.
    fn head(&self, status: StatusCode, body: Body) -> Response<Body> {
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(ETAG, header(self.tag()));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, header(self.cache.clone()));
        let digest = format!("sha-256=:{}:", STANDARD.encode(self.digest.as_bytes()));
        headers.insert("repr-digest", header(digest));
        if let Some(date) = self.date {
            headers.insert(LAST_MODIFIED, header(httpdate::fmt_http_date(date)));
        }
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        answer
    }
}

fn document(moment: &Moment, path: &str) -> Result<Vec<u8>, Problem> {
    moment.picture.documents().get(path).cloned().ok_or_else(Problem::not_found)
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    bytes.get(at(range.start)..at(range.end)).unwrap_or_default()
}

/// Makes a header of a text that has no letter that is not allowed there.
fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
