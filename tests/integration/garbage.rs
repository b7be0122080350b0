//! Retention and garbage: what images do not keep goes, what somebody may need stays, and the dry run tells no lie.

use serde_json::{Value, json};

use crate::harness::actions::{ckm, revision_path};
use crate::harness::command::{imagedepot, run};
use crate::harness::{
    Database, Depot, Person, Store, eventually, on_both_databases, on_both_databases_and_stores,
};

on_both_databases_and_stores![revisions_past_what_an_image_keeps_go_with_their_bytes];
on_both_databases![
    bytes_of_deleted_revisions_stay_for_the_safety_age,
    what_no_row_knows_goes_and_strangers_are_never_touched,
    nothing_is_removed_where_a_file_has_lost_its_bytes,
    a_store_that_is_full_of_strangers_is_left_alone,
];

/// Of a revision made by [`Person::ready_revision`].
const REVISION: u64 = 304_000;

async fn collect(admin: &Person, query: &str) -> Value {
    admin.post(&format!("/api/v1/gc{query}")).await.expecting(200).json()
}

async fn revisions_past_what_an_image_keeps_go_with_their_bytes(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).setting("tree", "grace", "1s").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=6 {
        admin.ready_revision("win7-office", seed).await;
    }
    // 1 is assigned, 2 was before it (keep_old), 3 is protected.
    admin.promote("win7-office", "production", 2).await.expecting(200);
    admin.promote("win7-office", "production", 1).await.expecting(200);
    admin.wait_until_published("win7-office", "production").await;
    let protect = admin.patch(&revision_path("win7-office", 3)).json(&json!({"protected": true}));
    protect.await.expecting(200);
    let keep = admin.patch("/api/v1/images/win7-office").json(&json!({"keep_revisions": 1}));
    keep.await.expecting(200);
    let told = collect(&admin, "?dry_run=true&immediately=true").await;
    let expired = |number| json!({"image": "win7-office", "revision": number, "bytes": REVISION});
    assert_eq!(told["expired"], json!([expired(5), expired(4)]));
    assert_eq!(told["removed"], json!({"blobs": 4, "bytes": 2 * REVISION}));
    // It was told, not done.
    admin.revision("win7-office", 4).await;
    let mut done = collect(&admin, "?immediately=true").await;
    assert_eq!(done["dry_run"], false);
    done["dry_run"] = json!(true);
    assert_eq!(done, told);
    for (revision, status) in [(6, 200), (5, 410), (4, 410), (3, 200), (2, 200), (1, 200)] {
        let file = format!("{}/files/ckm", revision_path("win7-office", revision));
        let answer = admin.get(&file).await.expecting(status);
        assert!(status == 410 || answer.body == ckm(revision), "revision {revision}");
    }
    match &depot.bucket {
        Some(bucket) => assert_eq!(bucket.blobs().await.len(), 8),
        None => assert_eq!(depot.stored_files().len(), 8),
    }
    let audit = admin.get("/api/v1/audit").await.items();
    let expiry = audit.iter().find(|row| row["action"] == "revision.expire").expect("a row");
    assert_eq!(expiry["caller"], "system:retention");
}

async fn bytes_of_deleted_revisions_stay_for_the_safety_age(database: Database) {
    let depot = Depot::on(database).setting("store", "safety_age", "4s").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.ready_revision("win7-office", 1).await;
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    let early = collect(&admin, "").await;
    assert_eq!(early["waiting"], json!({"blobs": 2, "bytes": REVISION}), "{early}");
    assert_eq!(depot.stored_files().len(), 2);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    // As an administrator of the machine, while the server runs.
    let data = depot.server.data().display().to_string();
    let mut command = imagedepot(["gc", "--output", "json", "--data", &data]);
    command.envs(depot.environment());
    let late = run(command).await.successful().last_line();
    assert_eq!(late["removed"], json!({"blobs": 2, "bytes": REVISION}), "{late}");
    assert_eq!(depot.stored_files().len(), 0);
}

async fn what_no_row_knows_goes_and_strangers_are_never_touched(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.ready_revision("win7-office", 1).await;
    let blobs = depot.server.data().join("blobs");
    let orphan = blobs.join("ab/ab23456789abcdef0123456789abcdef");
    let stranger = blobs.join("ab/notes of somebody");
    std::fs::create_dir_all(blobs.join("ab")).expect("a folder");
    std::fs::write(&orphan, "left by a kill").expect("an orphan");
    std::fs::write(&stranger, "mine").expect("a file");
    let told = collect(&admin, "?dry_run=true").await;
    assert_eq!(told["orphans"], json!({"blobs": 1, "bytes": 14}));
    assert_eq!(told["removed"]["blobs"], 0);
    // In two steps: now it is given up, and only later removed.
    let done = collect(&admin, "").await;
    assert_eq!((&done["orphans"], &done["removed"]), (&told["orphans"], &told["removed"]));
    assert!(orphan.exists());
    let removed = collect(&admin, "?immediately=true").await;
    assert_eq!(removed["removed"], json!({"blobs": 1, "bytes": 14}));
    assert!(!orphan.exists() && stranger.exists());
}

async fn nothing_is_removed_where_a_file_has_lost_its_bytes(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    let lost = depot.stored_files().pop_first().expect("a blob");
    let before = depot.stored_files().len();
    std::fs::remove_file(depot.server.data().join(lost)).expect("lose it");
    let keep = admin.patch("/api/v1/images/win7-office").json(&json!({"keep_revisions": 1}));
    keep.await.expecting(200);
    for query in ["?immediately=true", "?dry_run=true"] {
        let refused = admin.post(&format!("/api/v1/gc{query}")).await;
        assert_eq!(refused.problem(409), "references_incomplete");
    }
    assert_eq!(depot.stored_files().len(), before - 1);
}

async fn a_store_that_is_full_of_strangers_is_left_alone(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.ready_revision("win7-office", 1).await;
    let blobs = depot.server.data().join("blobs");
    std::fs::create_dir_all(blobs.join("cd")).expect("a folder");
    for number in 0..30 {
        let name = format!("cd/cd{number:030}");
        std::fs::write(blobs.join(name), "of a newer catalog").expect("a blob");
    }
    let refused = admin.post("/api/v1/gc?immediately=true").await;
    assert_eq!(refused.problem(409), "references_incomplete");
    assert_eq!(depot.stored_files().len(), 32);
    // Nor is the store of another catalog touched.
    std::fs::write(blobs.join("imagedepot-catalog"), "01990000-0000-7000-8000-000000000000\n")
        .expect("a note");
    let refused = admin.post("/api/v1/gc?immediately=true&accept_orphans=true").await;
    assert_eq!(refused.problem(409), "references_incomplete");
    assert!(refused.text().contains("belongs to the catalog 01990000"), "{}", refused.text());
}

/// Of several revisions with the same bytes the last takes them along.
#[tokio::test]
async fn bytes_that_revisions_share_stay_until_the_last_of_them_is_deleted() {
    let depot = Depot::on(Database::Sqlite)
        .setting("tree", "grace", "0s")
        .setting("store", "safety_age", "0s")
        .start()
        .await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        let revision = admin.ready_revision("win7-office", seed).await;
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    let path = "/api/v1/images/win7-office/channels/production/rollback";
    admin.post(path).json(&json!({"as_new_revision": true})).await.expecting(200);
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    collect(&admin, "?immediately=true").await;
    let file = format!("{}/files/ckm", revision_path("win7-office", 3));
    assert_eq!(admin.get(&file).await.expecting(200).body, ckm(1));
    admin.delete("/api/v1/channels/production?withdraw=true").await.expecting(204);
    admin.delete(&revision_path("win7-office", 3)).await.expecting(204);
    eventually("the shared bytes are gone", || async {
        (depot.stored_files().len() == 2).then_some(())
    })
    .await;
}
