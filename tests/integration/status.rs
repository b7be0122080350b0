//! Which parts of a server do not work, by `/readyz`, the metrics and `GET /status`; and what a dashboard is told.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::harness::bucket::address;
use crate::harness::command::{imagedepot, run};
use crate::harness::faulty_store::{Fault, FaultyStore};
use crate::harness::{Database, Depot, Store, eventually, on_both_databases, sample};

on_both_databases![a_dashboard_has_one_answer, what_cannot_be_published_degrades_publication];

async fn degraded(depot: &Depot) -> Vec<String> {
    let asked = Instant::now();
    let ready = depot.anonymous().get("/readyz").await.expecting(200).json();
    assert!(asked.elapsed() < Duration::from_secs(2), "it waited for something");
    assert_eq!(ready["ready"], true);
    serde_json::from_value(ready["degraded"].clone()).expect("names")
}

async fn becomes_degraded(depot: &Depot, part: &str) -> Value {
    eventually(&format!("{part} is named"), || async {
        degraded(depot).await.iter().any(|name| name == part).then_some(())
    })
    .await;
    assert_eq!(counted(depot, part).await, "1");
    let state = part_of(depot, part).await.expect("it is watched");
    assert_eq!(state["degraded"], true);
    assert!(state["what"].as_str().is_some_and(|what| !what.contains('/')), "{state}");
    assert!(state["since"].is_string(), "{state}");
    state
}

async fn becomes_well(depot: &Depot, part: &str) {
    let well = json!({"part": part, "degraded": false, "what": null, "since": null});
    eventually(&format!("{part} works again"), || async {
        (part_of(depot, part).await? == well).then_some(())
    })
    .await;
    assert!(degraded(depot).await.iter().all(|name| name != part));
    assert_eq!(counted(depot, part).await, "0");
}

/// The gauge of a part. Asked as who is known from the snapshot: the database may be away.
async fn counted(depot: &Depot, part: &str) -> String {
    let text = depot.admin().get("/metrics").await.expecting(200).text();
    let series = format!("imagedepot_degraded{{part=\"{part}\"}} ");
    let found = text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned);
    found.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
}

async fn status(depot: &Depot) -> Value {
    depot.admin().get("/api/v1/status").await.expecting(200).json()
}

async fn part_of(depot: &Depot, part: &str) -> Option<Value> {
    let status = status(depot).await;
    let parts = status["parts"].as_array().expect("parts").clone();
    parts.into_iter().find(|state| state["part"] == part)
}

async fn a_dashboard_has_one_answer(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.create_single_image("huge", "vhdx").await;
    let draft = admin.draft("huge").await;
    let announced = json!({"image": "huge", "revision": draft, "role": "image", "size": 5000});
    admin.post("/api/v1/uploads").json(&announced).await.expecting(201);
    let parts = eventually("the parts were looked at", || async {
        let parts = status(&depot).await["parts"].as_array().cloned()?;
        (!parts.is_empty()).then_some(parts)
    })
    .await;
    let names: Vec<_> = parts.iter().map(|part| part["part"].as_str().expect("a name")).collect();
    // SQLite has no clock but this machine's, and no backup is known yet.
    let clock = (database == Database::Postgres).then_some("clock");
    let expected = ["catalog", "snapshot"].into_iter().chain(clock);
    let expected: Vec<_> = expected.chain(["store", "disk", "publication"]).collect();
    assert_eq!(names, expected);

    let told = depot.user_with_role("reader").await.get("/api/v1/status").await.expecting(200);
    let told = told.json();
    assert_eq!(told["version"]["program"], env!("CARGO_PKG_VERSION"));
    assert!(told["version"]["schema"].as_i64().is_some_and(|schema| schema >= 14), "{told}");
    assert!(told["version"]["features"].as_array().expect("features").contains(&json!("server")));
    assert_eq!((&told["ready"], &told["degraded"]), (&json!(true), &json!([])));
    assert_eq!(
        (&told["storage"]["used"], &told["storage"]["reserved"]),
        (&json!(304_000), &json!(5000))
    );
    assert!(told["storage"]["free"].as_u64().is_some_and(|free| free > 0), "{told}");
    assert_eq!(told["uploads"], json!({"count": 1, "bytes": 0}));
    assert_eq!((&told["scrub"]["coverage"], &told["scrub"]["damaged"]), (&json!(1.0), &json!(0)));
    assert_eq!(told["publication"], json!({"to_publish": 0, "to_withdraw": 0}));
    assert_eq!(told["newest_backup"], Value::Null);

    let backup = back_up(&depot, &depot.scratch().join("backup")).await;
    assert_eq!(
        status(&depot).await["newest_backup"],
        json!({"name": backup["name"], "taken_at": backup["taken_at"]})
    );
}

async fn back_up(depot: &Depot, place: &Path) -> Value {
    let mut command = imagedepot(["backup", "--output", "json", "--to"]);
    command.arg(place).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(command).await.successful().last_line()
}

async fn what_cannot_be_published_degrades_publication(database: Database) {
    let depot = Depot::start(database).await;
    let in_the_way = depot.tree().join("aaa_1.img");
    std::fs::create_dir(&in_the_way).expect("a folder");
    depot.admin().publish_single("aaa", "img", b"one").await;
    becomes_degraded(&depot, "publication").await;
    assert_eq!(status(&depot).await["publication"]["to_publish"], 1);
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    becomes_well(&depot, "publication").await;
    assert_eq!(status(&depot).await["publication"]["to_publish"], 0);
}

#[tokio::test]
async fn a_database_that_takes_no_changes_degrades_the_catalog() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let mut other = catalog_of(&depot).await;
    sqlx::query("begin exclusive").execute(&mut other).await.expect("the lock");
    becomes_degraded(&depot, "catalog").await;
    let checked = depot.anonymous().check_for_update("win7-office", "production", 0, "pc-1").await;
    checked.expecting(200);
    sqlx::query("rollback").execute(&mut other).await.expect("the lock's end");
    becomes_well(&depot, "catalog").await;
}

#[tokio::test]
async fn a_lost_catalog_file_degrades_the_catalog() {
    let depot = Depot::start(Database::Sqlite).await;
    let (file, elsewhere) =
        (depot.server.data().join("catalog.sqlite"), depot.scratch().join("elsewhere"));
    std::fs::rename(&file, &elsewhere).expect("lose the file");
    becomes_degraded(&depot, "catalog").await;
    std::fs::rename(&elsewhere, &file).expect("bring it back");
    becomes_well(&depot, "catalog").await;
}

#[tokio::test]
async fn a_disk_with_less_room_than_uploads_leave_is_degraded() {
    let depot = Depot::on(Database::Sqlite).setting("store", "min_free", "1 PiB").start().await;
    becomes_degraded(&depot, "disk").await;
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_degrades_the_store() {
    let store = FaultyStore::before(address()).await;
    let endpoint = store.endpoint();
    let depot = Depot::on(Database::Sqlite)
        .store(Store::S3)
        .environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&endpoint))
        .start()
        .await;
    for (fault, outcome) in
        [(Fault::Silent, "unanswered"), (Fault::Refused, "unanswered"), (Fault::Busy, "failed")]
    {
        let before = store_requests(&depot, outcome).await;
        store.fails(fault);
        becomes_degraded(&depot, "store").await;
        eventually("the metrics count it", || async {
            (store_requests(&depot, outcome).await > before).then_some(())
        })
        .await;
        store.fails(Fault::Nothing);
        becomes_well(&depot, "store").await;
    }
    assert!(store_requests(&depot, "answered").await > 0.0);
    assert_eq!(status(&depot).await["storage"]["free"], Value::Null, "a bucket has no end");
}

/// Requests that read an object, as `/metrics` counts them.
async fn store_requests(depot: &Depot, outcome: &str) -> f64 {
    let text = depot.admin().get("/metrics").await.expecting(200).text();
    let series = format!("imagedepot_store_requests_total{{kind=\"get\",outcome=\"{outcome}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.expect("the series is there from the start").parse().expect("a number")
}

#[tokio::test]
async fn a_bucket_whose_clock_differs_is_named() {
    let store = FaultyStore::before(address()).await;
    let depot = Depot::on(Database::Sqlite)
        .store(Store::S3)
        .environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&store.endpoint()))
        .start()
        .await;
    becomes_well(&depot, "clock").await;
    store.fails(Fault::Yesterday);
    let part = becomes_degraded(&depot, "clock").await;
    assert!(part.to_string().contains("ahead of the bucket's"), "{part}");
    store.fails(Fault::Nothing);
    becomes_well(&depot, "clock").await;
}

#[tokio::test]
async fn a_backup_that_is_late_is_named() {
    let mut depot = Depot::start(Database::Sqlite).await;
    depot.admin().publish_single("small", "img", &sample::bytes(1, 1000)).await;
    back_up(&depot, &depot.scratch().join("backup")).await;
    let mut catalog = catalog_of(&depot).await;
    let earlier = "update backup set taken_at = '2026-01-01T00:00:00+00:00'";
    sqlx::query(earlier).execute(&mut catalog).await.expect("an older backup");
    // The gauges are looked up at the start, and every half minute.
    depot.server.restart().await;
    becomes_degraded(&depot, "backup").await;
    back_up(&depot, &depot.scratch().join("backup")).await;
    depot.server.restart().await;
    becomes_well(&depot, "backup").await;
}

async fn catalog_of(depot: &Depot) -> SqliteConnection {
    let path = depot.server.data().join("catalog.sqlite");
    let url = format!("sqlite:{}", path.display());
    SqliteConnection::connect(&url).await.expect("the catalog")
}
