//! The listener that a request came in by: which ways in it offers, and what its answers say of that:
//! [`listener_headers`](super::listener_headers) adds it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::access::WayIn;

/// Browsers that came by TLS once stay with it for a year (RFC 6797).
const STAY_WITH_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The client certificate of a connection, whose chain the TLS handshake has verified; part of the
/// connection's data where its listener requires one. DER.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// The token by which Kerberos proves this server to the caller; part of the request's data.
pub struct ServerProof(pub String);

/// What differs between listeners once a connection stands.
#[derive(Debug, Clone)]
pub struct Listener {
    pub ways_in: Vec<WayIn>,
    pub tls: bool,
}

/// All of them, by the address that each is bound to.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<HashMap<SocketAddr, Listener>>);

impl Listeners {
    pub fn new(listeners: impl IntoIterator<Item = (SocketAddr, Listener)>) -> Self {
        Self(Arc::new(listeners.into_iter().collect()))
    }

    pub(super) fn at(&self, config: &AppConfig) -> Option<&Listener> {
        self.0.get(&config.local_addr())
    }

    /// Whether a request may prove in this way who it comes from.
    pub fn offer(&self, request: &HttpRequest, way: WayIn) -> bool {
        self.at(request.app_config()).is_some_and(|listener| listener.ways_in.contains(&way))
    }

    /// Whether certificates are the only way in: whoever has none is turned away, whatever is asked for.
    pub fn know_only_certificates(&self, request: &HttpRequest) -> bool {
        let ways_in = self.at(request.app_config()).map(|listener| listener.ways_in.as_slice());
        ways_in == Some(&[WayIn::Certificate])
    }
}

impl Listener {
    /// One challenge for each way in. A refused token has brought Bearer's own, which says why; an answer of
    /// Negotiate's handshake stands alone.
    fn challenge(&self, headers: &mut HeaderMap) {
        let brought: Vec<_> = headers.remove(header::WWW_AUTHENTICATE).collect();
        let is_bearer = |value: &HeaderValue| value.as_bytes().starts_with(b"Bearer ");
        if brought.iter().any(|value| !is_bearer(value)) {
            for value in brought {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
            return;
        }
        let mut refused_token = brought.into_iter().next();
        for way in &self.ways_in {
            let reason = if *way == WayIn::Bearer { refused_token.take() } else { None };
            let value = reason.or_else(|| way.challenge().map(HeaderValue::from_static));
            if let Some(value) = value {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
        }
    }

    pub(super) fn complete(&self, status: StatusCode, by_tls: bool, headers: &mut HeaderMap) {
        if by_tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, STAY_WITH_TLS);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.challenge(headers);
        }
    }
}
