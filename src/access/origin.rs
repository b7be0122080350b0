//! The origin of a request: the client's address, and whether it used TLS, also behind proxies.
//!
//! Only the proxies in the settings are trusted, hop by hop: the address is that of the farthest hop that a trusted
//! proxy vouches for. Headers from any other sender are ignored.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::wire::forwarded::{self, Hop};

/// `server.trusted_proxies`: addresses and networks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The client's address: the peer of the connection, or the one that trusted proxies name.
    pub address: IpAddr,
    /// True if the client used TLS to the proxy that it reached.
    pub by_tls: bool,
}

impl TrustedProxies {
    /// Reports whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports whether the headers of requests from `address` are trusted.
    pub fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the origin that a trusted proxy at `peer` reports, or none if `peer` is not trusted.
    pub fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Origin> {
        if !self.include(peer) {
            return None;
        }
        let by_forwarded = forwarded::forwarded(headers).map(|hops| self.walk(peer, &hops));
        let by_x = forwarded::x_forwarded(headers).map(|hops| self.walk(peer, &hops));
        let x_tls = forwarded::x_forwarded_tls(headers).unwrap_or(false);
        let nothing_said = Origin { address: peer.to_canonical(), by_tls: x_tls };
        Some(match (by_forwarded, by_x) {
            (Some(told), None) => told,
            (None, Some(told)) => Origin { by_tls: x_tls, ..told },
            (None, None) => nothing_said,
            (Some(told), Some(other)) if told.address == other.address => told,
            // The proxy writes one of the two, and passes on the other one as the client sent it; only the proxy's
            // settings say which. So neither is trusted: the client can hide behind the proxy, but cannot pass for
            // anyone else.
            (Some(_), Some(_)) => Origin { by_tls: false, ..nothing_said },
        })
    }

    /// Returns the farthest hop that is vouched for.
    fn walk(&self, peer: IpAddr, hops: &[Hop]) -> Origin {
        let mut origin = Origin { address: peer.to_canonical(), by_tls: false };
        for hop in hops {
            let Some(address) = hop.from else { break };
            origin =
                Origin { address: address.to_canonical(), by_tls: hop.by_tls.unwrap_or(false) };
            if !self.include(address) {
                break;
            }
        }
        origin
    }
}

impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The two forms of the setting: an environment variable is a single text.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<String>),
            Text(String),
        }
        let networks = match Written::deserialize(deserializer)? {
            Written::List(list) => list,
            Written::Text(text) => text.split([',', ' ']).map(str::to_owned).collect(),
        };
        let networks = networks.iter().filter(|text| !text.is_empty()).map(|text| network(text));
        networks.collect::<Result<_, _>>().map(Self).map_err(serde::de::Error::custom)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| ip.to_canonical().into()));
    let network: IpNet = network.map_err(|_| {
        format!(
            "trusted_proxies: {text:?} is not an address (192.0.2.7) or a network (192.0.2.0/24)"
        )
    })?;
    if network.prefix_len() == 0 {
        return Err(format!(
            "trusted_proxies: {text:?} covers all addresses: any client could pose as another"
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn proxies() -> TrustedProxies {
        TrustedProxies([PROXY, "10.1.0.0/16", "fd00::/8"].map(|text| network(text).unwrap()).into())
    }

    fn origin(peer: &str, headers: &[(&str, &str)]) -> Option<(String, bool)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let origin = proxies().origin(peer.parse().unwrap(), &map)?;
        Some((origin.address.to_string(), origin.by_tls))
    }

    #[test]
    fn nobody_but_a_listed_proxy_is_believed() {
        let forged = [("forwarded", "for=6.6.6.6;proto=https"), ("x-forwarded-for", "6.6.6.6")];
        for stranger in ["10.0.0.2", "192.0.2.1", "::1", "::ffff:10.0.0.2"] {
            assert_eq!(origin(stranger, &forged), None, "{stranger}");
        }
        for proxy in [PROXY, "10.1.2.3", "fd00::7", "::ffff:10.0.0.1"] {
            assert_eq!(origin(proxy, &forged), Some(("6.6.6.6".to_owned(), true)), "{proxy}");
        }
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_client() {
        for header in ["6.6.6.6, 192.0.2.1", "6.6.6.6, 192.0.2.1, 10.1.0.9, fd00::1"] {
            let told = origin(PROXY, &[("x-forwarded-for", header)]);
            assert_eq!(told, Some(("192.0.2.1".to_owned(), false)), "{header}");
        }
        // If all hops are proxies, the request began at the farthest one.
        let told = origin(PROXY, &[("x-forwarded-for", "10.1.0.8, 10.1.0.9")]);
        assert_eq!(told, Some(("10.1.0.8".to_owned(), false)));
    }

    #[test]
    fn behind_what_cannot_be_read_nothing_is_believed() {
        for header in ["6.6.6.6, unknown", "6.6.6.6, _x", "6.6.6.6, :", "nonsense", ""] {
            let told = origin(PROXY, &[("x-forwarded-for", header)]);
            assert_eq!(told, Some((PROXY.to_owned(), false)), "{header}");
        }
        let told = origin(PROXY, &[("x-forwarded-for", "6.6.6.6, unknown, 10.1.0.9")]);
        assert_eq!(told, Some(("10.1.0.9".to_owned(), false)));
    }

    #[test]
    fn two_headers_that_disagree_name_nobody() {
        let (one, other) = (("forwarded", "for=192.0.2.1;proto=https"), "x-forwarded-for");
        assert_eq!(
            origin(PROXY, &[one, (other, "192.0.2.1")]),
            Some(("192.0.2.1".to_owned(), true))
        );
        assert_eq!(origin(PROXY, &[one, (other, "192.0.2.2")]), Some((PROXY.to_owned(), false)));
    }

    #[test]
    fn tls_is_what_the_proxy_that_the_client_reached_says() {
        let chain = ("forwarded", "for=192.0.2.1;proto=https, for=10.1.0.9;proto=http");
        assert_eq!(origin(PROXY, &[chain]), Some(("192.0.2.1".to_owned(), true)));
        let x = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(origin(PROXY, &x), Some(("192.0.2.1".to_owned(), true)));
        let forged = [x[0], ("x-forwarded-proto", "https, http")];
        assert_eq!(origin(PROXY, &forged), Some(("192.0.2.1".to_owned(), false)));
    }

    #[test]
    fn settings_take_addresses_and_networks_and_nothing_else() {
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.1:80", "*"] {
            assert!(network(wrong).unwrap_err().contains("trusted_proxies"), "{wrong}");
        }
    }
}
