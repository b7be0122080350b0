//! `[[listener]]`, as it is written. What its settings may be together is said in `check/listener`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::access::WayIn;

/// `[[listener]]`, any number of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub address: SocketAddr,
    /// PEM files; both or neither. With them the listener speaks TLS.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// How callers may prove here who they are.
    #[serde(default = "ways_in")]
    pub ways_in: Vec<WayIn>,
    /// Whether connections need a client certificate. There is no "optional": BITS jobs without one fail
    /// where a server asks for it.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// The authorities of client certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Their revocation lists, PEM or DER. With any, every authority in a certificate's chain needs one that is not
    /// past its next update.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// Takes passwords without TLS from other machines, where the line between is safe in another way.
    #[serde(default)]
    pub allow_plain_passwords: bool,
}

/// Whether a listener's connections need a client certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    #[default]
    Never,
    Required,
}

fn ways_in() -> Vec<WayIn> {
    vec![WayIn::Basic, WayIn::Bearer]
}

impl Listener {
    /// Plain HTTP, with the ways in that a listener has by default.
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
