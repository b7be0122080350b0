//! What is signed, by whom and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Machine, newest_root, promote_next, published_timestamp, tree_over_http, trust_command,
    version, wait_until_signed,
};
use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    a_revoked_file_leaves_what_is_signed_within_two_seconds,
    a_restored_depot_leaves_a_gap_in_the_numbers,
    what_is_signed_has_the_headers_of_a_file_that_never_changes,
    bins_ask_for_credentials_where_a_channel_does,
    the_folder_of_what_is_signed_is_no_channel_s,
];

async fn timestamp(depot: &Depot) -> i64 {
    version(&depot.anonymous().get_tree("tuf/timestamp.json").await.expecting(200).body)
}

async fn a_revoked_file_leaves_what_is_signed_within_two_seconds(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    promote_next(&depot, 2).await;
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    let before = timestamp(&depot).await;
    let revoke = "/api/v1/images/win7-office/revisions/2/revoke?rollback=true";
    admin.post(revoke).await.expecting(200);
    let started = Instant::now();
    eventually("it is signed again", || async { (timestamp(&depot).await > before).then_some(()) })
        .await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let machine = Machine::new(&depot, "machine").await;
    let tree = tree_over_http(&depot);
    let told = machine.fetch_with_python(&tree, "win7-office_2.ckm").await.successful();
    assert_eq!(told.stdout.trim(), "not listed");
    machine.fetch_with_python(&tree, "win7-office_1.ckm").await.successful();
    eventually("the tree has it, too", || async {
        let signed = depot.anonymous().get_tree("tuf/timestamp.json").await.body;
        (published_timestamp(&depot).await == Some(signed.to_vec())).then_some(())
    })
    .await;
}

/// Every file of the metadata that a server answers with, by its name.
async fn signed_files(url: &str, known: &mut BTreeMap<String, Vec<u8>>) {
    let get = async |name: String| {
        let answer = reqwest::get(format!("{url}/MEDVImages/tuf/{name}")).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{name}");
        answer.bytes().await.expect("its bytes").to_vec()
    };
    let timestamp = get("timestamp.json".to_owned()).await;
    let mut keep = |name: String, bytes: Vec<u8>| {
        if let Some(before) = known.insert(name.clone(), bytes.clone()) {
            assert!(before == bytes, "{name} was signed twice");
        }
    };
    keep(format!("{}.timestamp.json", version(&timestamp)), timestamp.clone());
    let timestamp: Value = serde_json::from_slice(&timestamp).expect("JSON");
    let number = &timestamp["signed"]["meta"]["snapshot.json"]["version"];
    let name = format!("{number}.snapshot.json");
    let snapshot = get(name.clone()).await;
    keep(name, snapshot);
}

#[tokio::test]
async fn two_replicas_never_sign_a_number_twice() {
    let mut depot = Depot::start(Database::Postgres).await;
    let mut replica = depot.replica("replica").await;
    depot.admin().published_image("win7-office", "production").await;
    let mut known = BTreeMap::new();
    for seed in 2..8 {
        promote_next(&depot, seed).await;
        // Whoever signs is killed in the middle of it.
        tokio::time::sleep(Duration::from_millis(150 * seed)).await;
        let killed = if seed % 2 == 0 { &mut replica } else { &mut depot.server };
        killed.restart().await;
        for url in [depot.server.url(), replica.url()] {
            signed_files(&url, &mut known).await;
        }
    }
    assert!(known.len() > 4, "{:?}", known.keys());
    wait_until_signed(&depot, "win7-office_7.ckm").await;
}

async fn a_restored_depot_leaves_a_gap_in_the_numbers(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    wait_until_signed(&depot, "win7-office_1.ckm").await;
    let (root, before) = (newest_root(&depot).await, timestamp(&depot).await);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("backups").display().to_string();
    let mut backup = imagedepot(["backup", "--to", &place, "--data"]);
    backup.arg(depot.server.data()).envs(depot.environment());
    run(backup).await.successful();
    promote_next(&depot, 2).await;
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    let machine = Machine::of(&depot, folder.path().join("machine")).await;
    machine.pull(&tree_over_http(&depot)).await.successful();
    drop(depot);
    let restored = Depot::on(Database::Sqlite).after(&["restore", "--from", &place]).start().await;
    wait_until_signed(&restored, "win7-office_1.ckm").await;
    assert!(newest_root(&restored).await == root, "the keys are the same");
    assert!(timestamp(&restored).await > before + 1000);
    // It has seen more than the backup has, and is not stuck.
    machine.pull(&tree_over_http(&restored)).await.successful();
}

async fn what_is_signed_has_the_headers_of_a_file_that_never_changes(database: Database) {
    let depot = Depot::start(database).await;
    newest_root(&depot).await;
    let anyone = depot.anonymous();
    let root = anyone.get_tree("tuf/1.root.json").await.expecting(200);
    assert_eq!(
        root.header("cache-control"),
        Some("public, max-age=86400, immutable, no-transform")
    );
    assert_eq!(root.header("content-type"), Some("application/json"));
    let timestamp = anyone.get_tree("tuf/timestamp.json").await.expecting(200);
    assert_eq!(timestamp.header("cache-control"), Some("public, max-age=1, no-transform"));
    for name in ["2.root.json", "0.root.json", "9.snapshot.json", "1.bin-zz.json", "x", ""] {
        let answer = anyone.get_tree(&format!("tuf/{name}")).await;
        assert_eq!(answer.status, 404, "{name}");
    }
    trust_command(&depot, &["rotate", "root"]).await.successful();
    eventually("the next root is there", || async {
        (anyone.get_tree("tuf/2.root.json").await.status == 200).then_some(())
    })
    .await;
    let exported = depot.scratch().join("root.json").display().to_string();
    trust_command(&depot, &["export-root", "--out", &exported]).await.successful();
    let newest = anyone.get("/api/v1/trust/root.json").await.expecting(200).body;
    assert!(std::fs::read(&exported).expect("the root") == newest);
    assert_eq!(version(&newest), 2);
    // A root that somebody relies on is not replaced.
    assert_eq!(trust_command(&depot, &["export-root", "--out", &exported]).await.code, 6);
    let backup = trust_command(&depot, &["show", "--output", "json"]).await.successful();
    assert_eq!(backup.last_line()["roles"][0]["keys_here"], 1);
}

async fn bins_ask_for_credentials_where_a_channel_does(database: Database) {
    let depot = Depot::start(database).await;
    newest_root(&depot).await;
    let anyone = depot.anonymous();
    anyone.get_tree("tuf/1.bin-00.json").await.expecting(200);
    let secret = json!({"name": "secret", "read": "authenticated"});
    depot.admin().post("/api/v1/channels").json(&secret).await.expecting(201);
    anyone.get_tree("tuf/1.bin-00.json").await.problem(401);
    let known = depot.user_with_role("client").await;
    let bin = known.get_tree("tuf/1.bin-00.json").await.expecting(200);
    assert_eq!(bin.header("cache-control"), Some("private, no-store"));
    anyone.get_tree("tuf/timestamp.json").await.expecting(200);
}

async fn the_folder_of_what_is_signed_is_no_channel_s(database: Database) {
    let depot = Depot::start(database).await;
    for body in [json!({"name": "tuf"}), json!({"name": "lab", "folder": "TUF"})] {
        let refused = depot.admin().post("/api/v1/channels").json(&body).await;
        refused.problem(422);
        assert!(refused.text().contains("reserved"), "{}", refused.text());
    }
}
