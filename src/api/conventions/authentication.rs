//! Identifies the sender of a request: reads its credentials, with the authentication methods that its listener offers.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, web};

use super::client_address;
use super::listener::PeerCertificate;
#[cfg(feature = "negotiate")]
use super::listener::ServerProof;
use super::problem::Problem;
use crate::access::{AuthenticationMethod, Denied, Identity, basic, certificate};
use crate::api::depot::Depot;
use crate::catalog::audit::refused_logins::RefusedLogin;
use crate::model::address_range::subscriber;
use crate::model::{Certificate, metric};
use crate::telemetry::request::{self, CallerName};
use crate::wire::client_cert;

/// Reports whether a request may contain credentials; if not, [`identify`] would find none.
pub(super) fn may_have_credentials(request: &HttpRequest) -> bool {
    let depot = request.app_data::<web::Data<Depot>>();
    let asks_certificates = depot
        .is_some_and(|depot| depot.listeners.offer(request, AuthenticationMethod::Certificate));
    asks_certificates || request.headers().contains_key(header::AUTHORIZATION)
}

/// Reports whether a request contains credentials.
pub(super) fn has_credentials(request: &HttpRequest) -> bool {
    let depot = request.app_data::<web::Data<Depot>>();
    let has_certificate =
        depot.is_some_and(|depot| !matches!(certificate(request, depot), Ok(None)));
    has_certificate || request.headers().contains_key(header::AUTHORIZATION)
}

/// Reads and checks the credentials of a request, if there are any. This happens only once, because a Kerberos ticket
/// can be checked only once.
pub(super) async fn identify(request: &HttpRequest) -> Result<Option<Identity>, Problem> {
    if let Some(known) = request.extensions().get::<Identity>() {
        return Ok(Some(known.clone()));
    }
    let depot = request.app_data::<web::Data<Depot>>().ok_or_else(Problem::internal)?;
    match recognise(request, depot).await {
        Ok(Some(identity)) => {
            let mut extensions = request.extensions_mut();
            extensions.insert(CallerName(identity.name().to_owned()));
            extensions.insert(identity.clone());
            Ok(Some(identity))
        }
        Ok(None) => Ok(None),
        Err(denied) => Err(refuse(request, depot, denied)),
    }
}

/// Logs, counts and records a refusal, and returns its problem.
fn refuse(request: &HttpRequest, depot: &Depot, denied: Denied) -> Problem {
    let problem = Problem::from(denied);
    let certificate = certificate(request, depot).ok().flatten();
    let refused = RefusedLogin {
        caller: named_user(request, depot),
        certificate: certificate.map(|der| certificate::describe(&der)),
        reason: problem.code().as_str(),
        address: subscriber(client_address::of(request)),
    };
    metric::LOGIN_FAILURES.increment(1);
    tracing::info!(
        request.id = request::current_id(),
        client.address = %client_address::of(request),
        caller.name = refused.caller,
        certificate = refused.certificate,
        "log-in refused: {denied}"
    );
    if is_for_the_record(denied) {
        depot.catalog.note_refused_login(refused, request::current_id());
    }
    problem
}

/// Reports whether a refusal goes into the record: not if the credentials were not checked, or if there were none.
const fn is_for_the_record(denied: Denied) -> bool {
    use Denied::{Busy, CertificateMissing, IssuerAway, Slowed, Stale};
    !matches!(denied, Slowed { .. } | Busy | IssuerAway | Stale | CertificateMissing)
}

/// Returns the user whose name was sent with a password, or none if there is no such user.
fn named_user(request: &HttpRequest, depot: &Depot) -> Option<String> {
    let (scheme, encoded) = authorization(request).ok()??;
    if !matches!(way_of(scheme), Ok(AuthenticationMethod::Basic)) {
        return None;
    }
    let name = basic::parse(encoded).ok()?.name.parse().ok()?;
    depot.catalog.snapshot().account(&name).map(|account| account.name.to_string())
}

/// Identifies the caller. Credentials take precedence over a certificate, but a certificate that is refused is refused
/// with any credentials.
async fn recognise(request: &HttpRequest, depot: &Depot) -> Result<Option<Identity>, Denied> {
    let brought = certificate(request, depot)?;
    let is_login = brought.is_some() || request.headers().contains_key(header::AUTHORIZATION);
    if is_login && depot.catalog.is_stale() {
        return Err(Denied::Stale);
    }
    let judge = |der: Arc<[u8]>| certificate::judge(&depot.catalog.snapshot(), &der);
    let certified = brought.map(judge);
    if let Some(Err(denied @ (Denied::CertificateRefused | Denied::CertificateUnreadable))) =
        certified
    {
        return Err(denied);
    }
    let Some((scheme, rest)) = authorization(request)? else {
        return match certified {
            Some(certified) => certified.map(Some),
            None if depot.listeners.know_only_certificates(request) => {
                Err(Denied::CertificateMissing)
            }
            None => Ok(None),
        };
    };
    match way_of(scheme)? {
        way if !depot.listeners.offer(request, way) => Err(Denied::NotOffered),
        AuthenticationMethod::Basic => by_password(depot, rest, request).await.map(Some),
        AuthenticationMethod::Bearer => depot.tokens.authenticate(rest).await.map(Some),
        AuthenticationMethod::Negotiate => by_ticket(depot, rest, request).await.map(Some),
        AuthenticationMethod::Certificate => Err(Denied::NotOffered),
    }
}

/// Returns the client's certificate, if its listener asks for one.
pub(in crate::api) fn client_certificate(
    request: &HttpRequest,
    depot: &Depot,
) -> Result<Option<Certificate>, Denied> {
    let der = certificate(request, depot)?;
    let parsed = der.map(|der| Certificate::from_der(&der)).transpose();
    parsed.map_err(|_| Denied::CertificateUnreadable)
}

/// Returns the DER of the client's certificate, if its listener asks for one.
fn certificate(request: &HttpRequest, depot: &Depot) -> Result<Option<Arc<[u8]>>, Denied> {
    if !depot.listeners.offer(request, AuthenticationMethod::Certificate) {
        return Ok(None);
    }
    // A trusted proxy may have a certificate of its own, which says nothing about the client.
    if client_address::is_from_proxy(request) {
        let passed_on = client_cert::read(request.headers());
        return Ok(passed_on.map_err(|_| Denied::CertificateHeader)?.map(Arc::from));
    }
    Ok(request.conn_data::<PeerCertificate>().map(|certificate| Arc::clone(&certificate.0)))
}

/// Returns the scheme and the text behind it, or none if there are no credentials.
fn authorization(request: &HttpRequest) -> Result<Option<(&str, &str)>, Denied> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let Some(header) = headers.next() else { return Ok(None) };
    // With two headers, a proxy could check one and this server the other.
    let text = if headers.next().is_none() { header.to_str().ok() } else { None };
    let (scheme, rest) = text.and_then(|text| text.split_once(' ')).ok_or(Denied::Unreadable)?;
    Ok(Some((scheme, rest.trim())))
}

fn way_of(scheme: &str) -> Result<AuthenticationMethod, Denied> {
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => Ok(AuthenticationMethod::Basic),
        "bearer" => Ok(AuthenticationMethod::Bearer),
        "negotiate" => Ok(AuthenticationMethod::Negotiate),
        _ => Err(Denied::Unreadable),
    }
}

async fn by_password(
    depot: &Depot,
    encoded: &str,
    request: &HttpRequest,
) -> Result<Identity, Denied> {
    let credentials = basic::parse(encoded)?;
    let address = client_address::of(request);
    depot.authenticator.authenticate(&credentials, address).await
}

/// Checks a Kerberos ticket. The token that proves this server to the caller goes into the response, whatever that is;
/// see `listener`.
#[cfg(feature = "negotiate")]
async fn by_ticket(
    depot: &Depot,
    encoded: &str,
    request: &HttpRequest,
) -> Result<Identity, Denied> {
    let negotiate = depot.negotiate.as_ref().ok_or(Denied::NotOffered)?;
    let accepted = negotiate.recognise(encoded).await?;
    if let Some(token) = accepted.token {
        request.extensions_mut().insert(ServerProof(token));
    }
    Ok(accepted.identity)
}

#[cfg(not(feature = "negotiate"))]
async fn by_ticket(_: &Depot, _: &str, _: &HttpRequest) -> Result<Identity, Denied> {
    Err(Denied::NotOffered)
}
