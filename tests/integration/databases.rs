//! Databases as administrators have them: with a language's order of letters, with few connections, after a failover, removed by
//! mistake.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::harness::broken_link::{BrokenLink, Fault};
use crate::harness::command::{imagedepot, run};
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::pooler::Pooler;
use crate::harness::postgres::TestDatabase;
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};

on_both_databases![lists_are_whole_in_pages_of_one];

async fn all_in_pages_of_one(person: &Person, path: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = person.get(&format!("{path}?limit=1{cursor}")).await.expecting(200).json();
        for item in page["items"].as_array().expect("items") {
            names.push(item["name"].as_str().expect("a name").to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else { return names };
        cursor = format!("&cursor={next}");
    }
}

async fn lists_are_whole_in_pages_of_one(database: Database) {
    // A language takes no notice of punctuation at first, and puts `ab` before `a-c`.
    const NAMES: [&str; 7] = ["a-c", "ab", "a.b", "B", "aB2", "a_b", "a-b2"];
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (number, name) in NAMES.into_iter().enumerate() {
        let channel = json!({"name": name, "folder": format!("f{number}")});
        admin.post("/api/v1/channels").json(&channel).await.expecting(201);
        admin.create_image(name).await;
        let user =
            json!({"name": name, "password": "a password of some length", "roles": ["reader"]});
        admin.post("/api/v1/users").json(&user).await.expecting(201);
    }
    for (path, more) in [
        ("/api/v1/images", &[][..]),
        ("/api/v1/channels", &["production", "test"]),
        ("/api/v1/users", &["admin"]),
    ] {
        let mut expected: Vec<_> = NAMES.iter().chain(more).map(ToString::to_string).collect();
        expected.sort_by_key(|name| name.to_ascii_lowercase());
        assert_eq!(all_in_pages_of_one(&admin, path).await, expected, "{path}");
    }
}

async fn depot_at(url: &str) -> Depot {
    Depot::on(Database::Sqlite).environment("IMAGEDEPOT__CATALOG__URL", Some(url)).start().await
}

async fn create(person: Person, name: String) -> u16 {
    let image = json!({"name": name, "kind": "medv"});
    person.post("/api/v1/images").json(&image).await.status
}

/// The statuses of so many creations at once.
async fn create_at_once(depot: &Depot, count: usize, name: &str) -> Vec<u16> {
    let create = |number| tokio::spawn(create(depot.admin(), format!("{name}-{number}")));
    let tasks: Vec<_> = (0..count).map(create).collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.expect("a creation"));
    }
    statuses
}

#[tokio::test]
async fn changes_work_again_after_a_failover() {
    let database = TestDatabase::create();
    let depot = depot_at(&database.url()).await;
    assert_eq!(create(depot.admin(), "before".to_owned()).await, 201);
    // What the pool opens now is for reading only, and stays so for as long as it lives.
    database.run("ALTER DATABASE {} SET default_transaction_read_only = on");
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'");
    eventually("changes are refused", || async {
        let statuses = create_at_once(&depot, 8, "during").await;
        statuses.iter().all(|status| *status == 503).then_some(())
    })
    .await;
    database.run("ALTER DATABASE {} RESET default_transaction_read_only");
    eventually("changes are taken", || async {
        let name = format!("after-{}", crate::harness::sample::unique());
        (create(depot.admin(), name).await == 201).then_some(())
    })
    .await;
    let after = create_at_once(&depot, 20, "again").await;
    assert_eq!(after, [201; 20]);
    drop(depot);
}

#[tokio::test]
async fn a_standby_that_takes_over_is_worked_with_by_whoever_knew_the_one_before() {
    let primary = OwnPostgres::start();
    let standby = primary.standby();
    // What administrators give a name or an address that moves.
    let address = BrokenLink::to(primary.port(), Fault::Nothing).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", address.port());
    let depot = depot_at(&url).await;
    assert_eq!(create_at_once(&depot, 8, "before").await, [201; 8]);
    let names = async || all_in_pages_of_one(&depot.admin(), "/api/v1/images").await;
    let before = names().await;
    // The standby is as far as the primary: it has the last image.
    eventually("the standby has all", || async {
        let images = "select count(*) from image";
        (query(&standby.url(), images).await == 8).then_some(())
    })
    .await;
    primary.stop();
    address.leads_to(standby.port());
    eventually("it is read from the standby", || async {
        let read = depot.admin().get("/api/v1/images").await;
        (read.status == 200).then_some(())
    })
    .await;
    assert_eq!(create_at_once(&depot, 8, "during").await, [503; 8]);
    standby.take_over();
    assert_eq!(create_at_once(&depot, 8, "after").await, [201; 8]);
    assert_eq!(names().await.len(), before.len() + 8);
}

async fn query(url: &str, count: &'static str) -> i64 {
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database");
    sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("a number")
}

#[tokio::test]
async fn fewer_connections_than_the_pool_wants_serve_everybody() {
    let database = TestDatabase::create();
    let url = database.given_to_a_role("CONNECTION LIMIT 10");
    let depot = depot_at(&url).await;
    let begun = Instant::now();
    let statuses = create_at_once(&depot, 24, "image").await;
    assert_eq!(statuses, [201; 24]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(depot);
}

#[tokio::test]
async fn a_role_that_is_serializable_by_default_loses_no_change() {
    let database = TestDatabase::create();
    let url = database.given_to_a_role("");
    database.run("ALTER ROLE {} SET default_transaction_isolation = 'serializable'");
    let depot = depot_at(&url).await;
    assert_eq!(create_at_once(&depot, 40, "image").await, [201; 40]);
    drop(depot);
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused_at_the_start() {
    let database = TestDatabase::create_with("ENCODING 'LATIN1' LOCALE 'C'");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = imagedepot(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path()).env("IMAGEDEPOT__CATALOG__URL", database.url());
    let refused = run(command).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("encoding is LATIN1"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_catalog_that_was_removed_takes_no_changes() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let file = depot.server.data().join("catalog.sqlite");
    let away = depot.server.data().join("away.sqlite");
    std::fs::rename(&file, &away).expect("remove it");
    let image = json!({"name": "lost", "kind": "medv"});
    let refused = admin.post("/api/v1/images").json(&image).await;
    assert_eq!(refused.problem(503), "database_unavailable");
    // Another one under its name is not the one that is open either.
    std::fs::copy(&away, &file).expect("a copy");
    admin.post("/api/v1/images").json(&image).await.problem(503);
    depot.anonymous().check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    std::fs::rename(&away, &file).expect("put it back");
    admin.post("/api/v1/images").json(&image).await.expecting(201);
    let names: Vec<Value> = admin.get("/api/v1/images").await.expecting(200).items();
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn two_servers_do_not_share_an_sqlite_file() {
    let depot = Depot::start(Database::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = depot.server.data().join("catalog.sqlite");
    let mut second = imagedepot(["serve", "--listen", "127.0.0.1:0", "--data"]);
    second.arg(folder.path());
    second.env("IMAGEDEPOT__CATALOG__URL", format!("sqlite:{}", catalog.display()));
    let refused = run(second).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("another imagedepot server uses the catalog"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn a_pooler_works_for_each_session_and_is_refused_for_each_transaction() {
    let database = TestDatabase::create();
    let pooler = Pooler::start(&database.url(), "session");
    let depot = depot_at(&pooler.url()).await;
    assert_eq!(create_at_once(&depot, 24, "image").await, [201; 24]);
    drop(depot);
    drop(pooler);
    let pooler = Pooler::start(&database.url(), "transaction");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = imagedepot(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path()).env("IMAGEDEPOT__CATALOG__URL", pooler.url());
    let refused = run(command).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("pool_mode = session"), "{}", refused.stderr);
}

#[tokio::test]
async fn who_finds_all_connections_taken_is_told_so_and_so_is_the_administrator() {
    let database = TestDatabase::create();
    let url = database.given_to_a_role("CONNECTION LIMIT 6");
    let depot = depot_at(&url).await;
    let admin = depot.admin();
    admin.create_image("before").await;
    let degraded = async || depot.anonymous().get("/readyz").await.json()["degraded"].clone();
    assert_eq!(degraded().await, json!([]));
    let others = std::cell::RefCell::new(Vec::new());
    // What the server had is another's from now on.
    let end_those_of_the_server = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                                   WHERE usename = '{}' AND application_name = 'imagedepot'";
    eventually("all connections are taken", || async {
        database.run(end_those_of_the_server);
        while let Ok(connection) = sqlx::PgConnection::connect(&url).await {
            others.borrow_mut().push(connection);
        }
        (others.borrow().len() == 6).then_some(())
    })
    .await;
    eventually("the catalog is named", || async {
        degraded()
            .await
            .as_array()
            .is_some_and(|parts| parts.contains(&json!("catalog")))
            .then_some(())
    })
    .await;
    assert_eq!(create(admin.clone(), "meanwhile".to_owned()).await, 503);
    drop(others);
    eventually("changes are taken", || async {
        let name = format!("after-{}", crate::harness::sample::unique());
        (create(depot.admin(), name).await == 201).then_some(())
    })
    .await;
    eventually("nothing is named", || async { (degraded().await == json!([])).then_some(()) })
        .await;
}
