//! Who sends a request: reads what it brings along, by the ways in that its listener offers.

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, web};

#[cfg(feature = "negotiate")]
use super::listener::ServerProof;
use super::problem::Problem;
use super::{Depot, client_address};
use crate::access::{Denied, Identity, WayIn, basic};
use crate::telemetry::request::CallerName;

/// Reads and checks the credentials of a request, if it has any; once, for a Kerberos ticket is good for one
/// look.
pub(super) async fn identify(request: &HttpRequest) -> Result<Option<Identity>, Problem> {
    if let Some(known) = request.extensions().get::<Identity>() {
        return Ok(Some(known.clone()));
    }
    let depot = request.app_data::<web::Data<Depot>>().ok_or_else(Problem::internal)?;
    let Some((scheme, rest)) = authorization(request)? else { return Ok(None) };
    let recognised = match way_of(scheme)? {
        way if !depot.listeners.offer(request, way) => Err(Denied::NotOffered),
        WayIn::Basic => by_password(depot, rest, request).await,
        WayIn::Negotiate => by_ticket(depot, rest, request).await,
        WayIn::Bearer | WayIn::Certificate => Err(Denied::NotOffered),
    };
    match recognised {
        Ok(identity) => {
            let mut extensions = request.extensions_mut();
            extensions.insert(CallerName(identity.name().to_owned()));
            extensions.insert(identity.clone());
            Ok(Some(identity))
        }
        Err(denied) => {
            metrics::counter!("imagedepot_login_failures_total").increment(1);
            tracing::info!(client.address = %client_address::of(request), "log-in refused: {denied}");
            Err(denied.into())
        }
    }
}

/// The scheme and what follows it; none without credentials.
fn authorization(request: &HttpRequest) -> Result<Option<(&str, &str)>, Denied> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let Some(header) = headers.next() else { return Ok(None) };
    // Two headers would let a proxy check one and this server another.
    let text = if headers.next().is_none() { header.to_str().ok() } else { None };
    let (scheme, rest) = text.and_then(|text| text.split_once(' ')).ok_or(Denied::Unreadable)?;
    Ok(Some((scheme, rest.trim())))
}

fn way_of(scheme: &str) -> Result<WayIn, Denied> {
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => Ok(WayIn::Basic),
        "bearer" => Ok(WayIn::Bearer),
        "negotiate" => Ok(WayIn::Negotiate),
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
    let authenticated = depot.authenticator.authenticate(&credentials, address).await;
    if let Err(denied) = &authenticated
        && !matches!(denied, Denied::Slowed { .. })
    {
        tracing::info!(caller.name = credentials.name, "a password was refused: {denied}");
    }
    authenticated
}

/// What proves this server to the caller stands in the answer, whatever that is: see `listener`.
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
