//! The running server: opens what it needs, listens, serves, runs background work, and stops without interrupting
//! requests under way.

mod app;
mod connection;
mod connection_limit;
mod error;
mod handshake;
mod incoming;
mod listener;
mod memory;
mod per_address;
mod refusal;
mod reload;
mod start;
mod stream;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

pub use self::error::ServerError;
pub use self::reload::Reread;
pub use start::{ADMIN, Opened, SAVED_CATALOGS, migrate, open_catalog, open_database};

use crate::access::oidc::Issuer;
use crate::api::conventions::listener::{self as api_listener, Listeners};
use crate::catalog::Catalog;
use crate::catalog::events::feed::Feed;
use crate::config::{Config, ConfigError, Listener};
use crate::delivery::{Sender, keep_delivering};
use crate::model::Clock;
use crate::telemetry::metrics::keep_folding;
use connection_limit::ConnectionLimit;
use tls::Tls;

/// The pause before background work that panicked starts again, so that a repeated panic does not fill the log.
const BEFORE_NEXT_TRY: Duration = Duration::from_secs(1);

/// The time that closing may take after the grace period for requests under way has ended.
const CLOSING: Duration = Duration::from_secs(1);

/// A server that is listening but not serving yet.
pub struct Bound {
    config: Config,
    opened: Opened,
    sockets: Vec<Socket>,
    metrics_socket: Option<TcpListener>,
}

/// A listener with its bound socket and its TLS.
struct Socket {
    listener: Listener,
    address: SocketAddr,
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

/// Checks the files that otherwise correct settings name for TLS: certificates, keys and revocation lists.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let listeners = config.listener.iter().enumerate();
    let wrong = listeners.filter_map(|(index, listener)| {
        tls::check(listener).err().map(|error| of_listener(index, &error).to_string())
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(ConfigError::all(wrong)) }
}

fn of_listener(index: usize, error: &ConfigError) -> ConfigError {
    ConfigError::new(format!("listener {}: {error}", index + 1))
}

/// Opens everything and binds all addresses, so that errors are reported before anything is served.
pub async fn bind(config: Config, data: &std::path::Path) -> Result<Bound, ServerError> {
    memory::use_small_pages();
    check(&config)?;
    let opened = start::open(&config, data).await?;
    let mut sockets = Vec::new();
    for (index, listener) in config.listener.iter().enumerate() {
        let socket = listen(listener.address, &config)?;
        let address = socket.local_addr().unwrap_or(listener.address);
        let tls = Tls::of(listener, address).map_err(|error| of_listener(index, &error))?;
        sockets.push(Socket {
            listener: listener.clone(),
            address,
            socket,
            tls: tls.map(Arc::new),
        });
    }
    let metrics_socket =
        config.metrics.listen.map(|address| listen(address, &config)).transpose()?;
    Ok(Bound { config, opened, sockets, metrics_socket })
}

fn listen(address: SocketAddr, config: &Config) -> Result<TcpListener, ServerError> {
    let has_its_own_ipv4 = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
    let listeners = config.listener.iter().map(|listener| listener.address);
    let of_one_family = address.is_ipv6()
        && address.port() != 0
        && listeners.chain(config.metrics.listen).any(has_its_own_ipv4);
    let bound = if of_one_family { ipv6_alone(address) } else { TcpListener::bind(address) };
    bound.map_err(|source| ServerError::Listen {
        what: format!("cannot listen on {address}"),
        source,
    })
}

/// Listens on an IPv6 address for IPv6 alone. By default `[::]` also takes IPv4, and then it could not be bound beside
/// `0.0.0.0` on the same port.
fn ipv6_alone(address: SocketAddr) -> std::io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
    /// The requested length of the queue of waiting connections. The system caps it at its own limit
    /// (`net.core.somaxconn`).
    const WAITING: i32 = 4096;
    let kind = (AddressFamily::INET6, SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(kind.0, kind.1, kind.2, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, WAITING)?;
    Ok(socket.into())
}

impl Bound {
    /// Returns the server's URLs, one for each listener.
    pub fn urls(&self) -> Vec<String> {
        let url = |socket: &Socket| {
            let scheme = if socket.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", socket.address)
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
        reread: Option<Reread>,
    ) -> Result<(), ServerError> {
        let urls = self.urls();
        let Self { config, opened, sockets, metrics_socket } = self;
        let (grace, stopped_at) = (config.server.shutdown_grace, Arc::new(OnceLock::new()));
        let stop = noted(stop, Arc::clone(&stopped_at), opened.catalog.event_feed().clone());
        let depot = app::depot(&config, &opened, listeners(&sockets))?;
        let issuer = depot.tokens.issuer().cloned();
        let (sender, download_limits) = (depot.sender.clone(), depot.download_limits.clone());
        let observer = app::observer(&config, &opened)?;
        let access_log = observer.access_log.clone();
        let shared = app::Shared::new(depot, observer, &config);
        let limit = connection_limit(&config);
        let mut server = actix_server::Server::build()
            .shutdown_timeout(config.server.shutdown_grace.as_secs())
            .shutdown_signal(stop);
        let followed = sockets.iter().filter_map(|socket| socket.tls.clone()).collect();
        for Socket { address, socket, tls, .. } in sockets {
            let serving = listener::Serving {
                address,
                tls,
                shared: shared.clone(),
                catalog: opened.catalog.clone(),
                stopping: server.graceful_shutdown_signal(),
                limit: Arc::clone(&limit),
                send_timeout: config.server.send_timeout,
            };
            let service = move || listener::service(&serving);
            let listening = server.listen(format!("listener {address}"), socket, service);
            server = listening.map_err(|error| listen_error("cannot serve", error))?;
        }
        let metrics_handle = opened.metrics.clone();
        let metrics_server = metrics_socket
            .map(|socket| app::metrics_server(socket, metrics_handle, opened.catalog.clone()))
            .transpose()
            .map_err(|error| listen_error("metrics.listen", error))?;
        let mut background = background(&opened, sender);
        let clock = opened.catalog.clock().clone();
        follow_outside(&mut background, issuer, followed, clock);
        if let Some(reread) = reread {
            let catalog = opened.catalog.clone();
            let reloadable = Arc::new(reload::Reloadable { catalog, download_limits, reread });
            background.spawn(without_end("follow settings", move || {
                reload::keep_up(config.clone(), Arc::clone(&reloadable))
            }));
        }
        for url in urls {
            tracing::info!("listening on {url}");
        }
        let stopped = |error| listen_error("the server stopped unexpectedly", error);
        let result = server.run().await.map_err(stopped);
        tracing::info!("stopped serving, closing the catalog");
        // A database that no longer answers must not delay the stop: whatever was acknowledged is durable.
        let deadline = *stopped_at.get_or_init(Instant::now) + grace + CLOSING;
        if timeout_at(deadline, close(&opened.catalog, metrics_server, background)).await.is_err() {
            tracing::warn!("the catalog could not be closed in time; exiting anyway");
        }
        if let Some(log) = access_log {
            log.flush();
        }
        result
    }
}

/// Waits for `stop`, then records the time and ends the streams of events, which would last for the whole grace.
async fn noted(stop: impl Future<Output = ()>, at: Arc<OnceLock<Instant>>, feed: Feed) {
    stop.await;
    feed.end();
    let _only_once = at.set(Instant::now());
}

async fn close(catalog: &Catalog, metrics: Option<ServerHandle>, mut background: JoinSet<()>) {
    if let Some(server) = metrics {
        server.stop(false).await;
    }
    background.shutdown().await;
    tokio::join!(catalog.leave_jobs(), catalog.leave_replicas(), catalog.save_cut_uploads());
    catalog.close().await;
}

fn connection_limit(config: &Config) -> Arc<ConnectionLimit> {
    let descriptors = connection_limit::raise_descriptor_limit();
    let server = &config.server;
    ConnectionLimit::new(
        descriptors,
        server.connections_per_address,
        server.trusted_proxies.clone(),
    )
}

fn listen_error(what: &str, source: std::io::Error) -> ServerError {
    ServerError::Listen { what: what.to_owned(), source }
}

/// Returns what the API needs to know about each listener: its authentication methods, and whether it speaks TLS.
fn listeners(sockets: &[Socket]) -> Listeners {
    Listeners::new(sockets.iter().map(|Socket { listener, address, tls, .. }| {
        let ways_in = listener.ways_in.clone();
        (*address, api_listener::Listener { ways_in, tls: tls.is_some() })
    }))
}

/// Starts the work that runs beside requests. Each loop finds out for itself what there is to do, so that nothing is
/// lost when one is interrupted.
fn background(opened: &Opened, sender: Sender) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    macro_rules! keep {
        ($name:literal, $work:ident) => {
            let catalog = opened.catalog.clone();
            tasks.spawn(without_end($name, move || {
                let catalog = catalog.clone();
                async move { catalog.$work().await }
            }));
        };
    }
    keep!("follow", follow);
    keep!("follow rollouts", follow_rollouts);
    keep!("follow progress", follow_progress);
    keep!("publish", keep_publishing);
    keep!("sign", keep_signing);
    keep!("sweep", keep_sweeping);
    keep!("collect garbage", keep_collecting);
    keep!("scrub", keep_scrubbing);
    keep!("make chunk lists and deltas", keep_making_transfer_files);
    keep!("measure", keep_measuring);
    keep!("feed events", keep_feeding_events);
    keep!("record refused log-ins", keep_recording_refused_logins);
    keep!("record update checks", keep_recording_checks);
    keep!("watch", keep_watching);
    let catalog = opened.catalog.clone();
    tasks.spawn(without_end("deliver events", move || {
        keep_delivering(catalog.clone(), sender.clone())
    }));
    tasks.spawn(without_end("return memory", memory::keep_returning_what_was_freed));
    let metrics = opened.metrics.clone();
    tasks.spawn(without_end("fold durations", move || keep_folding(metrics.clone())));
    tasks
}

/// Starts the work that follows changes from outside: the outside issuer's keys and the TLS files.
fn follow_outside(
    background: &mut JoinSet<()>,
    issuer: Option<Arc<Issuer>>,
    certificates: Vec<Arc<Tls>>,
    clock: Clock,
) {
    if let Some(issuer) = issuer {
        background.spawn(without_end("issuer", move || {
            let issuer = Arc::clone(&issuer);
            async move { issuer.follow().await }
        }));
    }
    background.spawn(without_end("follow certificates", move || {
        tls::keep_up(certificates.clone(), clock.clone())
    }));
}

/// Runs work and starts it again whenever it panics or ends. Without that, a server whose snapshot is no longer
/// refreshed would look healthy.
async fn without_end<F: Future<Output = ()>>(name: &'static str, work: impl Fn() -> F) {
    loop {
        let ended = AssertUnwindSafe(work()).catch_unwind().await;
        tracing::error!(
            task = name,
            panicked = ended.is_err(),
            "background work ended and was restarted"
        );
        tokio::time::sleep(BEFORE_NEXT_TRY).await;
    }
}
