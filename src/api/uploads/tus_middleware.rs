//! The rules of tus for every request and response about uploads. They apply in front of all handlers, also to refusals
//! for a lack of credentials and to unknown paths.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError as _};

use crate::api::conventions::problem::{Code, Problem};
use crate::wire::tus;

const UPLOADS: &str = "/api/v1/uploads";

/// Reports whether the path is that of a single upload.
pub fn is_upload(path: &str) -> bool {
    path.strip_prefix(UPLOADS).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// Runs in front of all operations, and does nothing for those of other paths.
pub async fn speak_tus<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let concerned = request.path() == UPLOADS || is_upload(request.path());
    if concerned {
        take_meant_method(&mut request);
    }
    let versions = request.headers().get_all(&tus::TUS_RESUMABLE);
    // Clients learn the version by OPTIONS.
    if !concerned || versions.count() == 0 || *request.method() == Method::OPTIONS {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let mut versions = request.headers().get_all(&tus::TUS_RESUMABLE);
    let mut response = if versions.all(|version| version == tus::VERSION) {
        next.call(request).await?.map_into_left_body()
    } else {
        request.into_response(other_version().error_response()).map_into_right_body()
    };
    let version = HeaderValue::from_static(tus::VERSION);
    response.headers_mut().insert(tus::TUS_RESUMABLE.clone(), version);
    Ok(response)
}

/// Applies `X-HTTP-Method-Override`, for clients that can only send POST. It is limited to the paths of single uploads,
/// which have no POST of their own: elsewhere, a method from a header could bypass a guard of methods.
fn take_meant_method(request: &mut ServiceRequest) {
    if *request.method() != Method::POST || !is_upload(request.path()) {
        return;
    }
    let meant = request.headers().get(&tus::METHOD_OVERRIDE).and_then(|value| value.to_str().ok());
    let meant = meant.map(str::to_ascii_uppercase);
    let method = match meant.as_deref() {
        Some("PATCH") => Method::PATCH,
        Some("DELETE") => Method::DELETE,
        Some("HEAD") => Method::HEAD,
        _ => return,
    };
    request.head_mut().method = method;
}

fn other_version() -> Problem {
    let detail = "this server supports only tus 1.0.0";
    Problem::new(Code::TusVersionUnsupported, detail)
        .with_header(tus::TUS_VERSION.clone(), HeaderValue::from_static(tus::VERSION))
}
