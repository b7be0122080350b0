//! Files that are in the way of the tree hold up only what would take their place.

use serde_json::json;

use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    a_file_that_cannot_be_published_holds_up_no_other,
    a_file_in_the_place_of_a_channel_s_folder_holds_up_no_other,
    a_foreign_manifest_is_not_replaced,
    a_channel_made_anew_goes_on_counting,
    a_channel_that_another_requires_is_not_deleted,
];

async fn a_file_that_cannot_be_published_holds_up_no_other(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    // No rename replaces a folder.
    let in_the_way = depot.tree().join("aaa_1.img");
    std::fs::create_dir(&in_the_way).expect("a folder");
    admin.publish_single("aaa", "img", b"one").await;
    admin.publish_single("zzz", "img", b"two").await;
    admin.wait_until_published("zzz", "production").await;
    assert_eq!(admin.assignment("aaa", "production").await["publication"], "pending");
    let manifest = std::fs::read_to_string(depot.tree().join("channel.json")).expect("a manifest");
    assert!(!manifest.contains("aaa"), "it speaks of a file that is not there: {manifest}");

    std::fs::remove_dir(&in_the_way).expect("it is empty");
    admin.wait_until_published("aaa", "production").await;
}

async fn a_file_in_the_place_of_a_channel_s_folder_holds_up_no_other(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    std::fs::write(depot.tree().join("pilot"), "somebody's notes").expect("a file");
    admin.post("/api/v1/channels").json(&json!({"name": "pilot"})).await.expecting(201);
    admin.publish_single("zzz", "img", b"two").await;
    admin.wait_until_published("zzz", "production").await;
    let notes = std::fs::read_to_string(depot.tree().join("pilot")).expect("still there");
    assert_eq!(notes, "somebody's notes");
}

async fn a_foreign_manifest_is_not_replaced(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let folder = depot.tree().join("pilot");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("channel.json"), "somebody's own").expect("a file");
    admin.post("/api/v1/channels").json(&json!({"name": "pilot"})).await.expecting(201);
    let plan = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
    let conflict = json!({"step": "conflict", "path": "pilot/channel.json"});
    assert!(plan["steps"].as_array().expect("steps").contains(&conflict), "{plan}");
    let kept = std::fs::read_to_string(folder.join("channel.json")).expect("still there");
    assert_eq!(kept, "somebody's own");
}

async fn a_channel_made_anew_goes_on_counting(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let sequence = || async {
        let manifest = admin.get_tree("pilot/channel.json").await.expecting(200).json();
        manifest["sequence"].as_u64().expect("a number")
    };
    let pilot = json!({"name": "pilot"});
    admin.post("/api/v1/channels").json(&pilot).await.expecting(201);
    for keep_old in 0..3 {
        let words = json!({"keep_old": keep_old});
        admin.patch("/api/v1/channels/pilot").json(&words).await.expecting(200);
    }
    let before = sequence().await;
    admin.delete("/api/v1/channels/pilot").await.expecting(204);
    admin.post("/api/v1/channels").json(&pilot).await.expecting(201);
    assert!(sequence().await > before, "readers refuse a lower number than they have seen");
}

async fn a_channel_that_another_requires_is_not_deleted(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let pilot = json!({"name": "pilot", "requires_channel": "test"});
    admin.post("/api/v1/channels").json(&pilot).await.expecting(201);
    let refused = admin.delete("/api/v1/channels/test").await;
    assert_eq!(refused.problem(409), "channel_is_required");
    let free = json!({"requires_channel": null});
    admin.patch("/api/v1/channels/pilot").json(&free).await.expecting(200);
    admin.delete("/api/v1/channels/test").await.expecting(204);
}
