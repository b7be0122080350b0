//! JSON request bodies: unknown fields are refused, and every refusal says what to do.

pub mod held;
mod nul;
mod objects;

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use self::held::HeldBody;
use self::objects::Strict;
use super::problem::{Code, Problem};

/// The largest JSON body of an operation that sets no other limit, in bytes: several times the size that its fields may
/// have.
pub const SMALL: usize = 32 * 1024;

/// The largest JSON body of operations whose fields hold long texts (notes, labels, certificates) or a list of
/// questions, in bytes.
pub const LARGE: usize = 512 * 1024;

/// A JSON body of at most `MOST` bytes. It is checked only when it is read, which handlers do after extracting the
/// caller. A caller without the right therefore does not learn what is wrong with the body.
pub struct JsonBody<T, const MOST: usize = SMALL> {
    content: Result<Content, Problem>,
    parsed_as: PhantomData<T>,
}

struct Content {
    body: HeldBody,
    is_json: bool,
}

impl<T, const MOST: usize> FromRequest for JsonBody<T, MOST> {
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Infallible>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let is_json = is_json(&request);
            let body = held::collect(&request, &mut payload, MOST).await;
            Ok(Self { content: body.map(|body| Content { body, is_json }), parsed_as: PhantomData })
        })
    }
}

impl<T: DeserializeOwned, const MOST: usize> JsonBody<T, MOST> {
    pub fn read(self) -> Result<T, Problem> {
        let Content { body, is_json } = self.content?;
        // Windows scripts send a byte order mark before their text (RFC 8259, section 8.1, allows it to be ignored).
        let bytes = body.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body.bytes);
        if !is_json {
            return Err(Problem::new(
                Code::JsonExpected,
                "the body must be JSON: send it with Content-Type: application/json",
            ));
        }
        let malformed = |error: serde_json::Error| {
            let detail = format!("the body is not valid JSON: {error}");
            Problem::new(Code::MalformedJson, detail)
        };
        // Parsed twice, because a wrong field would hide that the text behind it is not JSON at all.
        let _well_formed: IgnoredAny = serde_json::from_slice(bytes).map_err(malformed)?;
        let invalid = |detail: String| Problem::new(Code::InvalidValue, detail);
        if nul::is_in(bytes) {
            return Err(invalid("a text must not contain NUL characters (\\u0000)".to_owned()));
        }
        parse(bytes).map_err(|error| match error.classify() {
            Category::Data => invalid(error.to_string()),
            // Skipped values are not checked closely: half a surrogate pair, for example.
            _ => malformed(error),
        })
    }
}

/// Parses a body. The text is parsed directly first, because only that detects duplicate fields and reports the
/// position of an error.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let parsed = serde_json::from_slice(bytes);
    let looked_at = match &parsed {
        Ok(_) => bytes.contains(&b'['),
        Err(_) => bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')),
    };
    if !looked_at {
        return parsed;
    }
    let (strict, has_changed) = Strict::of(serde_json::from_slice(bytes)?);
    match parsed {
        Err(error) if !has_changed => Err(error),
        Err(_) | Ok(_) => T::deserialize(strict),
    }
}

impl<T: DeserializeOwned + Default, const MOST: usize> JsonBody<T, MOST> {
    /// Reads a body that may be omitted if the defaults suffice.
    pub fn read_or_default(self) -> Result<T, Problem> {
        match &self.content {
            Ok(content) if content.body.bytes.is_empty() => Ok(T::default()),
            // Generated clients send `null` for an omitted body.
            Ok(content) if content.body.bytes.trim_ascii() == b"null" => Ok(T::default()),
            _ => self.read(),
        }
    }
}

/// Deserializes a field that distinguishes `null` from an omitted field: `null` becomes `Some(None)`.
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
