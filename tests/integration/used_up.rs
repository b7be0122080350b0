//! The limits on what one caller can use up of what others need: memory by bodies, answers and downloads that stall,
//! the catalog by keys, the disk by reservations.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;

use crate::harness::actions::{file_path, revision_path};
use crate::harness::raw::{Connection, basic, head};
use crate::harness::{Database, Depot, Person, eventually, is_long_run, sample};

const MEBIBYTE: u64 = 1 << 20;

/// The most memory that the server may have while callers hold on to all that they can.
const MOST: u64 = 300 * MEBIBYTE;

/// The time that an optimised build promises. A build without optimisation takes longer, and other tests run beside it.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 50 });

/// A check is answered all the same, and soon.
async fn everybody_else_is_served(depot: &Depot) {
    // What a build without optimisation has to read first takes it some seconds.
    eventually("what was asked for is read ahead", || async {
        let asked = Instant::now();
        depot.anonymous().get("/livez").await.expecting(200);
        (asked.elapsed() < Duration::from_millis(100)).then_some(())
    })
    .await;
    for _ in 0..5 {
        let asked = Instant::now();
        let anyone = depot.anonymous();
        anyone.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
}

fn must_be_small(depot: &Depot, when: &str) {
    let memory = depot.server.resident_memory();
    println!("{} MiB with {when}", memory / MEBIBYTE);
    assert!(memory < MOST, "{} MiB with {when}", memory / MEBIBYTE);
}

/// Of a build without optimisation 90 MiB are the code and what a start needs.
async fn given_back(depot: &Depot) {
    eventually("memory goes back to the system", || async {
        (depot.server.resident_memory() < 200 * MEBIBYTE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn half_sent_bodies_of_nobody_in_particular_do_not_fill_the_memory() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let mut connections = Vec::new();
    for _ in 0..400 {
        let mut connection = Connection::open(depot.server.port()).await;
        let headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
        connection.write(head("POST", "/api/v1/update-check", &headers).as_bytes()).await;
        connection.write(b"61a80\r\n").await;
        connection.write(&vec![b' '; 399_000]).await;
        connections.push(connection);
    }
    must_be_small(&depot, "400 halves of bodies");
    everybody_else_is_served(&depot).await;
    drop(connections);
    given_back(&depot).await;
    // What says beforehand that it is too long is not begun.
    let user = json!({"name": "x".repeat(40_000)});
    depot.admin().post("/api/v1/users").json(&user).await.problem(413);
}

#[tokio::test]
async fn downloads_that_nobody_reads_do_not_fill_the_memory() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let bytes = sample::bytes(1, 20 << 20);
    admin.publish_single("large", "vhdx", &bytes).await;
    let mut connections = Vec::new();
    for _ in 0..800 {
        let mut connection = Connection::open(depot.server.port()).await;
        connection.write(head("GET", "/MEDVImages/large_1.vhdx", &[]).as_bytes()).await;
        connections.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    must_be_small(&depot, "800 downloads");
    everybody_else_is_served(&depot).await;
    let whole = depot.anonymous().get_tree("large_1.vhdx").await.expecting(200);
    assert!(whole.body == bytes, "a download beside them is whole");
    drop(connections);
    given_back(&depot).await;
}

#[tokio::test]
async fn a_page_of_long_notes_ends_early_and_all_pages_have_everything() {
    const DRAFTS: usize = 120;
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for _ in 0..DRAFTS {
        let draft = json!({"notes": "n".repeat(90_000)});
        admin.post("/api/v1/images/win7-office/revisions").json(&draft).await.expecting(201);
    }
    let list = "/api/v1/images/win7-office/revisions?limit=500";
    let login = basic(&admin.name_and_password());
    let mut unread = Vec::new();
    for _ in 0..15 {
        let mut connection = Connection::open(depot.server.port()).await;
        connection.write(head("GET", list, &[("Authorization", &login)]).as_bytes()).await;
        unread.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    must_be_small(&depot, "15 pages");
    let (mut numbers, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{list}{cursor}")).await.expecting(200);
        assert!(page.body.len() < 4 << 20, "{} bytes", page.body.len());
        let page = page.json();
        let items = page["items"].as_array().expect("items");
        numbers.extend(items.iter().filter_map(|item| item["number"].as_u64()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let newest_first: Vec<u64> = (1..=DRAFTS as u64).rev().collect();
    assert_eq!(numbers, newest_first);
}

#[tokio::test]
async fn keys_of_one_caller_fill_neither_catalog_nor_disk() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let client = depot.user_with_role("client").await;
    let publisher = depot.user_with_role("publisher").await;
    let size = || {
        let file = |name: &str| std::fs::metadata(depot.server.data().join(name));
        ["catalog.sqlite", "catalog.sqlite-wal"]
            .map(|name| file(name).map_or(0, |about| about.len()))
            .iter()
            .sum::<u64>()
    };
    let before = size();
    let ask = async |person: &Person, path: &str, body: serde_json::Value, number: usize| {
        let call = person.post(path).header("Idempotency-Key", &format!("key-{number}"));
        call.json(&body).await.status
    };
    // Checks change nothing: there is no key to keep.
    let questions = json!(vec![json!({"image": "win7-office", "channel": "production"}); 100]);
    for number in 0..100 {
        assert_eq!(ask(&client, "/api/v1/update-check", questions.clone(), number).await, 200);
    }
    // Nor do requests that are refused because there is no such thing, or only tried.
    let count = if is_long_run() { 10_000 } else { 3000 };
    let calls = (0..count).map(|number| {
        let path = "/api/v1/images/no-such/revisions";
        ask(&publisher, path, json!({"notes": "n".repeat(1000)}), number)
    });
    let statuses: Vec<u16> = futures_util::stream::iter(calls).buffer_unordered(8).collect().await;
    assert!(statuses.iter().all(|status| *status == 404), "{statuses:?}");
    let grown = size().saturating_sub(before);
    assert!(grown < 5 * MEBIBYTE, "{grown} bytes");
    // A key goes on to be one where something is changed, with its condition.
    publisher.create_image("once").await;
    let path = "/api/v1/images/once/revisions";
    let first = ask(&publisher, path, json!({"notes": "a"}), 1).await;
    assert_eq!((first, ask(&publisher, path, json!({"notes": "a"}), 1).await), (201, 201));
    let list = depot.admin().get(path).await.expecting(200).items();
    assert_eq!(list.len(), 1, "a repeat made a second draft");
}

#[tokio::test]
async fn one_publisher_does_not_reserve_the_whole_disk() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let publisher = depot.user_with_role("publisher").await;
    publisher.create_image("win7-office").await;
    let draft = publisher.draft("win7-office").await;
    let other = publisher.draft("win7-office").await;
    let disk = rustix::fs::statvfs(depot.server.data()).expect("the disk");
    let free = disk.f_bavail * disk.f_frsize;
    let begin = |person: &Person, revision: u64, size: u64| {
        let new =
            json!({"image": "win7-office", "revision": revision, "role": "ckm", "size": size});
        person.post("/api/v1/uploads").json(&new)
    };
    assert_eq!(begin(&publisher, draft, free / 10 * 9).await.problem(507), "caller_share_exceeded");
    let half = begin(&publisher, draft, free / 2).await.expecting(201);
    let more = begin(&publisher, other, free / 10 * 4).await;
    assert_eq!(more.problem(507), "caller_share_exceeded");
    // A user who is shut out keeps nothing from others.
    admin.patch("/api/v1/users/publisher").json(&json!({"disabled": true})).await.expecting(200);
    admin.get(half.required_header("location")).await.problem(404);
    let draft = admin.draft("win7-office").await;
    begin(&admin, draft, free / 10 * 9).await.expecting(201);
    admin.get(&revision_path("win7-office", draft)).await.expecting(200);
    admin.get(&file_path("win7-office", draft, "ckm")).await.problem(404);
}
