//! The running server: opens what it needs, listens, serves, keeps background work going, and stops
//! without breaking what is under way.

mod app;
mod start;
mod tls;

use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpServer;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;

pub use start::{ADMIN, Opened, open_catalog, open_database};

use crate::api::{self, listener::Listeners};
use crate::config::{Config, ConfigError, Listener};
use crate::storage::StorageError;

/// How long an idle connection is kept: longer than most proxies keep theirs, so that they are the
/// ones to close it and never write into a closing one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long background work that panicked rests: a panic that comes again must not fill the log.
const BEFORE_NEXT_TRY: Duration = Duration::from_secs(1);

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Catalog(#[from] crate::catalog::Error),
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("{what}: {source}")]
    Listen { what: String, source: std::io::Error },
    #[error("{0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[cfg(feature = "negotiate")]
    #[error("{0}")]
    Keytab(#[from] crate::access::negotiate::UnusableKeytab),
    #[error("{0}")]
    Password(#[from] crate::access::password::UnfitPassword),
    #[error("access.oidc: {0}")]
    Issuer(#[from] reqwest::Error),
}

/// A server that is listening and not yet serving.
pub struct Bound {
    config: Config,
    opened: Opened,
    sockets: Vec<(Listener, TcpListener)>,
    metrics_socket: Option<TcpListener>,
}

/// Opens everything and binds all addresses, so that what is wrong is said before anything is served.
pub async fn bind(config: Config, data: &std::path::Path) -> Result<Bound, ServerError> {
    let opened = start::open(&config, data).await?;
    let mut sockets = Vec::new();
    for listener in &config.listener {
        sockets.push((listener.clone(), listen(listener.address)?));
    }
    let metrics_socket = config.metrics.listen.map(listen).transpose()?;
    Ok(Bound { config, opened, sockets, metrics_socket })
}

fn listen(address: std::net::SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).map_err(|source| ServerError::Listen {
        what: format!("cannot listen on {address}"),
        source,
    })
}

impl Bound {
    /// Where the server can be reached, one URL for each listener.
    pub fn urls(&self) -> Vec<String> {
        let url = |(listener, socket): &(Listener, TcpListener)| {
            let scheme = if listener.certificate.is_some() { "https" } else { "http" };
            let address = socket.local_addr().unwrap_or(listener.address);
            format!("{scheme}://{address}")
        };
        self.sockets.iter().map(url).collect()
    }

    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Serves until `stop` is ready, then lets downloads and uploads under way finish, up to
    /// `server.shutdown_grace`.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServerError> {
        let urls = self.urls();
        let Self { config, opened, sockets, metrics_socket } = self;
        let fail = |what: &str| {
            let what = what.to_owned();
            move |source| ServerError::Listen { what, source }
        };
        let depot = app::depot(&config, &opened, listeners(&sockets))?;
        let issuer = depot.tokens.issuer().cloned();
        let observer = app::observer(&config, &opened)?;
        let shared = app::Shared::new(depot, observer, &config);
        let mut server = HttpServer::new(move || app::app(&shared))
            .keep_alive(KEEP_ALIVE)
            .tcp_nodelay(true)
            .shutdown_timeout(config.server.shutdown_grace.as_secs())
            .shutdown_signal(stop);
        for (listener, socket) in sockets {
            server = match tls::config(&listener)? {
                Some(tls) => server.listen_rustls_0_23(socket, tls),
                None => server.listen(socket),
            }
            .map_err(fail("cannot serve"))?;
        }
        let metrics_handle = opened.metrics.clone();
        let metrics_server = metrics_socket
            .map(|socket| app::metrics_server(socket, metrics_handle, opened.catalog.clone()))
            .transpose()
            .map_err(fail("metrics.listen"))?;
        let mut background = background(&opened);
        if let Some(issuer) = issuer {
            background.spawn(without_end("issuer", move || {
                let issuer = Arc::clone(&issuer);
                async move { issuer.follow().await }
            }));
        }
        for url in urls {
            tracing::info!("listening on {url}");
        }
        let result = server.run().await.map_err(fail("serving ended"));
        if let Some(server) = metrics_server {
            server.stop(true).await;
        }
        tracing::info!("stopped serving, closing the catalog");
        background.shutdown().await;
        opened.catalog.close().await;
        result
    }
}

/// What requests are told of the listener that they came in by.
fn listeners(sockets: &[(Listener, TcpListener)]) -> Listeners {
    Listeners::new(sockets.iter().map(|(listener, socket)| {
        let at = socket.local_addr().unwrap_or(listener.address);
        let (ways_in, tls) = (listener.ways_in.clone(), listener.certificate.is_some());
        (at, api::listener::Listener { ways_in, tls })
    }))
}

/// Work that goes on beside requests. Each loop looks for itself what is to be done, so that one that
/// is cut off loses nothing.
fn background(opened: &Opened) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let catalog = opened.catalog.clone();
    tasks.spawn(without_end("follow", move || {
        let catalog = catalog.clone();
        async move { catalog.follow().await }
    }));
    let catalog = opened.catalog.clone();
    tasks.spawn(without_end("publish", move || {
        let catalog = catalog.clone();
        async move { catalog.keep_publishing().await }
    }));
    let catalog = opened.catalog.clone();
    tasks.spawn(without_end("sweep", move || {
        let catalog = catalog.clone();
        async move { catalog.keep_sweeping().await }
    }));
    tasks
}

/// Begins work anew that panicked: a server that answers from a snapshot that nobody refreshes any
/// more would look well.
async fn without_end<F: Future<Output = ()>>(name: &'static str, work: impl Fn() -> F) {
    loop {
        let ended = AssertUnwindSafe(work()).catch_unwind().await;
        tracing::error!(
            task = name,
            panicked = ended.is_err(),
            "background work ended; begun anew"
        );
        tokio::time::sleep(BEFORE_NEXT_TRY).await;
    }
}
