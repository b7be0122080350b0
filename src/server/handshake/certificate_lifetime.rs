//! Ends connections that outlast the validity of their client's certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::refusal::tell;
use super::{Refused, verify};
use crate::catalog::Catalog;
use crate::server::tls::{State, Tls};

/// The right of a connection to continue, which ends when its client's certificate is no longer valid.
pub(in crate::server) struct CertificateStanding {
    tls: Arc<Tls>,
    catalog: Catalog,
    client: SocketAddr,
    verified_with: Arc<State>,
    verified_at: Instant,
}

/// The time for which a verified certificate is trusted while no file has changed.
const VERIFY_EVERY: Duration = Duration::from_mins(1);

impl CertificateStanding {
    /// Returns the standing of a new connection, or none if no certificate is required.
    pub(in crate::server) fn of(
        tls: &Arc<Tls>,
        verified_with: Arc<State>,
        client: SocketAddr,
        catalog: &Catalog,
    ) -> Option<Self> {
        verified_with.clients.is_some().then(|| Self {
            tls: Arc::clone(tls),
            catalog: catalog.clone(),
            client,
            verified_with,
            verified_at: Instant::now(),
        })
    }

    /// Reports whether the client's certificate would still be accepted. It is verified again after a change of the
    /// files and every minute.
    pub(in crate::server) fn still_good(&mut self, chain: &[CertificateDer<'_>]) -> bool {
        let now = Instant::now();
        let current = self.tls.current();
        if Arc::ptr_eq(&current, &self.verified_with)
            && now.duration_since(self.verified_at) < VERIFY_EVERY
        {
            return true;
        }
        match verify(chain, &current, self.catalog.clock()) {
            Ok(()) => {
                (self.verified_with, self.verified_at) = (current, now);
                true
            }
            Err(Refused { refusal, cause, .. }) => {
                tell(refusal, self.client, cause.as_ref(), &self.catalog);
                false
            }
        }
    }
}
