//! TLS as simulated clients use it: whole handshakes, and handshakes that resume a session.
//!
//! In a fleet each client has a session of its own. Here all clients take theirs from one [`Sessions`]: what a resumed
//! handshake costs the server does not depend on whose session it was.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    WebPkiServerVerifier,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use url::Url;

use super::fleet::Way;
use super::verifier::Remembering;
use crate::client::error::Failure;
use crate::client::tls_files::{TlsFiles, authorities, unusable};

/// The sessions that are kept at most: more than connections can be under way.
const MOST_SESSIONS: usize = 20_000;

/// The TLS of one server.
#[derive(Clone)]
pub struct Tls {
    whole: TlsConnector,
    resuming: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the files, or takes the system's authorities. Returns none for a server without TLS.
    pub fn for_server(server: &Url, files: &TlsFiles) -> Result<Option<Self>, Failure> {
        if server.scheme() != "https" {
            return Ok(None);
        }
        let host = server.host_str().unwrap_or_default();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|error| {
            Failure::usage(format!("{host} cannot have a certificate: {error}"))
        })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = config(provider, files)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = |resumption| {
            let mut config = config.clone();
            config.resumption = resumption;
            TlsConnector::from(Arc::new(config))
        };
        let whole = connector(Resumption::disabled());
        let resuming = connector(Resumption::store(Arc::new(Sessions::default())));
        Ok(Some(Self { whole, resuming, name }))
    }

    pub const fn connector(&self, way: Way) -> &TlsConnector {
        match way {
            Way::Resumed => &self.resuming,
            Way::Fresh | Way::Kept => &self.whole,
        }
    }

    pub fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

fn config(provider: Arc<CryptoProvider>, files: &TlsFiles) -> Result<ClientConfig, Failure> {
    let impossible = |error: &dyn std::fmt::Display| Failure::usage(format!("no TLS: {error}"));
    let verifier: Arc<dyn ServerCertVerifier> = match &files.ca {
        None => Arc::new(Verifier::new(provider.clone()).map_err(|error| impossible(&error))?),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            verifier.build().map_err(|error| impossible(&error))?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| impossible(&error))?;
    let verifier = Arc::new(Remembering::new(verifier));
    let trusting = builder.dangerous().with_custom_certificate_verifier(verifier);
    match &files.client {
        None => Ok(trusting.with_no_client_auth()),
        Some(files) => {
            let (chain, key) = files.chain()?;
            trusting.with_client_auth_cert(chain, key).map_err(|error| impossible(&error))
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for (line, der) in authorities(path)? {
        let added = roots.add(der.into());
        added.map_err(|error| unusable(path, &format!("line {line}: {error}")))?;
    }
    Ok(roots)
}

/// Sessions of one server that can be resumed.
///
/// A ticket of TLS 1.3 is used once, and each handshake brings at least one new one. rustls's own memory has room for
/// eight of a server, which is too few for hundreds of connections at the same time.
#[derive(Debug, Default)]
struct Sessions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    group: Option<NamedGroup>,
    older: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.with(|state| state.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|state| state.group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(|state| state.older = Some(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(|state| state.older.clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.with(|state| state.older = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(|state| {
            if state.tickets.len() == MOST_SESSIONS {
                state.tickets.pop_front();
            }
            state.tickets.push_back(value);
        });
    }

    /// Takes the newest: servers forget old ones first.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|state| state.tickets.pop_back())
    }
}
