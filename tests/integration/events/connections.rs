//! The connections of streams: their beginning and end, and what a slow reader costs.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::open_streams;
use crate::harness::event_stream::EventStream;
use crate::harness::{Database, Depot, eventually, raw};

#[tokio::test]
async fn a_reader_that_has_gone_is_noticed_within_a_second() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let stream = EventStream::open(&admin, "", None).await;
    assert_eq!(open_streams(&admin).await, 1);
    drop(stream);
    let gone = Instant::now();
    eventually("the stream has ended", async || (open_streams(&admin).await == 0).then_some(()))
        .await;
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
}

#[tokio::test]
async fn a_stop_ends_streams_and_does_not_wait_for_them() {
    let mut depot = Depot::start(Database::Sqlite).await;
    let mut stream = EventStream::open(&depot.admin(), "", None).await;
    let started = Instant::now();
    assert!(depot.server.stop().await.success());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_the_rights_of_its_reader() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let token = json!({"name": "wall", "roles": ["reader"]});
    let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let holder = depot.bearer(made["token"].as_str().expect("a token"));
    let reader = depot.user_with_role("reader").await;
    let mut of_token = EventStream::open(&holder, "", None).await;
    let mut of_user = EventStream::open(&reader, "", None).await;
    let id = made["id"].as_str().expect("an id");
    let asked = Instant::now();
    admin.delete(&format!("/api/v1/tokens/{id}")).await.expecting(204);
    assert!(of_token.next().await.is_none());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    admin.create_image("win7-office").await;
    of_user.expect("image.created").await;
    admin.patch("/api/v1/users/reader").json(&json!({"disabled": true})).await.expecting(200);
    assert!(of_user.next().await.is_none());
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_by_comments() {
    let depot = Depot::start(Database::Sqlite).await;
    let mut stream = EventStream::open(&depot.admin(), "", None).await;
    let waited = tokio::time::timeout(Duration::from_secs(16), stream.next_at_any_time()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(stream.comments, 2, "one at the beginning, one after 15 seconds");
}

/// Events that fill what the system buffers for a connection come from a description that is changed again and again.
#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_and_goes_on_later() {
    let setup = Depot::on(Database::Sqlite).setting("server", "send_timeout", "2s");
    let depot = setup.start().await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=image.*", None).await;
    admin.create_image("win7-office").await;
    let last = stream.expect("image.created").await.id;
    drop(stream);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = ([127, 0, 0, 1], depot.server.port()).into();
    let mut idle = socket.connect(address).await.expect("a connection");
    let login = raw::basic(&admin.name_and_password());
    let head = raw::head("GET", "/api/v1/events", &[("Authorization", &login)]);
    idle.write_all(head.as_bytes()).await.expect("send the request");
    eventually("it is open", async || (open_streams(&admin).await == 1).then_some(())).await;
    let text = "x".repeat(250);
    let mut sent = 0;
    let cut = Instant::now();
    while open_streams(&admin).await == 1 {
        for _ in 0..200 {
            sent += 1;
            let labels = json!({"labels": {"a": format!("{sent}{text}"), "b": text, "c": format!("{text}{sent}")}});
            admin.patch("/api/v1/images/win7-office").json(&labels).await.expecting(200);
        }
        assert!(cut.elapsed() < Duration::from_secs(90), "after {sent} events it is still open");
    }
    println!("cut after {sent} events and {:?}", cut.elapsed());
    let mut again = EventStream::open(&admin, "?types=image.*", Some(&last)).await;
    for _ in 0..sent {
        again.expect("image.changed").await;
    }
}
