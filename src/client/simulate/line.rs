//! The connections to the server: some that are kept and shared, and one for each check of the other clients.
//!
//! Requests go through hyper directly. A client library with a pool of its own would cost several times as much for
//! each request, and would decide by itself when to resume a TLS session.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::exchange::{Answered, Broken, Unanswered, ask_once, keep, send};
use super::fleet::Way;
use super::requests::Body;
use super::tls::Tls;

/// The time after which an idle connection is not used again: shorter than servers keep one.
const LONGEST_IDLE: Duration = Duration::from_secs(2);

/// The connections to one server.
pub struct Lines {
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
    /// The right to use a kept connection.
    places: Semaphore,
    /// Kept connections that nobody uses now, the last used one at the end.
    idle: Mutex<Vec<(Instant, SendRequest<Body>)>>,
    connections: AtomicU64,
    whole: AtomicU64,
    resumed: AtomicU64,
}

/// The numbers of connections that were opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opened {
    pub connections: u64,
    /// Whole TLS handshakes.
    pub whole: u64,
    /// TLS handshakes that resumed a session.
    pub resumed: u64,
}

impl Lines {
    pub fn new(addresses: Vec<SocketAddr>, tls: Option<Tls>, kept: u16) -> Self {
        let places = Semaphore::new(kept.into());
        let [connections, whole, resumed] = [const { AtomicU64::new(0) }; 3];
        Self { addresses, tls, places, idle: Mutex::default(), connections, whole, resumed }
    }

    /// Returns the numbers of connections so far.
    pub fn opened(&self) -> Opened {
        let [connections, whole, resumed] = [&self.connections, &self.whole, &self.resumed]
            .map(|counter| counter.load(Ordering::Relaxed));
        Opened { connections, whole, resumed }
    }

    /// Sends a request over a connection of this kind, and waits for the whole answer.
    pub async fn ask(&self, way: Way, request: Request<Body>) -> Result<Answered, Broken> {
        if way == Way::Kept {
            return self.ask_on_kept(request).await;
        }
        let stream = self.connect().await?;
        let Some(tls) = &self.tls else {
            return ask_once(stream, request, |stream| stream).await;
        };
        let stream = self.encrypt(tls, way, stream).await?;
        ask_once(stream, request, |stream| stream.into_inner().0).await
    }

    async fn ask_on_kept(&self, mut request: Request<Body>) -> Result<Answered, Broken> {
        let closed = |error| Broken::new("no connection", &error);
        let _place = self.places.acquire().await.map_err(closed)?;
        while let Some(mut sender) = self.idle() {
            match send(&mut sender, request).await {
                Ok(answered) => return Ok(self.put_back(sender, answered)),
                Err(Unanswered::Unsent(unsent)) => request = *unsent,
                Err(Unanswered::Broken(broken)) => return Err(broken),
            }
        }
        let mut sender = self.open_kept().await?;
        match send(&mut sender, request).await {
            Ok(answered) => Ok(self.put_back(sender, answered)),
            Err(Unanswered::Unsent(_)) => Err(Broken::Closed),
            Err(Unanswered::Broken(broken)) => Err(broken),
        }
    }

    /// Takes the kept connection that was used last, unless it has been idle for so long that the server may close it.
    fn idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, sender) = idle.pop()?;
        if since.elapsed() < LONGEST_IDLE {
            return Some(sender);
        }
        // The others have been idle for longer.
        idle.clear();
        None
    }

    fn put_back(&self, sender: SendRequest<Body>, answered: Answered) -> Answered {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((answered.at, sender));
        answered
    }

    async fn open_kept(&self) -> Result<SendRequest<Body>, Broken> {
        let stream = self.connect().await?;
        match &self.tls {
            None => keep(stream).await,
            Some(tls) => keep(self.encrypt(tls, Way::Kept, stream).await?).await,
        }
    }

    async fn connect(&self) -> Result<TcpStream, Broken> {
        let cannot = |error: io::Error| Broken::new("cannot connect", &error);
        let stream = TcpStream::connect(&*self.addresses).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn encrypt(
        &self,
        tls: &Tls,
        way: Way,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Broken> {
        let stream = tls.connector(way).connect(tls.name(), stream).await;
        let stream = stream.map_err(|error| Broken::new("no TLS", &error))?;
        let counter = match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => &self.resumed,
            _ => &self.whole,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }
}
