//! The record of clients: what each asked last, kept without a wait for the database, within limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::{Database, Depot, Person, eventually, is_long_run, on_both_databases};

on_both_databases![
    a_client_that_asked_is_on_record_with_what_it_has_and_was_told,
    the_record_is_filtered_by_what_each_row_says,
    a_long_record_is_read_in_pages,
    a_caller_sees_only_the_clients_of_its_images,
    clients_are_deleted_one_by_one_and_by_pattern,
    beyond_the_limit_the_clients_that_were_seen_longest_ago_go,
    one_address_brings_so_many_new_clients_a_minute,
    a_graceful_stop_records_the_last_checks,
];

/// The names of the clients in a list, in its order.
async fn names(person: &Person, query: &str) -> Vec<String> {
    let answer = person.get(&format!("/api/v1/clients{query}")).await.expecting(200);
    let name = |item: &Value| item["client"].as_str().expect("a client").to_owned();
    answer.items().iter().map(name).collect()
}

/// Waits until so many rows are on record.
async fn are_on_record(person: &Person, count: usize) {
    eventually(&format!("{count} rows are on record"), || async {
        (names(person, "?limit=500").await.len() == count).then_some(())
    })
    .await;
}

async fn ask(person: &Person, image: &str, revision: u64, client: &str) {
    person.check_for_update(image, "production", revision, client).await.expecting(200);
}

async fn a_client_that_asked_is_on_record_with_what_it_has_and_was_told(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let began = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
        - chrono::TimeDelta::seconds(1);
    admin.published_image("win7-office", "production").await;
    admin.published_image("linux", "production").await;
    let path = "/api/v1/update-check?image=win7-office&client=PC-0815&revision=0";
    anyone.get(path).header("User-Agent", "agent/7").await.expecting(200);
    anyone.get("/api/v1/update-check?image=win7-office").await.expecting(200);
    let several = json!([
        {"image": "WIN7-office", "client": "pc-0815", "revision": 1},
        {"image": "linux", "client": "pc-0815", "revision": 4},
        {"image": "no-such", "client": "pc-0815"},
    ]);
    let call = anyone.post("/api/v1/update-check").header("User-Agent", "agent/8").json(&several);
    call.await.expecting(200);
    are_on_record(&admin, 2).await;

    admin.get("/api/v1/clients/pc-0816").await.problem(404);
    let shown = admin.get("/api/v1/clients/Pc-0815").await.expecting(200);
    let client = shown.json();
    let items = client["items"].as_array().expect("items");
    let of = |image: &str| items.iter().find(|item| item["image"] == image).expect("the image");
    let (office, linux) = (of("win7-office"), of("linux"));
    let told = |item: &Value| json!([item["revision"], item["action"], item["reason"]]);
    assert_eq!(told(office), json!([1, "none", "up_to_date"]), "the newest check counts");
    assert_eq!(told(linux), json!([4, "rollback", "rolled_back"]));
    let history = admin.get("/api/v1/images/linux/promotions").await.expecting(200).items();
    assert_eq!((&linux["promotion"], &office["promotion"]), (&history[0]["id"], &Value::Null));
    assert_eq!(linux["channel"], "production");
    assert_eq!((&linux["address"], &linux["agent"]), (&json!("127.0.0.1"), &json!("agent/8")));
    assert_eq!((&linux["group"], &linux["status"]), (&Value::Null, &Value::Null));
    let seen: chrono::DateTime<chrono::Utc> =
        serde_json::from_value(client["last_seen"].clone()).expect("a time");
    assert!(
        began <= seen
            && seen <= chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()),
        "{seen}"
    );

    let tag = shown.required_header("etag").to_owned();
    let again = admin.get("/api/v1/clients/pc-0815").header("If-None-Match", &tag);
    again.await.expecting(304);
    // The same client comes again and is one row still.
    ask(&admin, "linux", 1, "PC-0815").await;
    eventually("the later check is on record", || async {
        let rows = admin.get("/api/v1/clients?image=linux").await.expecting(200).items();
        (rows[0]["revision"] == 1).then(|| assert_eq!(rows.len(), 1))
    })
    .await;
    let status = admin.get("/api/v1/status").await.expecting(200).json();
    assert_eq!(status["clients"]["on_record"], 1);
    let text = admin.get("/metrics").await.expecting(200).text();
    assert!(text.contains("imagedepot_fleet_checks_dropped_total{reason=\"new_clients\"} 0"));
    assert!(!text.contains("imagedepot_fleet_checks_recorded_total 0\n"), "{text}");
}

async fn the_record_is_filtered_by_what_each_row_says(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    admin.published_image("linux", "test").await;
    for (client, revision) in [("lab-1", 0), ("lab_2", 1), ("Desk-1", 0)] {
        ask(&anyone, "win7-office", revision, client).await;
    }
    anyone.check_for_update("linux", "test", 3, "lab-1").await.expecting(200);
    are_on_record(&admin, 4).await;
    for (query, expected) in [
        ("", vec!["Desk-1", "lab-1", "lab-1", "lab_2"]),
        ("?image=Win7-Office", vec!["Desk-1", "lab-1", "lab_2"]),
        ("?channel=test", vec!["lab-1"]),
        ("?image=win7-office&channel=production&revision=0", vec!["Desk-1", "lab-1"]),
        ("?image=linux&channel=production", vec![]),
        ("?revision=1", vec!["lab_2"]),
        ("?q=lab*", vec!["lab-1", "lab-1", "lab_2"]),
        ("?q=lab_*", vec!["lab_2"]),
        ("?q=*-1&image=win7-office", vec!["Desk-1", "lab-1"]),
        ("?q=l*-*", vec!["lab-1", "lab-1"]),
        ("?q=desk-1", vec!["Desk-1"]),
        ("?q=desk", vec![]),
        ("?status=failed", vec![]),
        ("?group=lab-b", vec![]),
        ("?seen_before=2020-01-01T00:00:00Z", vec![]),
        ("?seen_before=2120-01-01T00:00:00Z&q=desk*", vec!["Desk-1"]),
        ("?seen_after=2020-01-01T00:00:00Z&channel=test", vec!["lab-1"]),
        ("?seen_after=2120-01-01T00:00:00%2B01:00", vec![]),
    ] {
        assert_eq!(names(&admin, query).await, expected, "{query}");
    }
    let refused = |query: &str| admin.get(&format!("/api/v1/clients{query}"));
    assert_eq!(refused("?image=no-such").await.problem(404), "image_not_found");
    assert_eq!(refused("?channel=no-such").await.problem(404), "channel_not_found");
    assert_eq!(refused("?stauts=failed").await.problem(400), "unknown_parameter");
    for query in ["?status=fine", "?seen_before=yesterday", "?q=%00*", "?q=", "?revision=x"] {
        assert_eq!(refused(query).await.problem(400), "bad_query", "{query}");
    }
}

async fn a_long_record_is_read_in_pages(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    admin.published_image("linux", "production").await;
    let mut expected = Vec::new();
    for number in 10..40 {
        // In the order of bytes, whatever the database's language says of hyphens.
        let client = if number % 2 == 0 { format!("a-{number}") } else { format!("A.{number}") };
        for image in ["win7-office", "linux"] {
            ask(&anyone, image, 0, &client).await;
            expected.push(client.clone());
        }
    }
    expected.sort_by_key(|client| client.to_lowercase());
    are_on_record(&admin, 60).await;
    let (mut read, mut path) = (Vec::new(), "/api/v1/clients?limit=7&q=a*".to_owned());
    loop {
        let page = admin.get(&path).await.expecting(200);
        assert!(page.items().len() <= 7);
        read.extend(
            page.items().iter().map(|item| item["client"].as_str().expect("it").to_owned()),
        );
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        path = format!("/api/v1/clients?limit=7&q=a*&cursor={cursor}");
    }
    assert_eq!(read, expected);
    admin.get("/api/v1/clients?cursor=abc").await.problem(400);
}

async fn a_caller_sees_only_the_clients_of_its_images(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for image in ["win7-office", "win7_base", "linux"] {
        admin.published_image(image, "production").await;
    }
    ask(&admin, "win7-office", 0, "pc-1").await;
    ask(&admin, "win7_base", 0, "pc-1").await;
    ask(&admin, "linux", 0, "pc-1").await;
    ask(&admin, "linux", 0, "pc-2").await;
    are_on_record(&admin, 4).await;
    let token = json!({"name": "office", "roles": ["reader"], "images": ["WIN7_*"]});
    let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let reader = depot.bearer(made["token"].as_str().expect("a token"));
    let seen = reader.get("/api/v1/clients").await.expecting(200).items();
    assert_eq!(seen.iter().map(|item| &item["image"]).collect::<Vec<_>>(), ["win7_base"]);
    let one = reader.get("/api/v1/clients/pc-1").await.expecting(200).json();
    assert_eq!(one["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(reader.get("/api/v1/clients/pc-2").await.problem(404), "client_not_found");
    assert_eq!(reader.get("/api/v1/clients?image=linux").await.problem(404), "image_not_found");
    assert_eq!(reader.delete("/api/v1/clients/pc-1").await.problem(403), "forbidden");
}

async fn clients_are_deleted_one_by_one_and_by_pattern(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("linux", "production").await;
    for number in 0..30 {
        ask(&admin, "win7-office", 0, &format!("simulated-{number}")).await;
    }
    for image in ["win7-office", "linux"] {
        ask(&admin, image, 0, "PC-1").await;
    }
    are_on_record(&admin, 32).await;
    let deleted = |answer: Value| json!([answer["dry_run"], answer["clients"], answer["records"]]);
    let tried = admin.delete("/api/v1/clients/pc-1?dry_run=true").await.expecting(200).json();
    assert_eq!(deleted(tried), json!([true, 1, 2]));
    let stale = admin.delete("/api/v1/clients/pc-1").header("If-Match", "\"another\"");
    stale.await.problem(412);
    let one = admin.delete("/api/v1/clients/pc-1").await.expecting(200).json();
    assert_eq!(deleted(one), json!([false, 1, 2]));
    assert_eq!(admin.delete("/api/v1/clients/pc-1").await.problem(404), "client_not_found");
    admin.get("/api/v1/clients/pc-1").await.problem(404);

    assert_eq!(admin.delete("/api/v1/clients").await.problem(400), "bad_query");
    // What waits to be written goes, too.
    ask(&admin, "win7-office", 0, "simulated-late").await;
    let all = admin.delete("/api/v1/clients?q=Simulated-*").await.expecting(200).json();
    assert!(deleted(all.clone()) == json!([false, 30, 30]) || all["clients"] == 31, "{all}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(names(&admin, "").await, [""; 0]);
    let rows = admin.get("/api/v1/audit").await.expecting(200).items();
    let of_clients: Vec<_> = rows.iter().filter(|row| row["action"] == "client.delete").collect();
    assert_eq!(of_clients.len(), 2);
    assert_eq!(of_clients[0]["before"]["q"], "simulated-*");
    assert_eq!(of_clients[1]["subject"], "clients/pc-1");
}

async fn beyond_the_limit_the_clients_that_were_seen_longest_ago_go(database: Database) {
    let setup = Depot::on(database).setting("fleet", "max_clients", "10");
    let depot = setup.start().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    ask(&admin, "win7-office", 0, "with-credentials").await;
    for number in 0..9 {
        ask(&anyone, "win7-office", 0, &format!("old-{number}")).await;
    }
    are_on_record(&admin, 10).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&anyone, "win7-office", 1, "old-0").await;
    for number in 0..5 {
        ask(&anyone, "win7-office", 0, &format!("new-{number}")).await;
    }
    let kept = eventually("the record is within its limit", || async {
        let names = names(&admin, "").await;
        (names.len() <= 10 && names.iter().any(|name| name == "new-4")).then_some(names)
    })
    .await;
    assert_eq!(kept.len(), 10, "{kept:?}");
    for name in ["with-credentials", "old-0", "new-0", "new-1", "new-2", "new-3", "new-4"] {
        assert!(kept.iter().any(|kept| kept == name), "{name} is not in {kept:?}");
    }
    eventually("the metrics say so", || async {
        let text = admin.get("/metrics").await.expecting(200).text();
        let told = ["imagedepot_fleet_clients 10", "imagedepot_fleet_records_removed_total 5"];
        told.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

async fn one_address_brings_so_many_new_clients_a_minute(database: Database) {
    let setup = Depot::on(database).setting("fleet", "new_clients", "5");
    let depot = setup.start().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let other = depot.anonymous().calling_from("127.0.0.2");
    admin.published_image("win7-office", "production").await;
    ask(&other, "win7-office", 0, "elsewhere").await;
    are_on_record(&admin, 1).await;
    // The minute may end in between, and not twice.
    for number in 0..30 {
        ask(&anyone, "win7-office", 0, &format!("pc-{number}")).await;
    }
    // One that is known counts for nobody.
    ask(&anyone, "win7-office", 1, "elsewhere").await;
    eventually("all but a few are dropped", || async {
        let text = admin.get("/metrics").await.expecting(200).text();
        let dropped = text.split("dropped_total{reason=\"new_clients\"} ").nth(1)?;
        let dropped: usize = dropped.split('\n').next()?.parse().ok()?;
        let recorded = names(&admin, "?q=pc-*").await.len();
        (dropped + recorded == 30).then(|| assert!((5..=10).contains(&recorded), "{recorded}"))
    })
    .await;
    let known = admin.get("/api/v1/clients/elsewhere").await.expecting(200).json();
    assert_eq!(known["items"][0]["revision"], 1);
}

async fn a_graceful_stop_records_the_last_checks(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    for number in 0..20 {
        ask(&depot.anonymous(), "win7-office", 0, &format!("pc-{number}")).await;
    }
    depot.server.stop().await;
    depot.server.start_again().await;
    assert_eq!(names(&depot.admin(), "").await.len(), 20);
}

#[tokio::test]
async fn what_one_replica_saw_is_at_the_other_within_five_seconds() {
    let depot = Depot::start(Database::Postgres).await;
    let second = depot.replica("second").await;
    let there = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    eventually("the other replica has the image", || async {
        let told = there.check_for_update("win7-office", "production", 0, "pc-0").await;
        (told.status == 200).then_some(())
    })
    .await;
    for round in 1..=3 {
        let client = format!("pc-{round}");
        ask(&anyone, "win7-office", round, &client).await;
        ask(&there, "win7-office", round, "pc-0").await;
        let began = Instant::now();
        let is_seen = async |person: &Person, client: &str| {
            let shown = person.get(&format!("/api/v1/clients/{client}")).await;
            shown.status == 200 && shown.json()["items"][0]["revision"] == round
        };
        while !(is_seen(&there, &client).await && is_seen(&admin, "pc-0").await) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(names(&admin, "").await, names(&there, "").await);
}

/// Lets a hundred clients ask in turn while the database does not answer: 6 s, or 30 s with `--long`.
async fn checks_go_on(depot: &Depot) {
    let silence = Duration::from_secs(if is_long_run() { 30 } else { 6 });
    let anyone = depot.anonymous();
    let (began, mut slowest, mut asked) = (Instant::now(), Duration::ZERO, 0);
    while began.elapsed() < silence {
        let asks = Instant::now();
        ask(&anyone, "win7-office", 0, &format!("pc-{}", asked % 100)).await;
        (slowest, asked) = (slowest.max(asks.elapsed()), asked + 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert!(asked > 100, "{asked}");
}

/// Waits until everything is on record that the clients of [`checks_go_on`] asked.
async fn the_record_catches_up(admin: &Person) {
    are_on_record(admin, 100).await;
    eventually("nothing waits", || async {
        let status = admin.get("/api/v1/status").await.expecting(200).json();
        (status["clients"]["behind_seconds"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_the_catalog_is_locked_checks_go_on_and_the_record_catches_up() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let path = depot.server.data().join("catalog.sqlite");
    let url = format!("sqlite:{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.expect("the catalog");
    sqlx::query("begin immediate").execute(&mut other).await.expect("the lock");
    checks_go_on(&depot).await;
    let status = admin.get("/api/v1/status").await.expecting(200).json();
    // Those that the writer is at, and newer ones of the same clients.
    let waiting = status["clients"]["waiting"].as_u64().expect("a number");
    assert!((100..=200).contains(&waiting), "{waiting}");
    assert!(status["clients"]["behind_seconds"].as_u64() >= Some(4), "{status}");
    assert_eq!(names(&admin, "").await, [""; 0]);
    sqlx::query("rollback").execute(&mut other).await.expect("the lock's end");
    the_record_catches_up(&admin).await;
}

#[tokio::test]
async fn while_postgresql_stands_still_checks_go_on_and_the_record_catches_up() {
    let postgres = OwnPostgres::start();
    let depot =
        Depot::on(Database::Sqlite).setting("catalog", "url", &postgres.url()).start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    postgres.freeze();
    checks_go_on(&depot).await;
    postgres.go_on();
    the_record_catches_up(&admin).await;
}

#[tokio::test]
async fn checks_begin_no_transaction() {
    let depot = Depot::start(Database::Sqlite).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    admin.wait_until_the_tree_is_complete().await;
    let began = Instant::now();
    let before = transactions(&admin).await;
    for n in 0..1000 {
        ask(&anyone, "win7-office", 0, &format!("pc-{n}")).await;
    }
    // The server's own work goes on meanwhile: some a second, however many clients ask.
    let others = 20 * (began.elapsed().as_secs() + 2);
    let count = transactions(&admin).await - before;
    assert!(count < others && count < 500, "{count} transactions");
}

/// The number of transactions that the server has begun.
async fn transactions(admin: &Person) -> u64 {
    let metrics = admin.get("/metrics").await.expecting(200);
    let text = String::from_utf8(metrics.body.to_vec()).expect("text");
    let counts = text.lines().filter_map(|line| {
        let (_, count) =
            line.split_once("imagedepot_catalog_transactions_total{")?.1.split_once("} ")?;
        count.parse::<u64>().ok()
    });
    let count = counts.sum();
    assert!(count > 0, "{text}");
    count
}
