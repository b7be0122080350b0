//! A store that fails in one of the ways in which stores do, between the server and the real one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: they reach the store.
    Nothing,
    /// They are closed at once.
    Refused,
    /// Each request is answered with 503.
    Busy,
    /// Nothing is ever answered.
    Silent,
    /// The answer breaks off after 100,000 bytes.
    Truncated,
}

const CUT: u64 = 100_000;

/// Listens on a port of its own, and passes on to the store what the fault lets through.
pub struct FaultyStore {
    port: u16,
    fault: watch::Sender<Fault>,
}

impl FaultyStore {
    /// `store` is `host:port`.
    pub async fn before(store: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (fault, current) = watch::channel(Fault::Nothing);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut current = current.clone();
                let fault = *current.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = carry(client, store, fault) => {}
                        // Connections that were kept meet the new fault as well.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Self { port, fault }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn fails(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn carry(mut client: TcpStream, store: &str, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Nothing => {
            let mut store = TcpStream::connect(store).await?;
            copy_bidirectional(&mut client, &mut store).await.map(drop)
        }
        Fault::Refused => Ok(()),
        Fault::Busy => {
            let mut request = [0; 16 * 1024];
            let _read = client.read(&mut request).await?;
            let answer = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(answer.as_bytes()).await
        }
        Fault::Silent => {
            let mut nothing = [0; 4096];
            while client.read(&mut nothing).await? > 0 {}
            Ok(())
        }
        Fault::Truncated => {
            let mut store = TcpStream::connect(store).await?;
            let (mut from_client, mut to_client) = client.split();
            let (from_store, mut to_store) = store.split();
            let mut cut = from_store.take(CUT);
            tokio::select! {
                done = tokio::io::copy(&mut from_client, &mut to_store) => done.map(drop),
                done = tokio::io::copy(&mut cut, &mut to_client) => done.map(drop),
            }
        }
    }
}
