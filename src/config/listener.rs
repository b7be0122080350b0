//! `[[listener]]`, as it is written. `check/listener` checks which settings may be combined.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::access::AuthenticationMethod;

/// `[[listener]]`, any number of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub address: SocketAddr,
    /// The file with the certificate and its chain, PEM or DER. Set it together with `key`: then the listener speaks
    /// TLS.
    pub certificate: Option<PathBuf>,
    /// The file with the private key, PEM or DER, without a password.
    pub key: Option<PathBuf>,
    /// The authentication methods that callers may use here.
    #[serde(default = "ways_in")]
    pub ways_in: Vec<AuthenticationMethod>,
    /// The requirement of a client certificate. There is no "optional", because BITS jobs without a certificate fail if
    /// a server asks for one.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// The file with the authorities of client certificates, PEM or DER.
    pub client_ca: Option<PathBuf>,
    /// The files with their revocation lists, PEM or DER. If any is set, every authority in a certificate's chain needs
    /// a list that is not past its next update.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// Accepts passwords without TLS from other machines, for networks that are protected in another way.
    #[serde(default)]
    pub allow_plain_passwords: bool,
}

/// The choice whether connections of a listener need a client certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    #[default]
    Never,
    Required,
}

fn ways_in() -> Vec<AuthenticationMethod> {
    vec![AuthenticationMethod::Basic, AuthenticationMethod::Bearer]
}

impl Listener {
    /// Returns a listener for plain HTTP with the default authentication methods.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            certificate: None,
            key: None,
            ways_in: ways_in(),
            client_certificates: ClientCertificates::Never,
            client_ca: None,
            crl: Vec::new(),
            allow_plain_passwords: false,
        }
    }
}
