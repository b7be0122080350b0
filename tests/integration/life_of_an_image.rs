//! An image's life as an administrator with curl leads it: made, filled, sealed, promoted,
//! published, found by a client, fetched, replaced, deleted.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path, index, revision_path};
use crate::harness::channel_folder::{DOCUMENTS, tree_of};
use crate::harness::command::{curl, run};
use crate::harness::folder::{mode, published_below};
use crate::harness::{
    Database, Depot, Store, on_both_databases, on_both_databases_and_stores, sample,
};

on_both_databases_and_stores![
    curl_takes_an_image_through_its_whole_life,
    a_promotion_is_seen_by_check_and_tree_at_once,
];

on_both_databases![
    the_physical_tree_equals_what_http_serves,
    a_published_file_is_a_hard_link_that_nobody_may_write,
    channel_json_says_what_the_folder_holds,
    a_single_file_image_is_published_with_its_extension,
    sealing_names_what_is_missing,
    a_draft_s_file_may_be_replaced_and_a_sealed_one_never,
    numbers_are_never_used_again,
    a_name_is_taken_whatever_its_case,
    a_revision_that_a_channel_needs_or_that_is_protected_stays,
    lists_show_the_newest_revision_first,
];

#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn curl_takes_an_image_through_its_whole_life(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).start().await;
    let login = depot.admin().name_and_password();
    let base = depot.server.url();
    let api = format!("{base}/api/v1");
    let ckm_bytes = sample::bytes(7, 3_000_000);
    let index_bytes = sample::bytes(8, 10_000);
    let ckm_file = depot.scratch().join("win7-office.ckm");
    let index_file = depot.scratch().join("win7-office.ckm.index");
    std::fs::write(&ckm_file, &ckm_bytes).expect("write the image");
    std::fs::write(&index_file, &index_bytes).expect("write the index");

    let as_admin = || {
        let mut command = curl();
        command.args(["--user", &login]);
        command
    };
    let send = |method: &str, path: &str, body: Option<Value>| {
        let mut command = as_admin();
        command.args(["--request", method]).arg(format!("{api}{path}"));
        if let Some(body) = body {
            command.args(["--json", &body.to_string()]);
        }
        command
    };

    let image = json!({"name": "win7-office", "kind": "medv", "description": "Office PCs"});
    run(send("POST", "/images", Some(image))).await.successful();
    let draft = run(send("POST", "/images/win7-office/revisions", None)).await.successful();
    let draft: Value = serde_json::from_str(&draft.stdout).expect("a draft");
    assert_eq!((&draft["number"], &draft["state"]), (&json!(1), &json!("draft")));
    for (role, file) in [("ckm", &ckm_file), ("index", &index_file)] {
        let mut upload = as_admin();
        upload.arg("-T").arg(file).arg(format!("{base}{}", file_path("win7-office", 1, role)));
        run(upload).await.successful();
    }
    let sealed = run(send("POST", "/images/win7-office/revisions/1/seal", None)).await.successful();
    let sealed: Value = serde_json::from_str(&sealed.stdout).expect("a revision");
    assert_eq!(sealed["state"], "ready");
    assert_eq!(
        sealed["files"].as_array().expect("files").iter().map(file_facts).collect::<Vec<_>>(),
        [
            json!({"role": "ckm", "size": 3_000_000, "digest": sample::digest(&ckm_bytes)}),
            json!({"role": "index", "size": 10_000, "digest": sample::digest(&index_bytes)}),
        ]
    );
    let promotion = json!({"revision": 1, "note": "first of all"});
    run(send("PUT", "/images/win7-office/channels/production", Some(promotion))).await.successful();

    // From here on nobody has credentials: a client has none.
    let mut check = curl();
    check.arg(format!("{api}/update-check?image=win7-office&channel=production&client=pc-1"));
    let check = run(check).await.successful();
    let check: Value = serde_json::from_str(&check.stdout).expect("an update check");
    assert_eq!((&check["action"], &check["reason"]), (&json!("update"), &json!("first_install")));
    let file = &check["target"]["files"][0];
    assert_eq!(file["digest"], json!(sample::digest(&ckm_bytes)));
    let url = format!("{base}{}", file["url"].as_str().expect("a URL"));

    let fetched = depot.scratch().join("fetched.ckm");
    let mut whole = curl();
    whole.arg("--output").arg(&fetched).arg(&url);
    run(whole).await.successful();
    let mut hash = Command::new("sha256sum");
    hash.arg(&fetched);
    let hash = run(hash).await.successful().stdout;
    let expected = sample::digest(&ckm_bytes);
    assert_eq!(hash.split(' ').next(), expected.strip_prefix("sha256:"));

    // Interrupted in the middle, continued as curl does it.
    std::fs::write(&fetched, &ckm_bytes[..1_234_567]).expect("half a download");
    let mut resumed = curl();
    resumed.args(["--continue-at", "-", "--output"]).arg(&fetched).arg(&url);
    run(resumed).await.successful();
    assert!(std::fs::read(&fetched).expect("the download") == ckm_bytes, "resumed wrongly");

    for (range, bytes) in [
        ("0-0", &ckm_bytes[..1]),
        ("1000-1999", &ckm_bytes[1000..2000]),
        ("2999990-", &ckm_bytes[2_999_990..]),
        ("-17", &ckm_bytes[2_999_983..]),
    ] {
        let mut part = curl();
        part.args(["--range", range, "--output"]).arg(&fetched).arg(&url);
        run(part).await.successful();
        assert!(std::fs::read(&fetched).expect("the range") == bytes, "range {range}");
    }
    let again = depot.anonymous().check_for_update("win7-office", "production", 1, "pc-1").await;
    assert_eq!(again.expecting(200).json()["action"], "none");
}

fn file_facts(file: &Value) -> Value {
    json!({"role": file["role"], "size": file["size"], "digest": file["digest"]})
}

async fn a_promotion_is_seen_by_check_and_tree_at_once(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=5 {
        let revision = admin.ready_revision("win7-office", seed).await;
        admin.promote("win7-office", "production", revision).await.expecting(200);
        // No waiting here: what was acknowledged is visible.
        let anyone = depot.anonymous();
        let check = anyone.check_for_update("win7-office", "production", 0, "pc-1").await.json();
        assert_eq!(check["target"]["revision"], revision);
        let file = anyone.get_tree(&format!("win7-office_{revision}.ckm")).await.expecting(200);
        assert!(file.body == ckm(seed), "the tree serves other bytes than were uploaded");
        let channel = anyone.get_tree("channel.json").await.expecting(200).json();
        assert_eq!(channel["images"][0]["revision"], revision);
    }
}

async fn the_physical_tree_equals_what_http_serves(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("win10-till", "test").await;
    // The manifests are the last, each no more than once in a second.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let files = published_below(&depot.tree());
    let names: BTreeSet<_> = files.keys().cloned().collect();
    let of_revisions = [
        "win7-office_1.ckm",
        "win7-office_1.ckm.index",
        "test/win10-till_1.ckm",
        "test/win10-till_1.ckm.index",
    ];
    assert_eq!(names, tree_of(["", "test"], of_revisions));
    for name in &names {
        let served = depot.anonymous().get_tree(name).await.expecting(200);
        let on_disk = std::fs::read(depot.tree().join(name)).expect("a published file");
        assert!(served.body == on_disk, "{name} differs between folder and HTTP");
    }
}

async fn a_published_file_is_a_hard_link_that_nobody_may_write(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "test").await;
    let folder = depot.tree().join("test");
    let blobs: BTreeSet<u64> = depot
        .stored_files()
        .iter()
        .map(|path| depot.server.data().join(path).metadata().expect("a blob").ino())
        .collect();
    for name in ["win7-office_1.ckm", "win7-office_1.ckm.index"] {
        let path = folder.join(name);
        assert!(blobs.contains(&path.metadata().expect("published").ino()), "{name} is a copy");
        assert_eq!(mode(&path), 0o444, "{name}");
    }
    assert_eq!(mode(&folder), 0o755);
    assert_eq!(mode(&depot.tree()), 0o755);
    for name in DOCUMENTS {
        assert_eq!(mode(&folder.join(name)), 0o444, "{name}");
    }
}

async fn channel_json_says_what_the_folder_holds(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let before = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    admin.wait_until_published("win7-office", "production").await;
    let after = depot.anonymous().get_tree("channel.json").await.expecting(200).json();

    assert_eq!(after["channel"], "production");
    assert!(after["sequence"].as_u64() > before["sequence"].as_u64(), "{before} {after}");
    assert!(after["issued"].as_str() < after["expires"].as_str(), "{after}");
    let image = &after["images"][0];
    assert_eq!((&image["image"], &image["revision"]), (&json!("win7-office"), &json!(2)));
    assert!(image["epoch"].as_u64() > before["images"][0]["epoch"].as_u64());
    assert!(image["promotion"].is_string());
    for (file, (role, path, bytes)) in image["files"]
        .as_array()
        .expect("files")
        .iter()
        .zip([("ckm", "win7-office_2.ckm", ckm(2)), ("index", "win7-office_2.ckm.index", index(2))])
    {
        assert_eq!((&file["role"], &file["path"]), (&json!(role), &json!(path)));
        assert_eq!(file["size"], bytes.len());
        assert_eq!(file["digest"], json!(sample::digest(&bytes)));
    }
}

async fn a_single_file_image_is_published_with_its_extension(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_single_image("debian", "qcow2").await;
    let revision = admin.draft("debian").await;
    let bytes = sample::bytes(3, 70_000);
    admin.put_file("debian", revision, "image", &bytes).await.expecting(201);
    let wrong_role = admin.put_file("debian", revision, "ckm", &bytes).await;
    wrong_role.problem_of(&[404, 422]);
    admin.seal("debian", revision).await.expecting(200);
    admin.promote("debian", "production", revision).await.expecting(200);
    let served = depot.anonymous().get_tree("debian_1.qcow2").await.expecting(200);
    assert!(served.body == bytes, "other bytes than were uploaded");
    let single = json!({"name": "no-extension", "kind": "single"});
    let made = admin.post("/api/v1/images").json(&single).await.expecting(201).json();
    assert_eq!(made["extension"], "img");
}

async fn sealing_names_what_is_missing(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let revision = admin.draft("win7-office").await;
    admin.put_file("win7-office", revision, "ckm", &ckm(1)).await.expecting(201);
    let refused = admin.seal("win7-office", revision).await;
    refused.problem(409);
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("index") && !detail.contains("ckm "), "{detail}");
    admin.promote("win7-office", "test", revision).await.problem(409);
    assert_eq!(admin.revision("win7-office", revision).await["state"], "draft");
}

async fn a_draft_s_file_may_be_replaced_and_a_sealed_one_never(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let revision = admin.draft("win7-office").await;
    admin.put_file("win7-office", revision, "ckm", &ckm(1)).await.expecting(201);
    admin.put_file("win7-office", revision, "ckm", &ckm(2)).await.expecting(200);
    admin.put_file("win7-office", revision, "index", &index(2)).await.expecting(201);
    depot.comes_to_store(2).await;
    admin.seal("win7-office", revision).await.expecting(200);
    admin.put_file("win7-office", revision, "ckm", &ckm(3)).await.problem(409);
    let path = file_path("win7-office", revision, "ckm");
    assert!(admin.get(&path).await.expecting(200).body == ckm(2), "sealed bytes have changed");
    depot.comes_to_store(2).await;
}

async fn numbers_are_never_used_again(database: Database) {
    let depot = Depot::on(database).setting("store", "safety_age", "0s").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let first = admin.ready_revision("win7-office", 1).await;
    let second = admin.draft("win7-office").await;
    assert_eq!((first, second), (1, 2));
    admin.delete(&revision_path("win7-office", 2)).await.expecting(204);
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    admin.get(&revision_path("win7-office", 1)).await.problem(410);
    assert_eq!(admin.draft("win7-office").await, 3);
    admin.delete("/api/v1/images/win7-office").await.expecting(204);
    admin.get("/api/v1/images/win7-office").await.problem_of(&[404, 410]);
    admin.create_image("win7-office").await;
    assert_eq!(admin.draft("win7-office").await, 4, "the name revives with its counter");
    depot.comes_to_store(0).await;
}

async fn a_name_is_taken_whatever_its_case(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("Win7-Office").await;
    let same = json!({"name": "win7-OFFICE", "kind": "medv"});
    admin.post("/api/v1/images").json(&same).await.problem(409);
    let channel = json!({"name": "TEST"});
    admin.post("/api/v1/channels").json(&channel).await.problem(409);
}

async fn a_revision_that_a_channel_needs_or_that_is_protected_stays(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    let first = revision_path("win7-office", 1);
    admin.delete(&first).await.problem(409);
    let second = admin.ready_revision("win7-office", 2).await;
    let second = revision_path("win7-office", second);
    let notes = json!({"protected": true, "notes": "the auditors' copy", "labels": {"os": "7"}});
    let changed = admin.patch(&second).json(&notes).await.expecting(200).json();
    assert_eq!(changed["notes"], "the auditors' copy");
    admin.delete(&second).await.problem(409);
    admin.patch(&second).json(&json!({"protected": false})).await.expecting(200);
    admin.delete(&second).await.expecting(204);
    admin.get(&first).await.expecting(200);
}

async fn lists_show_the_newest_revision_first(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for _ in 0..3 {
        admin.draft("win7-office").await;
    }
    let list = admin.get("/api/v1/images/win7-office/revisions").await.expecting(200).items();
    let numbers: Vec<_> = list.iter().map(|revision| revision["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1)]);
}
