//! TLS from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ConfigError, Listener};

/// The listener's TLS settings; none where it speaks plain HTTP.
pub(super) fn config(listener: &Listener) -> Result<Option<ServerConfig>, ConfigError> {
    let (Some(certificate), Some(key)) = (&listener.certificate, &listener.key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificate, &"no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let mut tls = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate, &error))?;
    tls.ignore_client_order = true;
    // One ticket a connection: four would be four more writes, and clients that ask every 15 minutes
    // use one. Stateless, so that no memory grows and every worker can read it.
    tls.send_tls13_tickets = 1;
    tls.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| wrong(key, &error))?;
    Ok(Some(tls))
}

/// AES-128 first: its SHA-256 runs in hardware, where the SHA-384 of AES-256 does not, and the
/// handshake is most of what an update check on a fresh connection costs.
fn provider() -> rustls::crypto::CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 2,
        _ => 3,
    });
    provider
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::at(path, error)
}
