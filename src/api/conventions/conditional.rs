//! `ETag` and `If-Match`: single resources carry a tag, and changes may require one (RFC 9110 section 13).

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use serde::Serialize;

use super::problem::{Code, Problem};
use crate::catalog::Precondition;
use crate::wire::preconditions::{self, EntityTag, Named, Validators, Verdict};

/// The condition that the caller sets on the current state.
pub struct Condition(pub Precondition);

impl FromRequest for Condition {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request).map(Self))
    }
}

fn read(request: &HttpRequest) -> Result<Precondition, Problem> {
    let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(text) = field(header::IF_MATCH) {
        return match preconditions::read_named(text) {
            Some(Named::Any) => Ok(Precondition::Exists),
            Some(Named::Tags(tags)) => one_of(tags),
            None => Err(malformed("If-Match must be * or quoted tags, as ETag gave them")),
        };
    }
    match field(header::IF_NONE_MATCH).map(preconditions::read_named) {
        None => Ok(Precondition::None),
        Some(Some(Named::Any)) => Ok(Precondition::Absent),
        Some(_) => Err(malformed("If-None-Match must be * in a request that changes something")),
    }
}

fn one_of(tags: Vec<EntityTag>) -> Result<Precondition, Problem> {
    let tags: Vec<_> = tags.into_iter().filter_map(EntityTag::into_strong).collect();
    if tags.is_empty() {
        return Err(Problem::new(
            Code::PreconditionFailed,
            "If-Match never matches a weak tag (RFC 9110 section 13.1.1): send the tag as ETag gave it, without the \
             W/ that proxies add",
        ));
    }
    Ok(Precondition::OneOf(tags))
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Code::MalformedCondition, detail)
}

/// The response to a GET whose caller has the current state already, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Unchanged {
    /// Unchanged: `If-None-Match` names the current `ETag`
    #[response(status = 304)]
    NotModified,
}

/// A single resource with its tag.
pub struct Resource<T> {
    status: StatusCode,
    tag: Option<String>,
    location: Option<String>,
    body: T,
}

impl<T> Resource<T> {
    /// Returns a 200 with an `ETag`. A GET whose caller has that tag already is answered with a 304.
    pub fn tagged(tag: String, body: T) -> Self {
        Self { status: StatusCode::OK, tag: Some(tag), location: None, body }
    }

    /// Returns a 200 without an `ETag`, for something that cannot be requested again.
    pub fn untagged(body: T) -> Self {
        Self { status: StatusCode::OK, tag: None, location: None, body }
    }

    /// Returns a 201 with a `Location`.
    pub fn created(tag: String, location: String, body: T) -> Self {
        Self { status: StatusCode::CREATED, tag: Some(tag), location: Some(location), body }
    }
}

impl<T: Serialize> Responder for Resource<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<BoxBody> {
        let tag = self.tag.map(EntityTag::strong);
        let quoted = tag.as_ref().map(ToString::to_string);
        // Changes have already checked their conditions, against the state before.
        let reads = *request.method() == Method::GET;
        let current = Validators { tag, last_modified: None };
        if reads
            && preconditions::evaluate(&Method::GET, request.headers(), &current)
                == Verdict::NotModified
        {
            return HttpResponse::NotModified()
                .insert_header((header::ETAG, quoted.unwrap_or_default()))
                .finish();
        }
        let mut response = HttpResponse::build(self.status);
        if let Some(tag) = quoted {
            response.insert_header((header::ETAG, tag));
        }
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        response.json(self.body)
    }
}
