//! A line between a client and the server that breaks, stalls, falls silent, and counts.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What the line does to a connection once it has brought some bytes of large messages.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Hangs up on each connection after so many bytes from the server.
    BreaksAfter(u64),
    /// Hangs up on a connection after so many bytes from the client, so many times; then it holds.
    BreaksUploads { after: u64, times: u64 },
    /// Brings nothing more on a connection after so many bytes from the client, so many times, without
    /// hanging up; then it holds.
    StallsUploads { after: u64, times: u64 },
    /// Brings so many bytes from the server in all, then nothing more, without hanging up.
    StallsAfter(u64),
    /// None: it only counts.
    Nothing,
}

/// What the line lets through at the moment, on all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    All,
    /// Nothing, and nobody is told: connections stay, and new ones are accepted.
    Nothing,
    /// All questions, and so many bytes of the next answer on each connection.
    BeginningOfAnswer(usize),
    /// All of it, each piece of an answer after a pause.
    Late(Duration),
    /// Connections are reset, new ones too.
    Resets,
    /// All on connections from this number on, and nothing on those before, for good.
    OnlyFrom(u64),
}

/// Listens on a port of its own and passes everything on to the server.
pub struct BrokenLink {
    port: u16,
    line: Line,
}

impl BrokenLink {
    pub async fn to(server: u16, fault: Fault) -> Self {
        let listener = listen().expect("a port for the line");
        let port = listener.local_addr().expect("the line's address").port();
        let line = Line::new(server, fault);
        let carrying = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut line = carrying.clone();
                line.number = carrying.opened.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move { line.carry(client).await });
            }
        });
        Self { port, line }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections lead from now on, as an address does that moves to another machine.
    pub fn leads_to(&self, server: u16) {
        self.line.server.store(server, Ordering::Relaxed);
    }

    /// From now on nothing passes, either way, and nobody is told: connections stay, and new ones are taken.
    pub fn falls_silent(&self) {
        self.line.passing.send_replace(Passing::Nothing);
    }

    /// The same, once an answer has begun: each connection brings the first bytes of its next answer and no more.
    pub fn falls_silent_within_answers(&self) {
        self.line.passing.send_replace(Passing::BeginningOfAnswer(5));
    }

    /// Each piece of an answer comes so much later.
    pub fn is_late_by(&self, pause: Duration) {
        self.line.passing.send_replace(Passing::Late(pause));
    }

    /// The connections that there are bring nothing more and stay; new ones work. A failover to another machine looks so
    /// where nobody is told of it.
    pub fn strands_connections(&self) {
        let first = self.line.opened.load(Ordering::Relaxed);
        self.line.passing.send_replace(Passing::OnlyFrom(first));
    }

    /// Resets all connections, and those that are opened from now on.
    pub fn resets(&self) {
        self.line.passing.send_replace(Passing::Resets);
    }

    /// All passes again, and what was held up as well.
    pub fn speaks_again(&self) {
        self.line.passing.send_replace(Passing::All);
    }

    /// Bytes that have come from the server so far, headers and all.
    pub fn brought(&self) -> u64 {
        self.line.brought.load(Ordering::Relaxed)
    }

    /// Bytes that the line has passed on to the server so far, headers and all.
    pub fn carried(&self) -> u64 {
        self.line.carried.load(Ordering::Relaxed)
    }

    /// How many uploads have been cut off or stalled so far.
    pub fn broken(&self) -> u64 {
        self.line.broken.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Line {
    server: Arc<AtomicU16>,
    fault: Fault,
    brought: Arc<AtomicU64>,
    carried: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
    passing: watch::Sender<Passing>,
    /// How many connections there were.
    opened: Arc<AtomicU64>,
    /// The number of the connection that this carries.
    number: u64,
}

/// A line holds little by itself: without this the system keeps megabytes for each of its four ends.
const BUFFER: u32 = 128 * 1024;

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(64)
}

impl Line {
    fn new(server: u16, fault: Fault) -> Self {
        let (brought, carried, broken) = Default::default();
        let server = Arc::new(AtomicU16::new(server));
        let passing = watch::Sender::new(Passing::All);
        let opened = Arc::new(AtomicU64::new(0));
        Self { server, fault, brought, carried, broken, passing, opened, number: 0 }
    }

    /// Returns when questions pass.
    async fn may_pass(&self) {
        let passes = |now: &Passing| match now {
            Passing::Nothing => false,
            Passing::OnlyFrom(first) => self.number >= *first,
            _ => true,
        };
        let _ = self.passing.subscribe().wait_for(passes).await;
    }

    /// Returns when connections are reset.
    async fn resets(&self) {
        let _ = self.passing.subscribe().wait_for(|now| *now == Passing::Resets).await;
    }

    /// Passes a piece of an answer on, as far as the line lets it through.
    async fn pass_answer_on(&self, mut piece: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        let now = *self.passing.subscribe().borrow();
        match now {
            Passing::BeginningOfAnswer(length) => {
                let (beginning, rest) = piece.split_at(length.min(piece.len()));
                to.write_all(beginning).await?;
                piece = rest;
                let is_whole = |now: &Passing| !matches!(now, Passing::BeginningOfAnswer(_));
                let _ = self.passing.subscribe().wait_for(is_whole).await;
            }
            Passing::Late(pause) => tokio::time::sleep(pause).await,
            Passing::All | Passing::Nothing | Passing::Resets | Passing::OnlyFrom(_) => {}
        }
        self.may_pass().await;
        to.write_all(piece).await
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(BUFFER)?;
        let server = self.server.load(Ordering::Relaxed);
        socket.connect(([127, 0, 0, 1], server).into()).await
    }

    /// Until one side ends it, or the line does.
    async fn carry(&self, client: TcpStream) {
        self.may_pass().await;
        let Ok(server) = self.connect().await else { return };
        let socket = client.as_fd().try_clone_to_owned().expect("another name of the socket");
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.carry_questions(from_client, to_server) => {}
            () = self.carry_answers(from_server, to_client) => {}
            // Closed without lingering, a connection is reset; otherwise its other side would see an ordinary end.
            () = self.resets() => set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket"),
        }
    }

    /// Returns only where the line breaks: a client that has said all still waits for its answer.
    async fn carry_questions(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        if let Fault::BreaksUploads { after, times } | Fault::StallsUploads { after, times } =
            self.fault
        {
            let passed_on = self.pass_on(&mut (&mut from).take(after), &mut to).await;
            if matches!(passed_on, Ok(count) if count == after) && self.breaks_again(times) {
                return self.hang_up_or_stall().await;
            }
        }
        let _ = self.pass_on(&mut from, &mut to).await;
        drop(to);
        std::future::pending::<()>().await;
    }

    /// Until the client has said all, or the server is gone; answers how many bytes that were.
    async fn pass_on(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut OwnedWriteHalf,
    ) -> io::Result<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let mut sum = 0;
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(sum);
            }
            self.may_pass().await;
            to.write_all(&buffer[..count]).await?;
            sum += count as u64;
            self.carried.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    async fn hang_up_or_stall(&self) {
        if matches!(self.fault, Fault::StallsUploads { .. }) {
            std::future::pending::<()>().await;
        }
    }

    fn breaks_again(&self, times: u64) -> bool {
        let one_more = |broken| (broken < times).then_some(broken + 1);
        self.broken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    async fn carry_answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        let mut on_this_connection = 0;
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            on_this_connection += count as u64;
            let in_all = self.brought.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
            match self.fault {
                Fault::BreaksAfter(limit) if on_this_connection > limit => return,
                Fault::StallsAfter(limit) if in_all > limit => std::future::pending().await,
                _ => {}
            }
            if self.pass_answer_on(&buffer[..count], &mut to).await.is_err() {
                return;
            }
        }
    }
}
