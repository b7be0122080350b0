//! Clients that keep a connection and send little: cut off, while everyone else is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::authority::Authority;
use crate::harness::raw::{self, Connection};
use crate::harness::sample;
use crate::harness::server::free_port;
use crate::harness::tls_client::FreshConnections;
use crate::harness::{Database, Depot};

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Writes `first`, reads its answer if there is to be one, then sends the rest byte by byte, one in half a second;
/// how long it took until the server hung up.
async fn trickle(port: u16, first: &str, answered: bool, rest: &str) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.write_all(first.as_bytes()).await.expect("it is sent");
    let mut buffer = [0; 4096];
    if answered {
        let read = stream.read(&mut buffer).await.expect("an answer");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "answered");
    }
    let started = Instant::now();
    for byte in rest.bytes() {
        let _ = stream.write_all(&[byte]).await;
        // An answer that refuses may come before the end.
        let read = timeout(Duration::from_millis(500), stream.read(&mut buffer)).await;
        if let Ok(Ok(0) | Err(_)) = read {
            return started.elapsed();
        }
    }
    panic!("still there after {:?}", started.elapsed());
}

#[tokio::test]
async fn slow_senders_are_cut_off_while_others_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let https = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{https}\"\n{}",
        authority.server("server").as_settings()
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let port = depot.server.port();
    let drops = "X-Slow: ".to_owned() + &"x".repeat(300);
    let body = "POST /api/v1/update-check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 900\r\n\r\n";
    let first_head = trickle(port, "GET /livez HTTP/1.1\r\n", false, &drops);
    let later = format!("GET /livez HTTP/1.1\r\n{drops}");
    let later_head = trickle(port, LIVEZ, true, &later);
    let slow_body = trickle(port, body, false, &drops);
    // A client hello that never comes to its end.
    let handshake = trickle(https, "\x16\x03\x01\x02\x00\x01\x00\x01", false, &drops);
    // 300 more connections that say nothing at all.
    let silent: Vec<_> = {
        let mut open = Vec::new();
        for _ in 0..150 {
            for port in [port, https] {
                open.push(TcpStream::connect(("127.0.0.1", port)).await.expect("a connection"));
            }
        }
        open
    };
    let others = async {
        let clients = FreshConnections::new(https, &authority);
        let started = Instant::now();
        let mut slowest = Duration::ZERO;
        while started.elapsed() < Duration::from_secs(25) {
            let asked = Instant::now();
            depot.anonymous().get("/livez").await.expecting(200);
            clients.ask().await.expect("served by TLS");
            slowest = slowest.max(asked.elapsed());
            sleep(Duration::from_millis(50)).await;
        }
        assert!(slowest < Duration::from_secs(3), "someone waited {slowest:?}");
    };
    let (first_head, later_head, slow_body, handshake, ()) =
        tokio::join!(first_head, later_head, slow_body, handshake, others);
    for (what, took, at_least, at_most) in [
        ("the first head", first_head, 8, 15),
        ("a later head", later_head, 8, 25),
        ("a body", slow_body, 25, 45),
        ("a handshake", handshake, 8, 15),
    ] {
        assert!(took < Duration::from_secs(at_most), "{what} was let go on for {took:?}");
        assert!(took > Duration::from_secs(at_least), "{what} was not given its time: {took:?}");
    }
    // Those who said nothing are gone, too.
    for mut stream in silent {
        let read = timeout(Duration::from_secs(1), stream.read(&mut [0; 512])).await;
        assert!(read.is_ok(), "a silent connection is kept");
    }
}

#[tokio::test]
async fn one_address_cannot_take_all_handshakes() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let https = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{https}\"\n{}",
        authority.server("server").as_settings()
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    // More than any number of workers lets one address have at once.
    let workers = std::thread::available_parallelism().expect("a number").get();
    let mut silent = Vec::new();
    for _ in 0..256 * workers + 100 {
        silent.push(TcpStream::connect(("127.0.0.1", https)).await.expect("a connection"));
    }
    // Another address is served meanwhile, and so is plain HTTP.
    let other = tokio::net::TcpSocket::new_v4().expect("a socket");
    other.bind("127.0.0.2:0".parse().expect("an address")).expect("another address");
    let to = format!("127.0.0.1:{https}").parse().expect("an address");
    let stream = other.connect(to).await.expect("a connection");
    let clients = FreshConnections::new(https, &authority);
    clients.ask_on(stream).await.expect("another address is served");
    depot.anonymous().get("/livez").await.expecting(200);
    let metrics = depot.admin().get("/metrics").await.expecting(200);
    let text = String::from_utf8(metrics.body.to_vec()).expect("text");
    let none = "imagedepot_tls_handshakes_refused_total{reason=\"too_many\"} 0\n";
    assert!(!text.contains(none), "{text}");
}

#[tokio::test]
async fn heads_have_a_bound() {
    let depot = Depot::start(Database::Sqlite).await;
    let port = depot.server.port();
    // 64 KiB are fine: that is what 500 ranges and a large ticket need.
    let large = "x".repeat(64 * 1024);
    raw::request(port, "GET", "/livez", &[("X-Large", &large)], b"").await.expecting(200);
    let huge = "x".repeat(200 * 1024);
    let refused = raw::request(port, "GET", "/livez", &[("X-Large", &huge)], b"").await;
    assert_eq!(refused.problem(431), "head_too_large");
}

#[tokio::test]
async fn a_body_where_there_should_be_none_is_not_taken_in() {
    let depot = Depot::start(Database::Sqlite).await;
    let before = depot.server.peak_memory();
    let piece = sample::bytes(1, 1 << 20);
    for method in ["GET", "HEAD", "DELETE"] {
        let path = if method == "DELETE" { "/api/v1/images/none" } else { "/livez" };
        let mut connection = Connection::open(depot.server.port()).await;
        let length = (1_u64 << 40).to_string();
        connection.write(raw::head(method, path, &[("Content-Length", &length)]).as_bytes()).await;
        // Answered at once: nobody waits for a body that nobody reads.
        let started = Instant::now();
        let answer = connection.read_answer(&format!("{method} {path}")).await.expect("an answer");
        assert!(answer.status < 500, "{}", answer.status);
        assert!(started.elapsed() < Duration::from_secs(2), "{method} waited for its body");
        // What is sent all the same goes nowhere, and the connection ends.
        let sending = async {
            loop {
                connection.write(&piece).await;
                if connection.is_over().await {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), sending).await.expect("the connection ends");
    }
    let grown = depot.server.peak_memory() - before;
    assert!(grown < 50 << 20, "{grown} bytes more");
}
