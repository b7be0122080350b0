//! The work that continues while a part is unavailable: the database is stopped, or the disk is full.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::actions::file_path;
use crate::harness::sample;
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Database, Depot, eventually};

/// A database that is locked by somebody else's long transaction.
#[tokio::test]
async fn update_checks_and_downloads_go_on_while_the_catalog_is_locked() {
    use sqlx::{Connection as _, SqliteConnection};
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let path = depot.server.data().join("catalog.sqlite");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .expect("the catalog");
    sqlx::query("begin exclusive").execute(&mut other).await.expect("the lock");
    let started = Instant::now();
    let client = depot.anonymous();
    for number in 0..50 {
        let id = format!("pc-{number}");
        client.check_for_update("win7-office", "production", 0, &id).await.expecting(200);
    }
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // A change waits its turn, and is made when the lock is gone.
    let admin = depot.admin();
    let change =
        tokio::spawn(async move { admin.post("/api/v1/images/win7-office/revisions").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    sqlx::query("rollback").execute(&mut other).await.expect("the lock's end");
    change.await.expect("the change").expecting(201);
}

#[tokio::test]
async fn a_full_disk_refuses_uploads_and_nothing_else() {
    let disk = SmallDisk::mounted(64);
    let depot = Depot::on(Database::Sqlite)
        .setting("store", "url", &format!("file://{}/blobs", disk.path().display()))
        .setting("store", "min_free", "8 MiB")
        .setting("tree", "grace", "0s")
        .setting("store", "safety_age", "0s")
        .start()
        .await;
    let admin = depot.admin();
    admin.publish_single("small", "qcow2", &sample::bytes(1, 30_000_000)).await;
    admin.create_single_image("big", "qcow2").await;
    let draft = admin.draft("big").await;
    let big = admin.put(&file_path("big", draft, "image")).body(sample::bytes(2, 40_000_000));
    if let Ok(answer) = big.try_send().await {
        answer.problem(507);
    }
    // Checks, downloads and deletes work; with the room they give the upload succeeds.
    depot.anonymous().check_for_update("small", "production", 0, "pc-1").await.expecting(200);
    depot.anonymous().get_tree("small_1.qcow2").await.expecting(200);
    let withdrawn = admin.delete("/api/v1/channels/production?withdraw=true").await;
    withdrawn.expecting(204);
    admin.delete("/api/v1/images/small").await.expecting(204);
    admin.post("/api/v1/channels").json(&json!({"name": "production"})).await.expecting(201);
    assert_eq!(admin.revision("big", draft).await["files"], json!([]));
    eventually("the room is there again", || async {
        let again = admin.put(&file_path("big", draft, "image")).body(sample::bytes(3, 40_000_000));
        again.try_send().await.ok().filter(|answer| answer.status == 201)
    })
    .await;
}
