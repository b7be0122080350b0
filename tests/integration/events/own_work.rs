//! What the server does or meets by itself is told, too: steps, uploads that nobody goes on with, damage, failures.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{assignment_path, ckm};
use crate::harness::command::{imagedepot, run};
use crate::harness::event_stream::EventStream;
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    a_step_that_is_reached_is_told,
    an_upload_that_expires_is_told,
    damage_is_told_and_what_follows_from_it,
    a_tree_that_cannot_be_written_is_told_once,
    a_backup_is_told_and_one_that_fails_as_well,
];

async fn a_step_that_is_reached_is_told(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    let mut stream = EventStream::open(&admin, "?types=channel.*", None).await;
    let steps = json!([{"percent": 5}, {"percent": 100, "after": "2s"}]);
    let order = json!({"revision": second, "rollout": {"steps": steps}});
    admin.put(&assignment_path("win7-office", "production")).json(&order).await.expecting(200);
    stream.expect("channel.promoted").await;
    let reached = stream.expect("channel.step_reached").await.data;
    assert_eq!(reached["subject"], "images/win7-office/channels/production");
    assert_eq!((&reached["actor"], &reached["revision"]), (&json!("system:rollout"), &json!(2)));
    let after = &reached["data"]["after"];
    assert_eq!((&after["percent"], &after["complete"]), (&json!(100), &json!(true)), "{after}");
}

async fn an_upload_that_expires_is_told(database: Database) {
    let mut depot = Depot::on(database).setting("uploads", "expire_after", "1s").start().await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=image.*", None).await;
    admin.create_image("win7-office").await;
    let before = stream.expect("image.created").await.id;
    let revision = admin.draft("win7-office").await;
    let upload = json!({"image": "win7-office", "revision": revision, "role": "ckm", "size": 1000});
    let begun = admin.post("/api/v1/uploads").json(&upload).await.expecting(201).json();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The server sweeps when it starts.
    depot.server.restart().await;
    let mut stream = EventStream::open(&depot.admin(), "?types=upload.*", Some(&before)).await;
    let expired = stream.expect("upload.expired").await.data;
    assert_eq!(expired["subject"], format!("uploads/{}", begun["id"].as_str().expect("an id")));
    assert_eq!(
        (&expired["image"], &expired["revision"]),
        (&json!("win7-office"), &json!(revision))
    );
    assert_eq!(expired["data"], json!({"role": "ckm", "received": 0, "size": 1000}));
}

async fn damage_is_told_and_what_follows_from_it(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let mut stream = EventStream::open(&admin, "?types=scrub.*,revision.*", None).await;
    let (data, stored) = (depot.server.data(), depot.stored_files());
    let mut blobs = stored.into_iter().map(|path| data.join(path));
    let blob = blobs.find(|path| std::fs::read(path).is_ok_and(|bytes| bytes == ckm(1)));
    let blob = blob.expect("the blob of the image");
    let mut bytes = ckm(1);
    bytes[1000] ^= 0x10;
    // In place, so that the name in the tree shows it, too.
    std::fs::set_permissions(&blob, Permissions::from_mode(0o644)).expect("writable");
    std::fs::write(&blob, &bytes).expect("damage it");
    admin.post("/api/v1/scrub").await.expecting(202);
    let mut told: Vec<String> = Vec::new();
    for _ in 0..2 {
        told.push(stream.next().await.expect("an event").kind);
    }
    told.sort();
    assert_eq!(told, ["revision.quarantined", "scrub.damage_found"]);
    let path = "/api/v1/images/win7-office/revisions/1/files/ckm";
    admin.put(path).body(ckm(1)).await.expecting(200);
    assert_eq!(stream.expect("revision.healed").await.data["revision"], 1);
}

async fn a_tree_that_cannot_be_written_is_told_once(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.publish_single("zzz", "img", b"two").await;
    admin.wait_until_published("zzz", "production").await;
    let mut stream =
        EventStream::open(&admin, "?types=publication.failed,publication.done", None).await;
    // No rename replaces a folder.
    let in_the_way = depot.tree().join("aaa_1.img");
    std::fs::create_dir(&in_the_way).expect("a folder");
    admin.publish_single("aaa", "img", b"one").await;
    let failed = stream.expect("publication.failed").await.data;
    assert_eq!(
        (&failed["actor"], &failed["subject"]),
        (&json!("system:publication"), &json!("publications"))
    );
    assert!(failed["data"]["error"].as_str().is_some_and(|text| !text.is_empty()), "{failed}");
    // It tries again every few seconds, and tells nobody again before it is done.
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    let done = stream.expect("publication.done").await.data;
    assert_eq!(done["image"], "aaa");
}

async fn a_backup_is_told_and_one_that_fails_as_well(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=backup.*", None).await;
    let place = depot.scratch().join("backups").display().to_string();
    let mut backup = imagedepot(["backup", "--to", &place, "--data"]);
    backup.arg(depot.server.data()).envs(depot.environment());
    run(backup).await.successful();
    let done = stream.expect("backup.done").await.data;
    assert_eq!((&done["actor"], &done["data"]["damaged"]), (&json!("system:backup"), &json!(0)));
    // Somebody's file stands where the backups' folder should be.
    let taken = depot.scratch().join("taken");
    std::fs::write(&taken, "somebody's file").expect("a file");
    let mut backup = imagedepot(["backup", "--data"]);
    backup.arg(depot.server.data()).arg("--to").arg(&taken).envs(depot.environment());
    let refused = run(backup).await;
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let failed = stream.expect("backup.failed").await.data;
    assert!(failed["data"]["error"].as_str().is_some_and(|text| !text.is_empty()), "{failed}");
}

#[tokio::test]
async fn a_disk_with_too_little_room_is_told_once_until_it_has_room_again() {
    let disk = SmallDisk::mounted(160);
    let depot = Depot::on(Database::Sqlite)
        .data_on(disk.path())
        .setting("store", "min_free", "64 MiB")
        .start()
        .await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=storage.low,image.created", None).await;
    let taken = disk.path().join("somebody's");
    let shortage = vec![0; 100 << 20];
    std::fs::write(&taken, &shortage).expect("take the room");
    let low = stream.expect("storage.low").await.data;
    assert_eq!((&low["actor"], &low["subject"]), (&json!("system:watch"), &json!("status")));
    assert!(low["data"]["what"].as_str().is_some_and(|text| text.contains("min_free")), "{low}");
    // The next looks find the same, and tell nobody.
    tokio::time::sleep(Duration::from_secs(5)).await;
    admin.create_image("win7-office").await;
    stream.expect("image.created").await;
    std::fs::remove_file(&taken).expect("give the room back");
    eventually("the disk is well again", async || {
        let ready = depot.anonymous().get("/readyz").await.json();
        (ready["degraded"] == json!([])).then_some(())
    })
    .await;
    std::fs::write(&taken, &shortage).expect("take it again");
    stream.expect("storage.low").await;
}
