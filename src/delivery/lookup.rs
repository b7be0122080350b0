//! The look-up of a receiver's name, for each connection anew. The connection is made to what was found here and
//! checked, so a name that changes its address in between leads nowhere else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Scheme, may_be_called};
use crate::catalog::Catalog;
use crate::model::networks::Networks;

/// The source of the addresses of names.
pub(super) type Source = fn(String) -> tokio::task::JoinHandle<io::Result<Vec<SocketAddr>>>;

/// Finds addresses as the system does.
pub(super) fn by_the_system(name: String) -> tokio::task::JoinHandle<io::Result<Vec<SocketAddr>>> {
    tokio::spawn(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

/// Looks names up and leaves out what must not be called.
pub(super) struct CheckedLookup {
    pub catalog: Catalog,
    pub scheme: Scheme,
    pub source: Source,
}

impl Resolve for CheckedLookup {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, scheme) = ((self.source)(name.as_str().to_owned()), self.scheme);
        let rules = Arc::clone(&self.catalog.rules());
        Box::pin(async move {
            let found = found.await??;
            Ok(Box::new(permitted(found, scheme, &rules.webhooks.allow)?.into_iter()) as Addrs)
        })
    }
}

/// Returns the addresses that may be called; an error if there are none.
fn permitted(
    mut found: Vec<SocketAddr>,
    scheme: Scheme,
    allow: &Networks,
) -> Result<Vec<SocketAddr>, Refused> {
    found.retain(|address| may_be_called(address.ip(), scheme, allow));
    if found.is_empty() { Err(Refused(scheme)) } else { Ok(found) }
}

/// The refusal of a receiver because of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub Scheme);

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Scheme::Https => {
                "the address must not be called: it is this machine's or a neighbour's, and not in webhooks.allow"
            }
            Scheme::Http => "the address must not be called without TLS: it is not in webhooks.allow",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_only_those_are_called_that_may_be() {
        let found = ["127.0.0.1:0", "192.0.2.1:0", "[::1]:0"].map(|text| text.parse().unwrap());
        let none = Networks::default();
        let left = permitted(found.to_vec(), Scheme::Https, &none).unwrap();
        assert_eq!(left, [found[1]]);
        assert_eq!(permitted(found.to_vec(), Scheme::Http, &none), Err(Refused(Scheme::Http)));
        assert_eq!(permitted(vec![found[0]], Scheme::Https, &none), Err(Refused(Scheme::Https)));
    }
}
