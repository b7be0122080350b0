//! What one listener does with a connection: TLS where it speaks that, then HTTP.
//!
//! It does what actix-web's `HttpServer` does for its listeners, and is here because that has its TLS set up once and
//! for all and tells nobody why a handshake failed.

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
use tokio::net::TcpStream;

use super::app::{self, Shared};
use super::connection::{Connection, HEAD_TIME};
use super::handshake::{self, Standing, UnderWay};
use super::tls::Tls;
use crate::api::conventions::listener::PeerCertificate;
use crate::catalog::Catalog;

/// How long an idle connection is kept: longer than most proxies keep theirs, so that they are the
/// ones to close it and never write into a closing one.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a connection that is being closed may still take what was sent to it.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// What a listener serves with.
#[derive(Clone)]
pub(super) struct Serving {
    pub address: SocketAddr,
    pub tls: Option<Arc<Tls>>,
    pub shared: Shared,
    pub catalog: Catalog,
    pub stopping: GracefulShutdownSignal,
}

/// Takes connections, in one worker.
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
    // The only way to say which address a request came in by; actix-web's own test server uses it.
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
        .on_connect_ext(describe)
        .finish(app);
    let (tls, catalog) = (serving.tls.clone(), serving.catalog.clone());
    let under_way = Rc::new(UnderWay::default());
    fn_service(move |stream: TcpStream| {
        let (tls, under_way, catalog) = (tls.clone(), Rc::clone(&under_way), catalog.clone());
        async move {
            let client = stream.peer_addr().map_err(DispatchError::Io)?;
            let connection = connect(stream, client, tls.as_ref(), &under_way, &catalog);
            let connection = connection.await.map_err(DispatchError::Io)?;
            Ok((connection, Protocol::Http1, Some(client)))
        }
    })
    .and_then(http)
}

async fn connect(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<&Arc<Tls>>,
    under_way: &Rc<UnderWay>,
    catalog: &Catalog,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Connection::plain(stream)) };
    let (stream, state) = handshake::take(stream, client, tls, under_way, catalog).await?;
    Ok(Connection::tls(stream, Standing::of(tls, state, client, catalog)))
}

/// What requests find out about their connection.
fn describe(connection: &Connection, data: &mut Extensions) {
    data.insert(connection.under_way().clone());
    if let Some(certificate) = connection.certificate() {
        data.insert(PeerCertificate(certificate[..].into()));
    }
}
