//! Who takes something back hears how many servers answer by it: where all do, no client is offered it any more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{admin_of, depot};
use crate::harness::actions::{assignment_path, revision_path};
use crate::harness::{Database, Depot, Person, eventually};

#[tokio::test]
async fn a_withdrawal_and_a_revocation_say_how_many_servers_answer_by_them() {
    let depot = depot().await;
    let (mut second, mut third) = (depot.replica("second").await, depot.replica("third").await);
    let admin = depot.admin();
    admin.published_image("one", "production").await;
    admin.published_image("two", "production").await;
    admin.published_image("three", "production").await;

    let tried = admin.delete(&format!("{}?dry_run=true", assignment_path("one", "production")));
    assert_eq!(tried.await.expecting(200).json()["replicas"], Value::Null);
    // All have told of themselves.
    eventually("the replicas know each other", async || {
        let reached = withdraw_and_promote(&admin, "three").await;
        (reached == json!({"have": 3, "of": 3})).then_some(())
    })
    .await;

    let withdrawn = admin.delete(&assignment_path("one", "production")).await.expecting(200);
    assert_eq!(withdrawn.json()["replicas"], json!({"have": 3, "of": 3}));
    for server in [&second, &third] {
        let client = Person::new(&server.url(), None);
        let told = client.check_for_update("one", "production", 1, "pc");
        assert_eq!(told.await.expecting(200).json()["reason"], "withdrawn");
    }
    let revoke = format!("{}/revoke?withdraw=true", revision_path("two", 1));
    let revoked = admin_of(&second).post(&revoke).await.expecting(200).json();
    assert_eq!(
        (&revoked["state"], &revoked["replicas"]),
        (&json!("revoked"), &json!({"have": 3, "of": 3}))
    );
    for server in [&depot.server, &third] {
        let client = Person::new(&server.url(), None);
        let told = client.check_for_update("two", "production", 1, "pc");
        assert_eq!(told.await.expecting(200).json()["reason"], "revision_revoked");
    }

    // One that stops says so; one that is killed may still answer, for all that the others know.
    second.stop().await;
    assert_eq!(withdraw_and_promote(&admin, "three").await, json!({"have": 2, "of": 2}));
    third.kill();
    let asked = Instant::now();
    assert_eq!(withdraw_and_promote(&admin, "three").await, json!({"have": 1, "of": 2}));
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
}

/// What the withdrawal says of the servers; the image is offered again afterwards.
async fn withdraw_and_promote(admin: &Person, image: &str) -> Value {
    let path = assignment_path(image, "production");
    let reached = admin.delete(&path).await.expecting(200).json()["replicas"].clone();
    admin.promote(image, "production", 1).await.expecting(200);
    reached
}

#[tokio::test]
async fn one_server_alone_is_all_that_there_are() {
    for database in [Database::Sqlite, Database::Postgres] {
        let depot = Depot::start(database).await;
        let admin = depot.admin();
        admin.published_image("one", "production").await;
        assert_eq!(withdraw_and_promote(&admin, "one").await, json!({"have": 1, "of": 1}));
    }
}
