//! A receiver of webhooks: a small HTTP server that keeps what it was sent and answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::authority::Certificate;
use super::eventually;

/// How the receiver answers.
#[derive(Clone, Debug)]
pub enum Manner {
    Status(u16),
    /// With a redirect to this address.
    Redirect(String),
    /// With a status, and then a body without end, as fast as it is taken.
    Endless,
    /// Not at all.
    Silent,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Received {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub struct Receiver {
    scheme: &'static str,
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// A receiver that speaks TLS with this certificate.
    pub async fn start_with_tls(certificate: &Certificate) -> Self {
        let chain = vec![CertificateDer::from_pem_file(&certificate.file).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Self::with(Some(Arc::new(config.expect("a key that fits")).into())).await
    }

    async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let receiver = Self {
            scheme: if tls.is_some() { "https" } else { "http" },
            address: listener.local_addr().expect("an address"),
            manner: Arc::new(Mutex::new(Manner::Status(204))),
            requests: Arc::default(),
        };
        let (manner, requests) = (Arc::clone(&receiver.manner), Arc::clone(&receiver.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (manner, requests) = (Arc::clone(&manner), Arc::clone(&requests));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &manner, &requests).await,
                        Some(tls) => {
                            let stream = tls.accept(stream).await.ok()?;
                            serve(stream, &manner, &requests).await
                        }
                    }
                });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    pub fn answers(&self, manner: Manner) {
        *self.manner.lock().expect("the manner") = manner;
    }

    pub fn received(&self) -> Vec<Received> {
        self.requests.lock().expect("what came").clone()
    }

    /// What came, as soon as there is so much of it.
    pub async fn gets(&self, count: usize) -> Vec<Received> {
        eventually("the deliveries arrive", async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: &Mutex<Manner>,
    requests: &Mutex<Vec<Received>>,
) -> Option<()> {
    let request = read(&mut stream).await?;
    requests.lock().expect("what came").push(request);
    let manner = manner.lock().expect("the manner").clone();
    let answer = match manner {
        Manner::Status(status) => {
            format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Manner::Redirect(ref to) => {
            format!(
                "HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        }
        Manner::Endless => "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_owned(),
        Manner::Silent => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            return None;
        }
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    if matches!(manner, Manner::Endless) {
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    }
    Some(())
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            let headers: HashMap<_, _> =
                lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            let length: usize = headers.get("content-length")?.parse().ok()?;
            if body.len() >= length {
                return Some(Received { at: Instant::now(), headers, body: body.to_owned() });
            }
        }
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
}
