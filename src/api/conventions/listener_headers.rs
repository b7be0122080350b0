//! The middleware that adds the headers of the listener to every response.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, web};

use super::browser::protect;
use super::caching;
use super::client_address;
use super::listener::ServerProof;
use crate::access::AuthenticationMethod;
use crate::api::depot::Depot;

/// Adds the headers of the listener (the challenges of a 401, `Strict-Transport-Security`), and those for browsers and
/// caches.
pub async fn add_listener_headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let depot = response.request().app_data::<web::Data<Depot>>().cloned();
    let listener =
        depot.as_ref().and_then(|depot| depot.listeners.at(response.request().app_config()));
    let status = response.status();
    protect(response.headers_mut());
    let is_page = caching::is_page(response.request().path());
    caching::complete(is_page, status, response.headers_mut());
    if let Some(listener) = listener {
        let by_tls = listener.tls || client_address::came_by_tls(response.request());
        listener.complete(status, by_tls, response.headers_mut());
        if listener.ways_in.contains(&AuthenticationMethod::Negotiate) {
            prove_server(&mut response);
        }
    }
    Ok(response)
}

/// Adds the proof of this server, but not to a 401, whose challenges begin the handshake from the start.
fn prove_server<B>(response: &mut ServiceResponse<B>) {
    if response.status() == StatusCode::UNAUTHORIZED {
        return;
    }
    let proof = response.request().extensions_mut().remove::<ServerProof>();
    let value = proof
        .and_then(|ServerProof(token)| HeaderValue::try_from(format!("Negotiate {token}")).ok());
    if let Some(value) = value {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}
