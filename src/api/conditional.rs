//! `ETag` and `If-Match`: single resources carry a tag, changes may demand one (RFC 9110 section 13).

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use serde::Serialize;

use super::problem::Problem;
use crate::catalog::Precondition;

/// What the caller demands of the present state.
pub struct Condition(pub Precondition);

impl FromRequest for Condition {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request).map(Self))
    }
}

fn read(request: &HttpRequest) -> Result<Precondition, Problem> {
    let headers = request.headers();
    if let Some(value) = headers.get(header::IF_MATCH) {
        return match tags(value.to_str().unwrap_or_default()) {
            Some(Tags::Any) => Ok(Precondition::Exists),
            Some(Tags::These(tags)) => Ok(Precondition::OneOf(tags)),
            None => Err(malformed("If-Match")),
        };
    }
    match headers.get(header::IF_NONE_MATCH).map(|value| value.to_str().unwrap_or_default().trim())
    {
        None => Ok(Precondition::None),
        Some("*") => Ok(Precondition::Absent),
        Some(_) => Err(malformed("If-None-Match: * is the only form that changes know;")),
    }
}

fn malformed(what: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_condition",
        format!("{what} takes * or quoted tags, as ETag gave them"),
    )
}

enum Tags {
    Any,
    These(Vec<String>),
}

/// Weak tags never match: a change needs the strong comparison (RFC 9110 section 13.1.1).
fn tags(text: &str) -> Option<Tags> {
    let text = text.trim();
    if text == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    for tag in text.split(',').map(str::trim) {
        let weak = tag.starts_with("W/");
        let tag = tag.trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
        if !weak {
            tags.push(tag.to_owned());
        }
    }
    Some(Tags::These(tags))
}

/// A single resource with its tag.
pub struct Resource<T> {
    status: StatusCode,
    tag: Option<String>,
    location: Option<String>,
    body: T,
}

impl<T> Resource<T> {
    /// 200 with an `ETag`; a GET that has it already is answered 304.
    pub fn tagged(tag: String, body: T) -> Self {
        Self { status: StatusCode::OK, tag: Some(tag), location: None, body }
    }

    /// 201 with `Location`.
    pub fn created(tag: String, location: String, body: T) -> Self {
        Self { status: StatusCode::CREATED, tag: Some(tag), location: Some(location), body }
    }
}

impl<T: Serialize> Responder for Resource<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<BoxBody> {
        let quoted = self.tag.map(|tag| format!("\"{tag}\""));
        let known =
            request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if let (&Method::GET, Some(known), Some(tag)) = (request.method(), known, &quoted)
            && known
                .split(',')
                .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*")
        {
            return HttpResponse::NotModified()
                .insert_header((header::ETAG, tag.as_str()))
                .finish();
        }
        let mut response = HttpResponse::build(self.status);
        if let Some(tag) = quoted {
            response.insert_header((header::ETAG, tag));
        }
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        response.insert_header((header::CACHE_CONTROL, "no-cache")).json(self.body)
    }
}
