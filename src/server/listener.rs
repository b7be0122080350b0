//! A listener's handling of connections: TLS if it is set up, then HTTP.
//!
//! This does what actix-web's `HttpServer` does for its listeners. It exists because `HttpServer` sets its TLS up once
//! and for all, and does not report why a handshake failed.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, Protocol};
use actix_server::GracefulShutdownSignal;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::Error;
use actix_web::dev::AppConfig;
use rustix::net::sockopt;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::app::{self, Shared};
use super::connection::{Connection, HEAD_TIME};
use super::connection_limit::ConnectionLimit;
use super::handshake::{self, CertificateStanding, HandshakesInProgress, RefusedConnection};
use super::refusal::{Refusals, as_answer};
use super::tls::Tls;
use crate::api::conventions::listener::PeerCertificate;
use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::Catalog;
use crate::telemetry::request::Observer;

/// The time that an idle connection is kept. It is longer than with most proxies, so that they are the ones to close a
/// connection and never write into one that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The time that a connection that is being closed still has to take what was sent to it.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The most refused clients in each worker that get an answer and time to read it. Others are disconnected at once.
const PARTINGS_AT_ONCE: usize = 64;

/// The parts that a listener serves with.
#[derive(Clone)]
pub(super) struct Serving {
    pub address: SocketAddr,
    pub tls: Option<Arc<Tls>>,
    pub shared: Shared,
    pub catalog: Catalog,
    pub stopping: GracefulShutdownSignal,
    pub limit: Arc<ConnectionLimit>,
    pub send_timeout: Duration,
}

/// Returns the service that takes connections in one worker.
pub(super) fn service(
    serving: &Serving,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
+ use<> {
    let address = serving.address;
    let secure = serving.tls.is_some();
    let stopping = serving.stopping.clone();
    let app = app::app(&serving.shared)
        .into_factory()
        .map_err(|error: Error| error.as_response_error().error_response());
    // The only way to pass on the address at which a request arrived; actix-web's own test server uses it.
    let app =
        map_config(app, move |()| AppConfig::__priv_test_new(secure, address.to_string(), address));
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(CLOSING_TIME)
        .local_addr(address)
        // Otherwise a stream of events would go on for a while after its reader has gone.
        .h1_allow_half_closed(false)
        .on_connect_ext(describe)
        .finish(app);
    let taking = Rc::new(Acceptor {
        tls: serving.tls.clone(),
        catalog: serving.catalog.clone(),
        handshakes: Rc::default(),
        limit: Arc::clone(&serving.limit),
        send_timeout: serving.send_timeout,
        partings: Semaphore::new(PARTINGS_AT_ONCE),
        observer: Rc::new(serving.shared.observer().clone()),
        address,
    });
    fn_service(move |stream: TcpStream| {
        let taking = Rc::clone(&taking);
        async move {
            let client = stream.peer_addr().map_err(DispatchError::Io)?;
            let connection = taking.take(stream, client).await.map_err(DispatchError::Io)?;
            Ok((connection, Protocol::Http1, Some(client)))
        }
    })
    .and_then(http)
}

/// The state with which one worker takes connections.
struct Acceptor {
    tls: Option<Arc<Tls>>,
    catalog: Catalog,
    handshakes: Rc<HandshakesInProgress>,
    limit: Arc<ConnectionLimit>,
    send_timeout: Duration,
    partings: Semaphore,
    observer: Rc<Observer>,
    address: SocketAddr,
}

impl Acceptor {
    async fn take(&self, stream: TcpStream, client: SocketAddr) -> io::Result<Connection> {
        let Some(place) = self.limit.enter(client.ip()) else {
            if self.tls.is_none() {
                self.tell_and_part(stream, too_many_connections()).await;
            }
            return Err(io::Error::other("too many connections"));
        };
        stream.set_nodelay(true)?;
        set_send_timeout(&stream, self.send_timeout)?;
        let refusals = self.refusals(client);
        let Some(tls) = &self.tls else { return Ok(Connection::plain(stream, place, refusals)) };
        let taken = handshake::take(stream, client, tls, &self.handshakes, &self.catalog).await;
        let (stream, state) = match taken {
            Ok(taken) => taken,
            Err(RefusedConnection { error, plain }) => {
                if let Some(stream) = plain {
                    self.tell_and_part(stream, tls_expected()).await;
                }
                return Err(error);
            }
        };
        let standing = CertificateStanding::of(tls, state, client, &self.catalog);
        Ok(Connection::tls(stream, standing, place, refusals))
    }

    fn refusals(&self, client: SocketAddr) -> Refusals {
        let client = client.ip().to_canonical();
        Refusals { observer: Rc::clone(&self.observer), server: self.address, client }
    }

    /// Sends the reason over plain HTTP, if a permit is free. Over TLS the handshake would cost what is scarce.
    async fn tell_and_part(&self, mut stream: TcpStream, problem: Problem) {
        let Ok(_permit) = self.partings.try_acquire() else { return };
        let answer = as_answer(&problem, &self.observer.ids.next().simple().to_string());
        // It fits into the system's send buffer.
        if stream.write_all(answer.as_bytes()).await.is_ok() {
            handshake::part(stream).await;
        }
    }
}

fn too_many_connections() -> Problem {
    let detail = "too many connections are open, from this address or in total: close some, or try again later";
    Problem::new(Code::TooManyConnections, detail)
}

fn tls_expected() -> Problem {
    let detail = "this address speaks HTTPS only: use https:// instead of http://";
    Problem::new(Code::TlsExpected, detail)
}

/// Has the system end the connection if the client takes none of the data written to it for this time.
fn set_send_timeout(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, milliseconds)?)
}

/// Adds what requests can find out about their connection.
fn describe(connection: &Connection, data: &mut Extensions) {
    data.insert(connection.requests().clone());
    data.insert(connection.expectation().clone());
    if let Some(certificate) = connection.certificate() {
        data.insert(PeerCertificate(certificate[..].into()));
    }
}
