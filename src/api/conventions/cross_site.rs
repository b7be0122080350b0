//! Changes that a page of another site makes a browser request, with the credentials that the browser holds: its client
//! certificate, its Kerberos ticket, or a password that it remembers.
//!
//! CORS keeps such a page from reading the response, but not from sending the request: a POST without a body is sent at
//! once. Browsers say where a request comes from, in `Sec-Fetch-Site` or, older ones, in `Origin` (Fetch Metadata, RFC
//! 6454). Programs send neither and are not affected. Tokens in forms were rejected, because there are no forms here.

use actix_web::http::{Method, Uri, header};
use actix_web::{HttpRequest, web};

use super::problem::{Code, Problem};
use crate::api::depot::Depot;

/// Returns a 403 for a change that a page of another site requests, unless the settings allow its origin.
pub fn refusal(request: &HttpRequest) -> Option<Problem> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    (changes && is_of_another_site(request)).then(|| {
        let detail = "a page of another site sent this request; access.cors can allow its origin";
        Problem::new(Code::CrossSiteRequest, detail)
    })
}

fn is_of_another_site(request: &HttpRequest) -> bool {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
    let origin = text("origin");
    let depot = request.app_data::<web::Data<Depot>>();
    if depot.is_some_and(|depot| origin.is_some_and(|origin| depot.links.lets_in(origin))) {
        return false;
    }
    match text("sec-fetch-site") {
        Some(site) => !["same-origin", "none"].contains(&site),
        None => origin.is_some_and(|origin| !is_own(request, origin)),
    }
}

/// Reports whether the origin is the host that the request was sent to.
fn is_own(request: &HttpRequest, origin: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let origin: Option<Uri> = origin.parse().ok();
    let authority = origin.as_ref().and_then(|origin| origin.authority());
    authority.is_some_and(|own| host.is_some_and(|host| own.as_str().eq_ignore_ascii_case(host)))
}
