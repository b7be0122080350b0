//! Changes that a page of another site has a browser ask for, with what the browser holds: its client certificate, its
//! Kerberos ticket, a password that it remembers.
//!
//! CORS keeps such a page from reading the answer and not from asking: a POST without a body is sent at once. Browsers
//! say where a request comes from, in `Sec-Fetch-Site` and, older ones, in `Origin` (Fetch Metadata, RFC 6454);
//! programs send neither and are not concerned. Rejected: tokens in forms, for there are no forms here.

use actix_web::http::{Method, Uri, header};
use actix_web::{HttpRequest, web};

use super::problem::{Code, Problem};
use crate::api::depot::Depot;

/// 403 for changes that another site's page asks for, unless the settings let its origin in.
pub fn refusal(request: &HttpRequest) -> Option<Problem> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    (changes && is_of_another_site(request)).then(|| {
        let detail =
            "a page of another site has sent this; access.cors lets pages of trusted origins in";
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

/// Whether the origin is the host that the request was sent to.
fn is_own(request: &HttpRequest, origin: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let origin: Option<Uri> = origin.parse().ok();
    let authority = origin.as_ref().and_then(|origin| origin.authority());
    authority.is_some_and(|own| host.is_some_and(|host| own.as_str().eq_ignore_ascii_case(host)))
}
