//! Whose request it is, by address: what the access log, limits for each client and refused log-ins go by.
//!
//! Behind a trusted proxy it is the address that the proxy names; [`crate::access::origin`] says whom to
//! believe. Found once for each request, before anything else, and kept in the request's extensions.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{HttpMessage as _, HttpRequest};

use crate::access::Origin;

/// The client's address.
pub fn of(request: &HttpRequest) -> IpAddr {
    if let Some(origin) = request.extensions().get::<Origin>() {
        return origin.address;
    }
    // A connection has no other end only where no socket is: in tests of handlers.
    let peer = request.peer_addr().map(|address| address.ip().to_canonical());
    peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Whether a trusted proxy says that the client came to it by TLS.
pub fn came_by_tls(request: &HttpRequest) -> bool {
    request.extensions().get::<Origin>().is_some_and(|origin| origin.by_tls)
}

/// Whether the request comes from a proxy that is believed.
pub fn is_from_proxy(request: &HttpRequest) -> bool {
    request.extensions().get::<Origin>().is_some()
}
