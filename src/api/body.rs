//! JSON bodies in: unknown fields are refused, and every refusal says what to do.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;

/// The largest JSON body, in bytes.
pub const LIMIT: usize = 1024 * 1024;

/// A JSON body that must be there.
pub struct JsonBody<T>(pub T);

/// A JSON body that may be left out where nothing is to be said.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, bytes) = (request.clone(), web::Bytes::from_request(request, payload));
        Box::pin(async move {
            let bytes = bytes.await.map_err(|error| unreadable(&error))?;
            check_content_type(&request)?;
            parse(&bytes).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, bytes) = (request.clone(), web::Bytes::from_request(request, payload));
        Box::pin(async move {
            let bytes = bytes.await.map_err(|error| unreadable(&error))?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            check_content_type(&request)?;
            parse(&bytes).map(Self)
        })
    }
}

/// A field that tells "null" from "not there": `null` becomes `Some(None)`.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

fn check_content_type(request: &HttpRequest) -> Result<(), Problem> {
    let value =
        request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence =
        value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "json_expected",
        "the body is JSON: say so with Content-Type: application/json",
    ))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", error.to_string())
        }
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            format!("the body is no JSON: {error}"),
        ),
    })
}

fn unreadable(error: &actix_web::Error) -> Problem {
    match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("at most {LIMIT} bytes of JSON"),
        ),
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "body_unreadable",
            format!("the body could not be read: {error}"),
        ),
    }
}
