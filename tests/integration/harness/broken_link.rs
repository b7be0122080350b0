//! A line between a client and the server that breaks, stalls, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the line does to a connection once it has brought some bytes of large answers.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Hangs up on each connection after so many bytes.
    BreaksAfter(u64),
    /// Brings so many bytes in all, then nothing more, without hanging up.
    StallsAfter(u64),
    /// None: it only counts.
    Nothing,
}

/// Listens on a port of its own and passes everything on to the server.
pub struct BrokenLink {
    port: u16,
    brought: Arc<AtomicU64>,
}

impl BrokenLink {
    pub async fn to(server: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the line");
        let port = listener.local_addr().expect("the line's address").port();
        let brought = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&brought);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, fault, Arc::clone(&count)));
            }
        });
        Self { port, brought }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that have come from the server so far, headers and all.
    pub fn brought(&self) -> u64 {
        self.brought.load(Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, server: u16, fault: Fault, brought: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut buffer = vec![0; 16 * 1024];
    let mut on_this_connection = 0;
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        on_this_connection += count as u64;
        let in_all = brought.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        match fault {
            Fault::BreaksAfter(limit) if on_this_connection > limit => break,
            Fault::StallsAfter(limit) if in_all > limit => std::future::pending().await,
            _ => {}
        }
        if to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    questions.abort();
}
