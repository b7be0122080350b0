//! Paths and methods that no route serves: 404, or 405 with `Allow`.
//!
//! The router matches path and method together and reports only that nothing fits. The
//! [documented routes](super::documented_routes) tell the two cases apart.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::documented_routes::Routes;
use super::problem::{Code, Problem};

/// Answers requests that no route fits.
pub async fn not_found_anywhere(
    request: HttpRequest,
    routes: web::Data<Routes>,
) -> Result<HttpResponse, Problem> {
    let allowed = routes.allowed(request.path()).ok_or_else(Problem::not_found)?;
    if *request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allowed)).finish());
    }
    // The router refused although the method fits, so it cannot read the path itself.
    if allowed.split(", ").any(|method| method == request.method().as_str()) {
        return Err(Problem::not_found());
    }
    let detail = format!("this path does not allow {}; it allows {allowed}", request.method());
    let problem = Problem::new(Code::MethodNotAllowed, detail);
    Err(match HeaderValue::from_str(&allowed) {
        Ok(value) => problem.with_header(header::ALLOW, value),
        Err(_) => problem,
    })
}
