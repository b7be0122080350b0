//! The client's address of a request, which the access log, limits for each client and refused log-ins use.
//!
//! Behind a trusted proxy it is the address that the proxy names; [`crate::access::origin`] decides which proxies to
//! trust. It is determined once for each request, before anything else, and kept in the request's extensions.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{HttpMessage as _, HttpRequest};

use crate::access::Origin;

/// Returns the client's address.
pub fn of(request: &HttpRequest) -> IpAddr {
    if let Some(origin) = request.extensions().get::<Origin>() {
        return origin.address;
    }
    // Only a request without a socket has no peer address: in tests of handlers.
    let peer = request.peer_addr().map(|address| address.ip().to_canonical());
    peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Reports whether a trusted proxy says that the client used TLS.
pub fn came_by_tls(request: &HttpRequest) -> bool {
    request.extensions().get::<Origin>().is_some_and(|origin| origin.by_tls)
}

/// Reports whether the request comes from a trusted proxy.
pub fn is_from_proxy(request: &HttpRequest) -> bool {
    request.extensions().get::<Origin>().is_some()
}
