//! JSON bodies in: unknown fields are refused, and every refusal says what to do.

mod nul;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::problem::{Code, Problem};

/// The largest JSON body, in bytes.
pub const LIMIT: usize = 1024 * 1024;

/// A JSON body. It is judged when it is read, which handlers do after they took their caller: who has
/// no right learns nothing of what is wrong with the body.
pub struct JsonBody<T> {
    content: Result<Content, Problem>,
    parsed_as: PhantomData<T>,
}

struct Content {
    bytes: web::Bytes,
    is_json: bool,
}

impl<T> FromRequest for JsonBody<T> {
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Infallible>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (bytes, is_json) = (web::Bytes::from_request(request, payload), is_json(request));
        Box::pin(async move {
            let content = match bytes.await {
                Ok(bytes) => Ok(Content { bytes, is_json }),
                Err(error) => Err(unreadable(&error)),
            };
            Ok(Self { content, parsed_as: PhantomData })
        })
    }
}

impl<T: DeserializeOwned> JsonBody<T> {
    pub fn read(self) -> Result<T, Problem> {
        let Content { bytes, is_json } = self.content?;
        if !is_json {
            return Err(Problem::new(
                Code::JsonExpected,
                "the body is JSON: say so with Content-Type: application/json",
            ));
        }
        let malformed = |error: serde_json::Error| {
            let detail = format!("the body is no JSON: {error}");
            Problem::new(Code::MalformedJson, detail)
        };
        // Twice, for a wrong field would hide that what follows it is no JSON at all.
        let _well_formed: IgnoredAny = serde_json::from_slice(&bytes).map_err(malformed)?;
        let invalid = |detail: String| Problem::new(Code::InvalidValue, detail);
        if nul::is_in(&bytes) {
            return Err(invalid("a text holds a NUL character, \\u0000".to_owned()));
        }
        serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            Category::Data => invalid(error.to_string()),
            // What is skipped is not looked at closely: half a surrogate pair, say.
            _ => malformed(error),
        })
    }
}

impl<T: DeserializeOwned + Default> JsonBody<T> {
    /// For bodies that may be left out where nothing is to be said.
    pub fn read_or_default(self) -> Result<T, Problem> {
        match &self.content {
            Ok(content) if content.bytes.is_empty() => Ok(T::default()),
            _ => self.read(),
        }
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

fn is_json(request: &HttpRequest) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence =
        value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn unreadable(error: &actix_web::Error) -> Problem {
    if let Some(PayloadError::Io(late)) = error.as_error::<PayloadError>()
        && late.kind() == io::ErrorKind::TimedOut
    {
        return Problem::new(Code::BodyTooSlow, late.to_string());
    }
    match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::BodyTooLarge, format!("at most {LIMIT} bytes of JSON"))
        }
        _ => Problem::new(Code::BodyUnreadable, format!("the body could not be read: {error}")),
    }
}
