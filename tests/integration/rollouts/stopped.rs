//! The stop: whoever pauses or halts a rollout hears how many servers apply it, and from then on nobody gets the revision.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{PATH, change, promote, three_revisions, told};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::server::Server;
use crate::harness::{Database, Depot, Person, Store, eventually, on_both_databases};

on_both_databases![a_halted_rollout_says_who_halted_it_and_goes_on_when_told_to];

async fn a_halted_rollout_says_who_halted_it_and_goes_on_when_told_to(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    three_revisions(&admin).await;
    promote(&admin, 2, json!({"percent": 100, "canaries": ["pc-1"]})).await.expecting(200);
    let halted = change(&admin, json!({"halted": true})).await.expecting(200).json();
    assert_eq!(halted["rollout"]["state"], "halted");
    assert_eq!(halted["rollout"]["halted"]["by"], "admin");
    assert_eq!(told(&admin, "pc-1", 1).await.1, "halted", "a canary, too");
    assert_eq!(told(&admin, "pc-1", 2).await.1, "up_to_date");
    // A deadline that has passed does not override it.
    change(&admin, json!({"deadline": "2026-01-01T00:00:00Z"})).await.expecting(200);
    assert_eq!(told(&admin, "pc-1", 1).await.1, "halted");
    let goes_on = change(&admin, json!({"halted": false})).await.expecting(200).json();
    assert_eq!(
        (&goes_on["rollout"]["state"], goes_on["rollout"].get("halted")),
        (&json!("complete"), None)
    );
    assert_eq!(told(&admin, "pc-1", 1).await.0, "update");
}

/// Asks at each server until the given time is over, and returns every answer's reason.
async fn reasons(servers: &[&Server], lasting: Duration) -> Vec<Value> {
    let mut reasons = Vec::new();
    let end = tokio::time::Instant::now() + lasting;
    while tokio::time::Instant::now() < end {
        for server in servers {
            let client = Person::new(&server.url(), None);
            let told = client.check_for_update("win7-office", "production", 1, "pc-1").await;
            reasons.push(told.expecting(200).json()["reason"].clone());
        }
    }
    reasons
}

#[tokio::test]
async fn where_the_answer_to_a_pause_says_all_no_server_offers_the_revision_from_then_on() {
    let postgres = OwnPostgres::start();
    let url = postgres.url();
    let depot =
        Depot::on(Database::Sqlite).setting("catalog", "url", &url).store(Store::S3).start().await;
    let (second, third) = (depot.replica("second").await, depot.replica("third").await);
    let admin = depot.admin();
    three_revisions(&admin).await;
    promote(&admin, 2, json!({})).await.expecting(200);
    eventually("the replicas know each other", async || {
        let changed = change(&admin, json!({"paused": false, "note": "?"})).await.expecting(200);
        change(&admin, json!({"note": ""})).await.expecting(200);
        (changed.json()["replicas"] == json!({"have": 3, "of": 3})).then_some(())
    })
    .await;
    let at_second = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
    let paused = change(&at_second, json!({"paused": true})).await.expecting(200).json();
    postgres.stop();
    assert_eq!(paused["replicas"], json!({"have": 3, "of": 3}));
    let reasons = reasons(&[&depot.server, &second, &third], Duration::from_secs(5)).await;
    assert!(reasons.len() > 30 && reasons.iter().all(|reason| reason == "paused"), "{reasons:?}");
}

/// Runs a statement in the catalog's database.
async fn run(depot: &Depot, statement: &'static str) {
    let url = depot.catalog().url();
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("the database");
    sqlx::query(statement).execute(&mut connection).await.expect("a statement");
}

#[tokio::test]
async fn a_rollout_is_refused_while_a_server_is_alive_that_could_not_read_it() {
    let depot = Depot::start(Database::Postgres).await;
    let admin = depot.admin();
    three_revisions(&admin).await;
    // A server of the version before writes its row without the last column.
    let older = "insert into replica (instance, program, loaded, seen_at) \
                 values ('0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e', '0.1.0', 1, current_timestamp)";
    run(&depot, older).await;
    for refused in [
        promote(&admin, 2, json!({"percent": 5})).await,
        change(&admin, json!({"paused": true})).await,
        admin.put(&format!("{PATH}/pins/pc-1")).json(&json!({"revision": 2})).await,
    ] {
        assert_eq!(refused.problem(409), "older_replica");
    }
    promote(&admin, 2, json!({})).await.expecting(200);
    run(&depot, "delete from replica where reads = 0").await;
    promote(&admin, 3, json!({"percent": 5})).await.expecting(200);
}
