//! The listener that received a request: the authentication methods that it offers, and the headers that its responses
//! have for this reason. [`listener_headers`](super::listener_headers) adds them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::access::AuthenticationMethod;

/// The value that makes browsers stay with TLS for a year after they have used it once (RFC 6797).
const STAY_WITH_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The client certificate of a connection in DER, whose chain the TLS handshake has verified; part of the connection's
/// data if its listener requires one.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// The token with which Kerberos proves this server to the caller; part of the request's data.
pub struct ServerProof(pub String);

/// The properties in which listeners differ once a connection is established.
#[derive(Debug, Clone)]
pub struct Listener {
    pub ways_in: Vec<AuthenticationMethod>,
    pub tls: bool,
}

/// All listeners, by the address that each is bound to.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<HashMap<SocketAddr, Listener>>);

impl Listeners {
    pub fn new(listeners: impl IntoIterator<Item = (SocketAddr, Listener)>) -> Self {
        Self(Arc::new(listeners.into_iter().collect()))
    }

    pub(super) fn at(&self, config: &AppConfig) -> Option<&Listener> {
        self.0.get(&config.local_addr())
    }

    /// Reports whether the listener of a request offers this authentication method.
    pub fn offer(&self, request: &HttpRequest, way: AuthenticationMethod) -> bool {
        self.at(request.app_config()).is_some_and(|listener| listener.ways_in.contains(&way))
    }

    /// Reports whether certificates are the only authentication method. A caller without one is then refused, whatever
    /// it asks for.
    pub fn know_only_certificates(&self, request: &HttpRequest) -> bool {
        let ways_in = self.at(request.app_config()).map(|listener| listener.ways_in.as_slice());
        ways_in == Some(&[AuthenticationMethod::Certificate])
    }
}

impl Listener {
    /// Sets one challenge for each authentication method. A refused token has brought its own Bearer challenge, which
    /// gives the reason. A response of Negotiate's handshake stays the only one.
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
            let reason =
                if *way == AuthenticationMethod::Bearer { refused_token.take() } else { None };
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
