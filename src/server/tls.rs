//! A listener's TLS: built from its files, and built again when they change.
//!
//! Each connection keeps the state that was current when it began, so a change drops no connection. `files` reads the
//! files, `reload` watches them, `revocation` decides which lists count, and [`super::handshake`] uses the result.

mod files;
mod reload;
mod revocation;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;

use crate::config::{ConfigError, Listener};
use files::{Material, Stamp};
pub(super) use reload::keep_up;
use revocation::Authorities;

/// One listener's TLS.
pub(super) struct Tls {
    listener: Listener,
    address: SocketAddr,
    current: ArcSwap<State>,
}

/// The state with which new connections are taken.
pub(super) struct State {
    pub server: Arc<ServerConfig>,
    /// The verifier of client certificates, if they are required.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The time when the first certificate of the server's chain expires, in seconds since the epoch.
    certificate_ends: i64,
    lists_end: Option<i64>,
    stamp: Stamp,
}

impl Tls {
    /// Reads the listener's files; returns none if it speaks plain HTTP.
    pub(super) fn of(
        listener: &Listener,
        address: SocketAddr,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(state) = State::of(listener)? else { return Ok(None) };
        Ok(Some(Self {
            listener: listener.clone(),
            address,
            current: ArcSwap::from_pointee(state),
        }))
    }

    pub(super) fn current(&self) -> Arc<State> {
        self.current.load_full()
    }
}

/// Checks the listener's files.
pub(super) fn check(listener: &Listener) -> Result<(), ConfigError> {
    State::of(listener).map(|_| ())
}

impl State {
    fn of(listener: &Listener) -> Result<Option<Self>, ConfigError> {
        // Taken before the files are read, so that a change meanwhile is noticed afterwards.
        let stamp = Stamp::of(listener);
        let provider = Arc::new(provider());
        let Some(material) = Material::read(listener, &provider)? else { return Ok(None) };
        let authorities = material.authorities.as_ref();
        let clients = authorities.map(|authorities| authorities.verifier(&provider)).transpose()?;
        let lists_end = authorities.and_then(Authorities::lists_end);
        let certificate_ends = material.certificate_ends;
        let server = Arc::new(server_config(material, provider, clients.clone())?);
        Ok(Some(Self { server, clients, certificate_ends, lists_end, stamp }))
    }
}

fn server_config(
    material: Material,
    provider: Arc<CryptoProvider>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, ConfigError> {
    let Material { certificate, chain, key_file, key, .. } = material;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::at(&certificate, &error))?;
    let mut tls = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    }
    .with_single_cert(chain, key)
    .map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let what = format!("is not the key of the certificate in {}", certificate.display());
            ConfigError::at(&key_file, &what)
        }
        error => ConfigError::at(&certificate, &error),
    })?;
    // No HTTP/2: the framework does not limit its streams and heads, and neither BITS nor curl gains by it.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.ignore_client_order = true;
    // One ticket per connection: four would be four more writes, and clients that ask every 15 minutes use one. Tickets
    // are stateless, so that they take no memory and every worker can read them. Their key belongs to this state:
    // tickets from before a change are not accepted.
    tls.send_tls13_tickets = 1;
    tls.ticketer =
        aws_lc_rs::Ticketer::new().map_err(|error| ConfigError::at(&key_file, &error))?;
    Ok(tls)
}

/// Returns the provider with AES-128 first: its SHA-256 runs in hardware, while the SHA-384 of AES-256 does not, and
/// the handshake is most of the cost of an update check on a fresh connection.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 2,
        _ => 3,
    });
    provider
}
