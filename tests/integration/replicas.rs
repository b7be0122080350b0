//! Several servers on one PostgreSQL and one bucket: whatever one of them does, all of them know, and none is needed.

mod killed;
mod reached;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::actions::assignment_path;
use crate::harness::server::Server;
use crate::harness::{Database, Depot, Person, Store, eventually, sample};

async fn depot() -> Depot {
    Depot::on(Database::Postgres).store(Store::S3).setting("tree", "grace", "1s").start().await
}

fn admin_of(server: &Server) -> Person {
    Person::new(&server.url(), Some(("admin", crate::harness::depot::ADMIN_PASSWORD)))
}

#[tokio::test]
async fn an_upload_goes_on_at_another_replica_while_the_first_runs_and_after_it_is_killed() {
    let mut depot = depot().await;
    let (other, third) = (depot.replica("second").await, depot.replica("third").await);
    let bytes = sample::bytes(1, 3_000_000);
    depot.admin().create_single_image("linux", "qcow2").await;
    let draft = depot.admin().draft("linux").await;
    let target = json!({"image": "linux", "revision": draft, "role": "image", "size": bytes.len()});
    let begun = depot.admin().post("/api/v1/uploads").json(&target).await.expecting(201);
    let location = begun.required_header("location").to_owned();
    append(&depot.admin(), &location, 0, &bytes[..1_000_000]).await;
    append(&admin_of(&other), &location, 1_000_000, &bytes[1_000_000..2_000_000]).await;
    depot.server.kill();
    append(&admin_of(&third), &location, 2_000_000, &bytes[2_000_000..]).await;
    let revision = admin_of(&other).revision("linux", draft).await;
    assert_eq!(revision["files"][0]["digest"], sample::digest(&bytes));
}

async fn append(person: &Person, location: &str, offset: usize, bytes: &[u8]) {
    let head = person.call(&reqwest::Method::HEAD, location).await.expecting(204);
    assert_eq!(head.required_header("upload-offset"), offset.to_string());
    let is_last = offset + bytes.len() == 3_000_000;
    let appended = person
        .patch(location)
        .header("Upload-Offset", &offset.to_string())
        .header("Upload-Complete", if is_last { "?1" } else { "?0" })
        .header("Content-Type", "application/partial-upload")
        .body(bytes.to_vec())
        .await;
    assert_eq!(appended.status / 100, 2, "{}", appended.text());
}

#[tokio::test]
async fn a_promotion_shows_in_every_replica_within_a_second() {
    let depot = depot().await;
    let others = [depot.replica("second").await, depot.replica("third").await];
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let revisions = [
        admin.ready_revision("win7-office", 1).await,
        admin.ready_revision("win7-office", 2).await,
    ];
    for round in 0..10 {
        let revision = revisions[round % 2];
        admin.promote("win7-office", "production", revision).await.expecting(200);
        let acknowledged = Instant::now();
        for other in &others {
            let client = Person::new(&other.url(), None);
            loop {
                let told = client.check_for_update("win7-office", "production", 0, "pc-1").await;
                if told.status == 200 && told.json()["target"]["revision"] == revision {
                    break;
                }
                assert!(acknowledged.elapsed() < Duration::from_secs(1), "{}", told.text());
            }
            println!("seen after {:?}", acknowledged.elapsed());
        }
    }
}

#[tokio::test]
async fn the_tree_is_made_by_one_replica_and_each_file_once() {
    let depot = depot().await;
    let others = [depot.replica("second").await, depot.replica("third").await];
    let admin = depot.admin();
    for image in ["one", "two", "three"] {
        admin.published_image(image, "production").await;
    }
    let mut logs: Vec<String> = others.iter().map(Server::log).collect();
    logs.push(depot.server.log());
    for file in ["one_1.ckm", "one_1.ckm.index", "two_1.ckm", "three_1.ckm.index"] {
        let is_told =
            |line: &&str| line.contains("\"published\"") && line.contains(&format!("\"{file}\""));
        let times = logs.iter().flat_map(|log| log.lines()).filter(is_told).count();
        assert_eq!(times, 1, "{file}:\n{}", logs.concat());
    }
}

/// Killed in the middle of its work, a replica leaves that to the others for half a minute, and no longer.
#[tokio::test]
async fn the_tree_follows_when_the_replica_that_was_at_it_is_killed() {
    let mut depot = depot().await;
    let other = depot.replica("second").await;
    let admin = admin_of(&other);
    admin.create_image("win7-office").await;
    let revision = admin.ready_revision("win7-office", 1).await;
    let promote = depot.admin().put(&assignment_path("win7-office", "production"));
    promote.json(&json!({"revision": revision})).await.expecting(200);
    depot.server.kill();
    let began = Instant::now();
    while admin.assignment("win7-office", "production").await["publication"] != "published" {
        assert!(began.elapsed() < Duration::from_mins(1), "nobody publishes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_reconciliation_may_be_asked_of_any_replica() {
    let depot = depot().await;
    let other = depot.replica("second").await;
    let revision = depot.admin().published_image("win7-office", "production").await;
    let bucket = depot.bucket.as_ref().expect("in a bucket");
    depot.admin().wait_until_the_tree_is_complete().await;
    // A reconciliation that is due anyway, such as that after a signing, may be faster.
    eventually("the replica publishes what is missing", || async {
        bucket.delete(&format!("MEDVImages/win7-office_{revision}.ckm")).await;
        let plan = admin_of(&other).post("/api/v1/publications/reconcile").await;
        (plan.expecting(200).json()["steps"][0]["step"] == "publish").then_some(())
    })
    .await;
    eventually("the file is there again", || async {
        bucket.names("MEDVImages").await.contains(&"win7-office_1.ckm".to_owned()).then_some(())
    })
    .await;
}
