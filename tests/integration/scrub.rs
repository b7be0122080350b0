//! The scrub: one flipped byte in what is stored is found, kept from clients, and healed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path, index, revision_path};
use crate::harness::command::{imagedepot, run};
use crate::harness::folder::published_below;
use crate::harness::project::program;
use crate::harness::{
    Answer, Database, Depot, Person, Store, eventually, on_both_databases,
    on_both_databases_and_stores, sample,
};

on_both_databases_and_stores![a_damaged_blob_is_found_kept_from_clients_and_healed];
on_both_databases![
    the_same_bytes_in_another_revision_heal,
    an_import_of_what_is_there_heals_it,
    a_damaged_revision_that_nobody_offers_is_found_and_healed,
    what_was_mended_where_it_lies_is_healed_by_the_next_look,
    a_store_that_is_not_there_quarantines_nothing,
    what_cannot_be_read_stands_in_the_way_of_nothing_else,
    a_damaged_revision_may_be_deleted_and_its_bytes_go,
];

/// Returns the path of the blob that has these bytes.
fn blob_with(depot: &Depot, bytes: &[u8]) -> PathBuf {
    let data = depot.server.data();
    let path = depot.stored_files().into_iter().map(|path| data.join(path));
    let mut found = path.filter(|path| std::fs::read(path).is_ok_and(|content| content == bytes));
    found.next().expect("a blob with these bytes")
}

/// In place, as a disk does it: every name of the file shows it.
fn flip_a_byte(path: &Path) {
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
    let modified = std::fs::metadata(path).and_then(|file| file.modified()).expect("a date");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("writable");
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the blob");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], 1000).expect("flip a bit");
    // Nor does a disk change the date.
    file.set_modified(modified).expect("the date");
    file.sync_all().expect("on the disk");
}

async fn scrub(admin: &Person, query: &str) -> Value {
    admin.post(&format!("/api/v1/scrub{query}")).await.expecting(202);
    eventually("everything wanted was read", || async {
        let status = admin.get("/api/v1/scrub").await.expecting(200).json();
        (status["wanted"] == 0).then_some(status)
    })
    .await
}

async fn check(depot: &Depot, revision: u64) -> Value {
    let client = depot.anonymous();
    client
        .check_for_update("win7-office", "production", revision, "pc-1")
        .await
        .expecting(200)
        .json()
}

async fn upload_again(admin: &Person, bytes: Vec<u8>) -> Answer {
    admin.put(&file_path("win7-office", 2, "ckm")).body(bytes).await
}

/// Two revisions, the second assigned.
async fn two_revisions(depot: &Depot) -> Person {
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    admin.wait_until_published("win7-office", "production").await;
    admin
}

async fn state(admin: &Person, revision: u64) -> Value {
    admin.revision("win7-office", revision).await["state"].clone()
}

async fn a_damaged_blob_is_found_kept_from_clients_and_healed(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).start().await;
    let admin = two_revisions(&depot).await;
    let sound = scrub(&admin, "").await;
    assert_eq!((&sound["blobs"], &sound["damaged"]), (&json!(4), &json!([])));
    assert_eq!((&sound["coverage"], &sound["bytes"]), (&json!(1.0), &json!(608_000)));
    if let Some(bucket) = &depot.bucket {
        // The tree has copies: it heals by itself.
        let blobs = bucket.blobs().await;
        let mut damaged = None;
        for name in &blobs {
            if bucket.get(name).await == ckm(2) {
                let mut bytes = ckm(2);
                bytes[1000] ^= 0x10;
                bucket.put(name, &bytes).await;
                damaged = Some(name.clone());
            }
        }
        let damaged = damaged.expect("the blob");
        let healed = scrub(&admin, "").await;
        assert_eq!(healed["damaged"], json!([]), "{healed}");
        eventually("the damaged bytes are gone", || async {
            (!bucket.blobs().await.contains(&damaged)).then_some(())
        })
        .await;
        is_healed(&depot, &admin).await;
        let audit = admin.get("/api/v1/audit").await.items();
        for action in ["revision.quarantine", "revision.heal"] {
            assert!(audit.iter().any(|row| row["action"] == action), "no {action}");
        }
        return;
    }
    flip_a_byte(&blob_with(&depot, &ckm(2)));
    let found = scrub(&admin, "").await;
    let damaged = &found["damaged"][0];
    assert_eq!((&damaged["image"], &damaged["revision"]), (&json!("win7-office"), &json!(2)));
    assert_eq!(
        (&damaged["role"], &damaged["digest"]),
        (&json!("ckm"), &json!(sample::digest(&ckm(2))))
    );
    is_kept_from_clients(&depot, &admin).await;
    let other = upload_again(&admin, ckm(3)).await;
    assert_eq!(other.problem(422), "other_bytes");
    let shorter = upload_again(&admin, ckm(2)[1..].to_vec()).await;
    assert_eq!(shorter.problem(422), "other_bytes");
    let index = admin.put(&file_path("win7-office", 2, "index")).body(index(2)).await;
    assert_eq!(index.problem(409), "revision_sealed");
    is_kept_from_clients(&depot, &admin).await;
    upload_again(&admin, ckm(2)).await.expecting(200);
    is_healed(&depot, &admin).await;
    assert_eq!(scrub(&admin, "?image=win7-office&revision=2").await["damaged"], json!([]));
}

async fn is_kept_from_clients(depot: &Depot, admin: &Person) {
    assert_eq!(state(admin, 2).await, "quarantined");
    // Who has it has it whole; who wants it waits, with the assignment before.
    let told = check(depot, 2).await;
    assert_eq!(
        (&told["action"], &told["reason"]),
        (&json!("none"), &json!("up_to_date")),
        "{told}"
    );
    let told = check(depot, 1).await;
    assert_eq!((&told["action"], &told["reason"]), (&json!("hold"), &json!("halted")), "{told}");
    let told = check(depot, 0).await;
    assert_eq!(
        (&told["reason"], &told["target"]["revision"]),
        (&json!("first_install"), &json!(1)),
        "{told}"
    );
    for name in ["win7-office_2.ckm", "win7-office_2.ckm.index"] {
        depot.anonymous().get_tree(name).await.expecting(404);
    }
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    let manifest = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
    assert_eq!(manifest["images"], json!([]), "{manifest}");
    let file = admin.get(&file_path("win7-office", 2, "ckm")).await;
    assert_eq!(file.problem(409), "revision_not_ready");
    let promoted = admin.promote("win7-office", "test", 2).await;
    assert_eq!(promoted.problem(409), "revision_not_ready");
    eventually("it is out of the folder", || async {
        let names: Vec<_> = published_below(&depot.tree()).into_keys().collect();
        names.iter().all(|name| !name.starts_with("win7-office_2")).then_some(())
    })
    .await;
}

async fn is_healed(depot: &Depot, admin: &Person) {
    assert_eq!(state(admin, 2).await, "ready");
    let told = check(depot, 1).await;
    assert_eq!((&told["action"], &told["target"]["revision"]), (&json!("update"), &json!(2)));
    let served = depot.anonymous().get_tree("win7-office_2.ckm").await.expecting(200);
    assert!(served.body == ckm(2));
    admin.wait_until_published("win7-office", "production").await;
    eventually("the tree has the sound bytes", || async {
        let bytes = match &depot.bucket {
            Some(bucket) => bucket.tree().await.remove("win7-office_2.ckm"),
            None => std::fs::read(depot.tree().join("win7-office_2.ckm")).ok(),
        };
        (bytes? == ckm(2)).then_some(())
    })
    .await;
    let expected = 4;
    match &depot.bucket {
        Some(bucket) => assert_eq!(bucket.blobs().await.len(), expected),
        None => depot.comes_to_store(expected).await,
    }
}

async fn the_same_bytes_in_another_revision_heal(database: Database) {
    let depot = Depot::start(database).await;
    let admin = two_revisions(&depot).await;
    flip_a_byte(&blob_with(&depot, &ckm(2)));
    scrub(&admin, "?image=win7-office").await;
    assert_eq!(state(&admin, 2).await, "quarantined");
    let draft = admin.draft("win7-office").await;
    admin.put_file("win7-office", draft, "ckm", &ckm(2)).await.expecting(201);
    is_healed(&depot, &admin).await;
    // They share the bytes now: the draft may go, and they stay.
    admin.delete(&revision_path("win7-office", draft)).await.expecting(204);
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_healed(&depot, &admin).await;
}

async fn an_import_of_what_is_there_heals_it(database: Database) {
    let depot = Depot::start(database).await;
    let admin = two_revisions(&depot).await;
    let carried = depot.scratch().join("carried").display().to_string();
    let on_the_catalog = |arguments: &[&str]| {
        let mut command = imagedepot([]);
        command.args(arguments).args(["--output", "json", "--data"]).arg(depot.server.data());
        command.envs(depot.environment());
        run(command)
    };
    on_the_catalog(&["export", "win7-office", "--to", &carried]).await.successful();
    flip_a_byte(&blob_with(&depot, &ckm(2)));
    scrub(&admin, "?image=win7-office").await;
    assert_eq!(state(&admin, 2).await, "quarantined");
    let imported = on_the_catalog(&["import", "--from", &carried]).await.successful();
    assert_eq!(
        imported.last_line()["there"].as_array().map(Vec::len),
        Some(2),
        "{}",
        imported.stdout
    );
    // Another process did it: the server sees it within a second.
    eventually("clients are told", || async {
        (check(&depot, 1).await["action"] == "update").then_some(())
    })
    .await;
    is_healed(&depot, &admin).await;
}

async fn a_damaged_revision_that_nobody_offers_is_found_and_healed(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.revoke("win7-office", 2).await.expecting(200);
    std::fs::remove_file(blob_with(&depot, &ckm(2))).expect("lose it");
    let data = depot.server.data().display().to_string();
    let scrub = |arguments: [&'static str; 2]| {
        let mut command = imagedepot(["scrub", arguments[0], arguments[1], "--data", &data]);
        command.envs(depot.environment());
        run(command)
    };
    let found = scrub(["--output", "json"]).await;
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert_eq!(found.last_line()["damaged"][0]["what"], "it is not in the store");
    assert_eq!(state(&admin, 2).await, "quarantined");
    upload_again(&admin, ckm(2)).await.expecting(200);
    // It is what it was before.
    assert_eq!(state(&admin, 2).await, "revoked");
    assert_eq!(scrub(["--output", "text"]).await.code, 0);
}

async fn what_was_mended_where_it_lies_is_healed_by_the_next_look(database: Database) {
    let depot = Depot::start(database).await;
    let admin = two_revisions(&depot).await;
    let blob = blob_with(&depot, &ckm(2));
    flip_a_byte(&blob);
    scrub(&admin, "").await;
    assert_eq!(state(&admin, 2).await, "quarantined");
    eventually("it is out of the folder", || async {
        (!depot.tree().join("win7-office_2.ckm").exists()).then_some(())
    })
    .await;
    flip_a_byte(&blob);
    assert_eq!(scrub(&admin, "").await["damaged"], json!([]));
    is_healed(&depot, &admin).await;
}

async fn a_store_that_is_not_there_quarantines_nothing(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = two_revisions(&depot).await;
    let blobs = depot.server.data().join("blobs");
    // A disk that is not mounted.
    std::fs::rename(&blobs, depot.server.data().join("elsewhere")).expect("unmount");
    std::fs::create_dir(&blobs).expect("the empty place");
    admin.post("/api/v1/scrub").await.expecting(202);
    eventually("the scrub says why it does not go on", || async {
        depot.server.log().contains("does not say which catalog").then_some(())
    })
    .await;
    // What comes now would be under the mount point.
    eventually("the store is named", || async {
        let ready = depot.anonymous().get("/readyz").await.expecting(200).json();
        ready["degraded"].as_array()?.contains(&json!("store")).then_some(())
    })
    .await;
    let draft = admin.draft("win7-office").await;
    let refused = admin.put_file("win7-office", draft, "ckm", &ckm(9)).await;
    assert_eq!(refused.problem(503), "store_unavailable");
    // Nor is the empty place taken for the store by the next start.
    depot.server.restart().await;
    let admin = depot.admin();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = admin.get("/api/v1/scrub").await.expecting(200).json();
    assert_eq!((&status["damaged"], &status["wanted"]), (&json!([]), &json!(4)));
    assert_eq!(state(&admin, 2).await, "ready");
    let refused = admin.put_file("win7-office", draft, "ckm", &ckm(9)).await;
    assert_eq!(refused.problem(503), "store_unavailable");
    assert!(!blobs.join("imagedepot-catalog").exists());
    std::fs::remove_dir_all(&blobs).expect("the empty place");
    std::fs::rename(depot.server.data().join("elsewhere"), &blobs).expect("mount it");
    depot.server.restart().await;
    assert_eq!(scrub(&depot.admin(), "").await["damaged"], json!([]));
}

async fn what_cannot_be_read_stands_in_the_way_of_nothing_else(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=5 {
        admin.ready_revision("win7-office", seed).await;
    }
    let data = depot.server.data();
    let unreadable: Vec<_> = (1..=4).map(|seed| blob_with(&depot, &ckm(seed))).collect();
    let kept = |blob: &Path| data.join(blob.file_name().expect("a name"));
    for blob in &unreadable {
        std::fs::rename(blob, kept(blob)).expect("put it aside");
        std::os::unix::fs::symlink(blob, blob).expect("a link to itself");
    }
    flip_a_byte(&blob_with(&depot, &ckm(5)));
    let scrub = || {
        let mut command = imagedepot(["scrub", "--output", "json", "--data"]);
        command.arg(data).envs(depot.environment());
        run(command)
    };
    let told = scrub().await;
    assert_eq!(told.code, 1, "{}", told.stdout);
    assert!(told.stderr.contains("4 files could not be read"), "{}", told.stderr);
    let status = admin.get("/api/v1/scrub").await.expecting(200).json();
    assert_eq!(status["wanted"], 4, "all others were read: {status}");
    assert_eq!(status["damaged"][0]["revision"], 5, "{status}");
    for blob in &unreadable {
        std::fs::remove_file(blob).expect("take the link away");
        std::fs::rename(kept(blob), blob).expect("put it back");
    }
    let told = scrub().await;
    assert_eq!(told.code, 1, "one is damaged");
    assert_eq!(admin.get("/api/v1/scrub").await.json()["wanted"], 0);
}

async fn a_damaged_revision_may_be_deleted_and_its_bytes_go(database: Database) {
    let depot = Depot::on(database).setting("store", "safety_age", "0s").start().await;
    let admin = two_revisions(&depot).await;
    flip_a_byte(&blob_with(&depot, &ckm(1)));
    // With its other name, by which it would heal.
    std::fs::remove_file(depot.tree().join("win7-office_1.ckm.index")).expect("lose it");
    std::fs::remove_file(blob_with(&depot, &index(1))).expect("lose it");
    let status = scrub(&admin, "").await;
    assert_eq!(status["damaged"].as_array().map(Vec::len), Some(2), "{status}");
    // What is known to be damaged stands in no one's way.
    admin.post("/api/v1/gc").await.expecting(200);
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(404);
    depot.comes_to_store(2).await;
    eventually("nothing is left of it", || async {
        let done = admin.post("/api/v1/gc").await.expecting(200).json();
        (done["waiting"]["blobs"] == 0).then_some(())
    })
    .await;
    assert_eq!(admin.get("/api/v1/scrub").await.json()["damaged"], json!([]));
}

#[tokio::test]
async fn a_scrub_by_hand_reads_as_fast_as_it_is_told() {
    let depot = Depot::on(Database::Sqlite).setting("scrub", "bandwidth", "100 kB").start().await;
    let admin = depot.admin();
    admin.publish_single("debian", "qcow2", &sample::bytes(9, 1_000_000)).await;
    let took = async |more: &[&str]| {
        let mut scrub = imagedepot(["scrub", "--data"]);
        scrub.arg(depot.server.data()).args(more);
        let began = std::time::Instant::now();
        run(scrub).await.successful();
        began.elapsed()
    };
    // At the servers' pace it would take ten seconds.
    let fast = took(&[]).await;
    assert!(fast < Duration::from_secs(5), "{fast:?}");
    let slow = took(&["--bandwidth", "400kB"]).await;
    assert!(slow > Duration::from_secs(2), "{slow:?}");
}

/// `script` (util-linux) gives it a terminal.
#[tokio::test]
async fn a_scrub_by_hand_shows_on_a_terminal_how_far_it_is() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    for (seed, image) in [(1, "debian"), (2, "fedora"), (3, "suse")] {
        admin.publish_single(image, "qcow2", &sample::bytes(seed, 500_000)).await;
    }
    let program = program();
    let data = depot.server.data().display().to_string();
    let command = format!("{program} scrub --data {data} --bandwidth 500kB");
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let shown = run(script).await.successful().stdout;
    assert!(shown.contains("1 of 3 blobs") && shown.contains(" left"), "{shown:?}");
    assert!(shown.contains("3 blobs, 1.4 MiB"), "{shown:?}");
}
