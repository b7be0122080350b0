//! A store that fails in one of the ways in which stores do, between the server and the real one.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::exchange::Message;

/// The fault that connections meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: they reach the store.
    Nothing,
    /// They are closed at once.
    Refused,
    /// Each request is answered with 503.
    Busy,
    /// Nothing is ever answered.
    Silent,
    /// The answer breaks off after 100,000 bytes.
    Truncated,
    /// Each request waits for a second.
    Slow,
    /// Objects are answered a byte shorter than they are, and their length says so.
    Shortened,
    /// Objects are answered with one bit changed.
    Flipped,
    /// The first request of each kind is carried out and not answered.
    AnswerLost,
    /// A listing is answered as it was when it was asked for first.
    StaleListing,
    /// Listings have other tags than the objects' own headers.
    OtherTagsInListings,
    /// The service's clock is a day behind.
    Yesterday,
}

const CUT: u64 = 100_000;
const PAUSE: Duration = Duration::from_secs(1);

/// A relay on a port of its own, which passes on to the store what the fault lets through.
pub struct FaultyStore {
    port: u16,
    /// Connections that met a fault.
    met: Arc<AtomicU64>,
    fault: watch::Sender<Fault>,
}

/// The requests that a fault has met so far.
#[derive(Default)]
struct Memory {
    unanswered: HashSet<String>,
    listings: HashMap<String, Message>,
}

impl FaultyStore {
    /// `store` is `host:port`.
    pub async fn before(store: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (fault, current) = watch::channel(Fault::Nothing);
        let memory = Arc::new(Mutex::new(Memory::default()));
        let met = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&met);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut current = current.clone();
                let memory = Arc::clone(&memory);
                let fault = *current.borrow_and_update();
                if fault != Fault::Nothing {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                tokio::spawn(async move {
                    tokio::select! {
                        _ = carry(client, store, fault, &memory) => {}
                        // Connections that were kept meet the new fault as well.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Self { port, met, fault }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections have met a fault so far.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    pub fn fails(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn carry(
    mut client: TcpStream,
    store: &str,
    fault: Fault,
    memory: &Mutex<Memory>,
) -> io::Result<()> {
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
        Fault::Slow
        | Fault::Shortened
        | Fault::Flipped
        | Fault::AnswerLost
        | Fault::StaleListing
        | Fault::OtherTagsInListings
        | Fault::Yesterday => exchange(client, store, fault, memory).await,
    }
}

/// Carries one request and its answer, and changes what the fault changes.
async fn exchange(
    mut client: TcpStream,
    store: &str,
    fault: Fault,
    memory: &Mutex<Memory>,
) -> io::Result<()> {
    let request = Message::read_request(&mut client).await?;
    let (question, lists) = (request.question().to_owned(), request.lists());
    let reads_an_object = request.reads_an_object();
    if fault == Fault::Slow {
        tokio::time::sleep(PAUSE).await;
    }
    let mut answer = request.answer_of(store).await?;
    match fault {
        Fault::Shortened if reads_an_object => answer.shorten(),
        Fault::Flipped if reads_an_object => answer.flip_a_bit(),
        Fault::AnswerLost
            if memory.lock().expect("a memory").unanswered.insert(question.clone()) =>
        {
            return Ok(());
        }
        Fault::StaleListing if lists => {
            answer =
                memory.lock().expect("a memory").listings.entry(question).or_insert(answer).clone();
        }
        Fault::OtherTagsInListings if lists => answer.turn_tags_round(),
        Fault::Yesterday => {
            let yesterday = SystemTime::now() - Duration::from_hours(24);
            answer.replace_header("date", &httpdate::fmt_http_date(yesterday));
        }
        _ => {}
    }
    answer.send(&mut client).await
}
