//! Many streams, several servers, and transactions that end in another order than they began.

use std::time::{Duration, Instant};

use sqlx::Connection as _;

use super::{open_streams, position};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::event_stream::EventStream;
use crate::harness::server::Server;
use crate::harness::{Database, Depot, Person, eventually, is_long_run};

fn admin_of(server: &Server) -> Person {
    Person::new(&server.url(), Some(("admin", ADMIN_PASSWORD)))
}

#[tokio::test]
async fn what_another_replica_and_the_command_line_do_is_told_within_a_second() {
    let depot = Depot::on(Database::Postgres).start().await;
    let other = depot.replica("second").await;
    let mut stream = EventStream::open(&admin_of(&other), "", None).await;
    for number in 0..5 {
        depot.admin().create_image(&format!("image-{number}")).await;
        let committed = Instant::now();
        stream.expect("image.created").await;
        assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());
    }
    let to = depot.scratch().join("backup");
    let mut backup = crate::harness::command::imagedepot(["backup", "--to"]);
    backup.arg(&to).envs(depot.environment());
    backup.arg("--data").arg(depot.server.data());
    crate::harness::command::run(backup).await.successful();
    let committed = Instant::now();
    stream.expect("backup.done").await;
    assert!(committed.elapsed() < Duration::from_secs(1), "{:?}", committed.elapsed());
}

/// The transaction that got its place first commits last. Without the lock its event would come after a later one, when
/// readers had gone on past it.
#[tokio::test]
async fn a_transaction_that_commits_late_is_neither_lost_nor_told_before() {
    let depot = Depot::on(Database::Postgres).start().await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=image.*", None).await;
    admin.create_image("first").await;
    let first = stream.expect("image.created").await;
    let mut late = sqlx::PgConnection::connect(&depot.catalog().url()).await.expect("the database");
    let mut transaction = late.begin().await.expect("a transaction");
    let place: i64 = sqlx::query_scalar(
        "update event_head set position = position + 1 where id = 1 returning position",
    )
    .fetch_one(&mut *transaction)
    .await
    .expect("a place");
    sqlx::query(
        "insert into event (position, kind, at, actor, subject, image, data) \
         values ($1, 'image.created', now(), 'late', 'images/late', 'late', '{}')",
    )
    .bind(place)
    .execute(&mut *transaction)
    .await
    .expect("an event");
    let quick = tokio::spawn({
        let admin = admin.clone();
        async move { admin.create_image("quick").await }
    });
    stream.is_silent().await;
    transaction.commit().await.expect("commit");
    quick.await.expect("the other image");
    let (second, third) =
        (stream.next().await.expect("one"), stream.next().await.expect("another"));
    assert_eq!(second.data["image"], "late");
    assert_eq!(third.data["image"], "quick");
    let places = [first, second, third].map(|event| position(&event.id.into()));
    assert_eq!(places, [places[0], places[0] + 1, places[0] + 2]);
}

#[tokio::test]
async fn a_thousand_open_streams_cost_little() {
    const STREAMS: u32 = 1000;
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = depot.server.resident_memory();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(EventStream::open(&admin, "", None).await);
    }
    eventually("all are open", async || (open_streams(&admin).await == STREAMS).then_some(()))
        .await;
    let (busy, started) = (depot.server.processor_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let share = depot.server.processor_time().saturating_sub(busy).as_secs_f64()
        / started.elapsed().as_secs_f64();
    let grown = depot.server.resident_memory().saturating_sub(before) / 1024;
    println!("{grown} KiB for {STREAMS} streams, {share:.3} of a core");
    assert!(grown < 30 * 1024, "{grown} KiB");
    assert!(share < 0.05, "{share} of a core while nothing happens");
    let created = Instant::now();
    admin.create_image("win7-office").await;
    for stream in &mut streams {
        stream.expect("image.created").await;
    }
    println!("all told after {:?}", created.elapsed());
    assert!(created.elapsed() < Duration::from_secs(5), "{:?}", created.elapsed());
}

/// Three servers, one of which is killed every few seconds, and a reader that goes on at whichever there is.
#[tokio::test]
async fn a_reader_that_connects_here_and_there_gets_each_event_once_and_in_order() {
    let wanted: u32 = if is_long_run() { 10_000 } else { 300 };
    let mut depot = Depot::on(Database::Postgres).start().await;
    let mut others = [depot.replica("second").await, depot.replica("third").await];
    let urls: Vec<_> = [depot.server.url(), others[0].url(), others[1].url()].into_iter().collect();
    let people: Vec<_> =
        urls.iter().map(|url| Person::new(url, Some(("admin", ADMIN_PASSWORD)))).collect();
    let mut stream = EventStream::open(&people[0], "?types=image.changed", None).await;
    people[0].create_image("win7-office").await;
    let making = tokio::spawn(make_events(people.clone(), wanted));
    let reading = tokio::spawn(async move {
        let (mut seen, mut last, mut turn) = (Vec::new(), None::<String>, 0);
        while seen.len() < wanted as usize {
            if let Some(event) = stream.next_at_any_time().await {
                last = Some(event.id.clone());
                seen.push(event);
                // Now and then it goes elsewhere by itself.
                if seen.len() % 97 != 0 {
                    continue;
                }
            }
            stream = loop {
                turn += 1;
                let person = &people[turn * 7 % 3];
                let call = person.get("/api/v1/whoami");
                if matches!(call.try_send().await, Ok(answer) if answer.status == 200) {
                    break EventStream::open(person, "?types=image.changed", last.as_deref()).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
        }
        seen
    });
    let mut turn = 0;
    while !reading.is_finished() {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let server = match turn % 3 {
            0 => &mut depot.server,
            other => &mut others[other - 1],
        };
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.start_again().await;
        turn += 1;
    }
    making.await.expect("the events are made");
    let seen = reading.await.expect("the events are read");
    let descriptions: Vec<_> = seen
        .iter()
        .map(|event| event.data["data"]["after"]["description"].as_str().expect("a text"))
        .collect();
    let places: Vec<_> = seen.iter().map(|event| position(&event.id.clone().into())).collect();
    assert!(places.is_sorted_by(|one, other| one < other), "{places:?}");
    println!("{} events with {turn} kills", seen.len());
    let expected: Vec<_> = (0..wanted).map(|number| number.to_string()).collect();
    assert_eq!(descriptions, expected);
}

/// Changes an image as often, each time at another server; after a failure it looks whether the change was made.
async fn make_events(people: Vec<Person>, count: u32) {
    let path = "/api/v1/images/win7-office";
    let mut turn = 0;
    for number in 0..count {
        let text = number.to_string();
        loop {
            turn += 1;
            let person = &people[turn % 3];
            let change = serde_json::json!({"description": text});
            let made = person.patch(path).json(&change).try_send().await;
            if matches!(&made, Ok(answer) if answer.status == 200) {
                break;
            }
            let shown = people[(turn + 1) % 3].get(path).try_send().await;
            if matches!(&shown, Ok(answer) if answer.status == 200 && answer.json()["description"] == text)
            {
                break;
            }
        }
    }
}
