//! The server: connections, with or without TLS, each with its limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::answer;
use super::patient::Patient;
use super::site::Site;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::tls_files::ClientFiles;

/// The most connections at a time. Others wait until one of them ends.
const CONNECTIONS: usize = 1024;

/// The most connections of one address, so that one machine does not take the places of all.
const OF_ONE_ADDRESS: usize = 256;

/// The time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// The time for the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(30);

/// The time in which a client has to take something of an answer.
const TAKES: Duration = Duration::from_mins(2);

/// The most bytes of a request's head.
const LARGEST_HEAD: usize = 64 << 10;

/// The time in which answers may end after the mirror was told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// The certificate of the server and its key, which may be replaced at any time.
#[derive(Debug)]
pub struct Certificate {
    files: ClientFiles,
    settings: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, Failure> {
        let files = ClientFiles { certificate, key };
        let settings = RwLock::new(settings(&files)?);
        Ok(Self { files, settings })
    }

    /// Reads the files again. If they do not fit, what was read before stays.
    pub fn read_again(&self) -> Result<(), Failure> {
        let settings = settings(&self.files)?;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&settings))
    }
}

fn settings(files: &ClientFiles) -> Result<Arc<ServerConfig>, Failure> {
    let (chain, key) = files.chain()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| {
        Failure::usage(format!("{} cannot be used: {error}", files.certificate.display()))
    };
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}

/// The number of connections of each address.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection of an address, counted while it lasts.
struct Held {
    addresses: Addresses,
    address: IpAddr,
}

impl Held {
    /// Counts one more, or returns none if the address has too many.
    fn one_more(addresses: &Addresses, address: IpAddr) -> Option<Self> {
        let mut counts = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= OF_ONE_ADDRESS {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { addresses: Arc::clone(addresses), address })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Listens on an address.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Exit::Conflict, format!("cannot listen on {address}: {error}"))
    })
}

/// Answers until `stop` is ready, and then until the answers under way have ended or their time is over.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    site: Arc<Site>,
    stop: impl Future<Output = ()>,
) {
    let (places, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    let addresses = Addresses::default();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Too many open files, perhaps.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(held) = Held::one_more(&addresses, peer.ip()) else { continue };
        let (certificate, site) = (certificate.clone(), Arc::clone(&site));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = (place, held);
            begin(stream, certificate, site, peer.ip(), watcher).await;
        });
    }
    drop(listener);
    let _late = timeout(GRACE, graceful.shutdown()).await;
}

async fn begin(
    stream: TcpStream,
    certificate: Option<Arc<Certificate>>,
    site: Arc<Site>,
    peer: IpAddr,
    watcher: Watcher,
) {
    let _slower = stream.set_nodelay(true);
    match certificate {
        None => converse(Patient::new(stream, TAKES), site, peer, watcher).await,
        Some(certificate) => {
            let accepted = timeout(HANDSHAKE, certificate.acceptor().accept(stream)).await;
            if let Ok(Ok(stream)) = accepted {
                converse(Patient::new(stream, TAKES), site, peer, watcher).await;
            }
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    site: Arc<Site>,
    peer: IpAddr,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(site, request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the client's affair.
    let _ended = watcher.watch(connection).await;
}
