//! Connections as something that callers use up: how many one address has, and how long one stays that takes nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::raw::{Connection, head};
use crate::harness::{Database, Depot, eventually, sample};

/// Two take part with the readiness of the server and the persons of the test.
const MOST: usize = 20;

async fn depot_with(most: &str, proxies: &str) -> Depot {
    Depot::on(Database::Sqlite)
        .setting("server", "connections_per_address", most)
        .setting("server", "trusted_proxies", proxies)
        .start()
        .await
}

/// So many connections of this machine that say nothing.
async fn silent(depot: &Depot, count: usize) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(depot.server.port()).await);
    }
    connections
}

/// Asks from another address of this machine.
async fn ask_from(address: &str, port: u16) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("bind");
    let server = format!("127.0.0.1:{port}").parse().expect("an address");
    let mut stream = socket.connect(server).await.expect("connect");
    let request = head("GET", "/livez", &[("Connection", "close")]);
    let _refused_or_taken = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _cut_or_whole = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_others_are_served_all_the_same() {
    let depot = depot_with(&MOST.to_string(), "").await;
    let port = depot.server.port();
    let mut held = silent(&depot, MOST).await;
    // Whoever asked whether the server is ready may still have had a place, and given it back since.
    let refused = loop {
        let answer = ask_from("127.0.0.1", port).await;
        if answer.starts_with("HTTP/1.1 503 ") {
            break answer;
        }
        held.push(Connection::open(port).await);
        assert!(held.len() < 3 * MOST, "nobody is refused: {answer}");
    };
    assert!(refused.contains("retry-after: 10\r\n"), "{refused}");
    assert!(refused.contains(r#""code":"too_many_connections""#), "{refused}");
    let other = ask_from("127.0.0.2", port).await;
    assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
    assert!(depot.server.log().contains("too many connections"), "an administrator reads of it");
    // What is closed makes room.
    held.truncate(MOST / 2);
    eventually("there is room again", || async {
        ask_from("127.0.0.1", port).await.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let counted =
        metrics.lines().find(|line| line.starts_with("imagedepot_connections_refused_total "));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{counted:?}");
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_needs() {
    let depot = depot_with(&MOST.to_string(), "127.0.0.1").await;
    let _held = silent(&depot, 3 * MOST).await;
    let answer = ask_from("127.0.0.1", depot.server.port()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Begins a download and reads none of it.
async fn begun_download(depot: &Depot) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", depot.server.port())).await.expect("connect");
    let request = head("GET", "/MEDVImages/large_1.vhdx", &[]);
    stream.write_all(request.as_bytes()).await.expect("ask");
    stream
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_and_who_reads_slowly_is_not() {
    let depot = Depot::on(Database::Sqlite).setting("server", "send_timeout", "15s").start().await;
    let bytes = sample::bytes(1, 20 << 20);
    depot.admin().publish_single("large", "vhdx", &bytes).await;
    let mut reads_nothing = begun_download(&depot).await;
    let mut reads_slowly = begun_download(&depot).await;
    let begun = Instant::now();
    let mut piece = vec![0; 8 << 10];
    // 16 KiB in a second: what the system buffers would last for minutes.
    while begun.elapsed() < Duration::from_secs(40) {
        let reading = timeout(Duration::from_secs(10), reads_slowly.read(&mut piece));
        let read = reading.await.expect("there is more").expect("the slow reader is not cut");
        assert!(read > 0, "the slow reader is not cut");
        sleep(Duration::from_millis(500)).await;
    }
    let reading_the_rest =
        async { while matches!(reads_nothing.read(&mut piece).await, Ok(read) if read > 0) {} };
    timeout(Duration::from_secs(5), reading_the_rest).await.expect("the other was cut long ago");
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    assert!(metrics.contains("imagedepot_connections_cut_total 1\n"), "{metrics}");
}
