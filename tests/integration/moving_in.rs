//! Revisions that come from elsewhere: carried over an air gap, or found in a folder that IIS served.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path, index, revision_path};
use crate::harness::channel_folder::DOCUMENTS;
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::{
    Database, Depot, Store, eventually, on_both_databases, on_both_databases_and_stores, sample,
};

on_both_databases_and_stores![an_export_is_taken_in_with_numbers_notes_and_history];
on_both_databases![
    a_folder_that_another_server_kept_is_taken_over_where_it_is,
    what_comes_twice_is_taken_once_and_what_cannot_be_used_is_named,
];

async fn command(depot: &Depot, arguments: &[&str]) -> Finished {
    let mut command = imagedepot([]);
    command.args(arguments).args(["--output", "json", "--data"]).arg(depot.server.data());
    command.envs(depot.environment());
    run(command).await
}

#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn an_export_is_taken_in_with_numbers_notes_and_history(database: Database, store: Store) {
    let from = Depot::start(Database::Sqlite).await;
    let admin = from.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=3 {
        admin.ready_revision("win7-office", seed).await;
    }
    let words = json!({"notes": "January patches", "labels": {"ticket": "4711"}});
    admin.patch(&revision_path("win7-office", 3)).json(&words).await.expecting(200);
    let promotion = json!({"revision": 3, "note": "after the pilot"});
    let path = "/api/v1/images/win7-office/channels/production";
    admin.put(path).json(&promotion).await.expecting(200);
    admin.publish_single("linux", "qcow2", &sample::bytes(5, 100_000)).await;
    let place = from.scratch().join("carried").display().to_string();
    let export = ["export", "win7-office:3", "linux", "--to", &place];
    let exported = command(&from, &export).await.successful().last_line();
    assert_eq!(exported["revisions"].as_array().map(Vec::len), Some(2), "{exported}");

    let to = Depot::on(database).store(store).start().await;
    let import = ["import", "--from", &place, "--promote-to", "test"];
    let done = command(&to, &import).await.successful().last_line();
    let both = json!([{"image": "win7-office", "revision": 3}, {"image": "linux", "revision": 1}]);
    assert_eq!(done, json!({"taken": both, "there": [], "left": []}));
    let there = to.admin();
    let revision = there.revision("win7-office", 3).await;
    let original = admin.revision("win7-office", 3).await;
    for field in ["number", "state", "notes", "labels", "files", "sealed_at"] {
        assert_eq!(revision[field], original[field], "{field}");
    }
    let served = there.get(&file_path("win7-office", 3, "ckm")).await.expecting(200);
    assert!(served.body == ckm(3));
    // The history travels in the audit.
    let audit = there.get("/api/v1/audit?limit=500").await.items();
    let row = audit.iter().find(|row| {
        row["subject"] == "images/win7-office/revisions/3" && row["action"] == "revision.import"
    });
    let history = &row.expect("a row")["after"]["history"][0];
    assert_eq!(
        (&history["channel"], &history["note"], &history["by"]),
        (&json!("production"), &json!("after the pilot"), &json!("admin"))
    );
    there.wait_until_published("linux", "test").await;
    // Once more, nothing is copied; numbers go on behind what came.
    let again = command(&to, &["import", "--from", &place]).await.successful().last_line();
    assert_eq!(again, json!({"taken": [], "there": both, "left": []}));
    assert_eq!(there.draft("win7-office").await, 4);
    assert_eq!(there.get("/api/v1/scrub").await.json()["blobs"], 3);
    // A number that has other bytes here is not written over, and the rest is taken in all the same.
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    there.put_file("win7-office", 4, "ckm", &ckm(9)).await.expecting(201);
    there.put_file("win7-office", 4, "index", &index(9)).await.expecting(201);
    there.seal("win7-office", 4).await.expecting(200);
    for seed in 4..=5 {
        admin.ready_revision("win7-office", seed).await;
    }
    let export = ["export", "win7-office", "--to", &place];
    command(&from, &export).await.successful();
    let mixed = command(&to, &["import", "--from", &place]).await;
    assert_eq!(mixed.code, 1, "{}", mixed.stderr);
    let mixed = mixed.last_line();
    assert_eq!(mixed["taken"], json!([{"image": "win7-office", "revision": 5}]), "{mixed}");
    let left = mixed["left"].as_array().expect("what was left");
    assert!(
        left.iter()
            .any(|why| why.as_str().is_some_and(|why| why.contains("revision 4 has other bytes"))),
        "{mixed}"
    );
    assert!(
        left.iter()
            .any(|why| why.as_str().is_some_and(|why| why.contains("revision 2 was used before"))),
        "{mixed}"
    );
}

#[tokio::test]
async fn revisions_may_be_named_in_any_order() {
    let from = Depot::start(Database::Sqlite).await;
    from.admin().create_image("win7-office").await;
    for seed in 1..=3 {
        from.admin().ready_revision("win7-office", seed).await;
    }
    let place = from.scratch().join("carried").display().to_string();
    let export = ["export", "win7-office:3", "win7-office:1", "win7-office:3", "--to", &place];
    command(&from, &export).await.successful();
    let to = Depot::start(Database::Sqlite).await;
    let done = command(&to, &["import", "--from", &place]).await.successful().last_line();
    let both =
        json!([{"image": "win7-office", "revision": 1}, {"image": "win7-office", "revision": 3}]);
    assert_eq!((&done["taken"], &done["left"]), (&both, &json!([])), "{done}");
    // A mistyped place is no empty one, and is not made.
    let typo = from.scratch().join("typo").display().to_string();
    for arguments in [["import", "--from", &typo], ["restore", "--from", &typo]] {
        let refused = command(&to, &arguments).await;
        assert_eq!(refused.code, 1, "{arguments:?}");
        assert!(refused.stderr.contains("there are no backups"), "{}", refused.stderr);
        assert!(!Path::new(&typo).exists());
    }
    // What could not be taken in is told by the exit code, too, whatever else could.
    from.admin().publish_single("linux", "img", &sample::bytes(5, 50_000)).await;
    let later = from.scratch().join("later").display().to_string();
    command(&from, &["export", "win7-office:2", "linux", "--to", &later]).await.successful();
    let partly = command(&to, &["import", "--from", &later]).await;
    assert_eq!(partly.code, 1, "{}", partly.stdout);
    let told = partly.last_line();
    assert_eq!(told["taken"], json!([{"image": "linux", "revision": 1}]), "{told}");
    assert!(told["left"][0].as_str().is_some_and(|left| left.contains("was used before")));
}

#[tokio::test]
async fn what_cannot_be_read_now_keeps_its_number() {
    let depot = Depot::start(Database::Sqlite).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for number in 1..=3 {
        std::fs::write(path(&format!("xp_{number}.ckm")), ckm(number)).expect("a file");
        std::fs::write(path(&format!("xp_{number}.ckm.index")), index(number)).expect("a file");
    }
    std::fs::rename(path("xp_2.ckm"), path("aside")).expect("put it aside");
    let import = ["import", "--tree", &folder.path().display().to_string()].map(str::to_owned);
    let import: Vec<&str> = import.iter().map(String::as_str).collect();
    // Linux has files that not even root can read.
    std::os::unix::fs::symlink("/sys/bus/platform/uevent", path("xp_2.ckm")).expect("a link");
    let first = command(&depot, &import).await;
    assert_eq!(first.code, 1, "{}", first.stdout);
    assert_eq!(first.last_line()["taken"], json!([{"image": "xp", "revision": 1}]));
    std::fs::remove_file(path("xp_2.ckm")).expect("take it away");
    std::fs::rename(path("aside"), path("xp_2.ckm")).expect("put it back");
    let second = command(&depot, &import).await.successful().last_line();
    let both = json!([{"image": "xp", "revision": 2}, {"image": "xp", "revision": 3}]);
    assert_eq!(second["taken"], both, "{second}");
}

async fn a_folder_that_another_server_kept_is_taken_over_where_it_is(database: Database) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let tree = folder.path().join("data/MEDVImages");
    std::fs::create_dir_all(&tree).expect("the folder that IIS served");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let put = |name: &str, bytes: &[u8]| {
        let path = tree.join(name);
        std::fs::write(&path, bytes).expect("a file");
        std::fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(long_ago))
            .expect("its date");
    };
    for number in [3, 7] {
        put(&format!("win7-office_{number}.ckm"), &ckm(number));
        put(&format!("win7-office_{number}.ckm.index"), &index(number));
    }
    put("half_1.ckm", b"without its index");
    put("web.config", b"<configuration/>");
    let before = std::fs::metadata(tree.join("win7-office_7.ckm")).expect("a file");
    let place = tree.display().to_string();
    let import = ["import", "--tree", &place, "--promote-to", "production"];
    // The first start makes the channels; then the folder is taken over while the server runs.
    let depot = Depot::on(database).data_on(folder.path()).start().await;
    eventually("the server's own documents are written", || async {
        DOCUMENTS.iter().all(|name| tree.join(name).exists()).then_some(())
    })
    .await;
    let done = command(&depot, &import).await.successful().last_line();
    let both =
        json!([{"image": "win7-office", "revision": 3}, {"image": "win7-office", "revision": 7}]);
    assert_eq!(done["taken"], both, "{done}");
    // Two of that server, and what this one has written there: its documents, and in time the folder of `test`.
    let left = done["left"].as_array().expect("what was left");
    let left = left.iter().filter(|left| !left.to_string().contains("test: a folder"));
    assert_eq!(left.count(), 2 + DOCUMENTS.len(), "{done}");
    let admin = depot.admin();
    admin.wait_until_published("win7-office", "production").await;
    let after = std::fs::metadata(tree.join("win7-office_7.ckm")).expect("the file");
    assert_eq!((before.ino(), before.mtime()), (after.ino(), after.mtime()));
    assert_eq!(after.nlink(), 2, "a hard link to the blob");
    let told =
        depot.anonymous().check_for_update("win7-office", "production", 3, "pc-1").await.json();
    assert_eq!((&told["action"], &told["target"]["revision"]), (&json!("update"), &json!(7)));
    for number in [3, 7] {
        let served =
            depot.anonymous().get_tree(&format!("win7-office_{number}.ckm")).await.expecting(200);
        assert!(served.body == ckm(number));
        assert_eq!(served.required_header("last-modified"), "Sun, 13 Sep 2020 12:26:40 GMT");
    }
    eventually("what is nobody's revision is left alone", || async {
        let plan = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
        let mut foreign: Vec<Value> = plan["foreign"].as_array().expect("a list").clone();
        foreign.sort_by_key(ToString::to_string);
        (plan["steps"] == json!([]) && foreign == [json!("half_1.ckm"), json!("web.config")])
            .then_some(())
    })
    .await;
    assert_eq!(admin.draft("win7-office").await, 8);
}

async fn what_comes_twice_is_taken_once_and_what_cannot_be_used_is_named(database: Database) {
    let depot = Depot::start(database).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let put =
        |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    put("lab.CKM", &ckm(1));
    put("lab.ckm.INDEX", &index(1));
    put("elsewhere.bin", &ckm(2));
    std::os::unix::fs::symlink(
        folder.path().join("elsewhere.bin"),
        folder.path().join("linked_5.ckm"),
    )
    .expect("a link");
    put("linked_5.ckm.index", &index(2));
    put("huge_99999999999999999999.ckm", b"x");
    let place = folder.path().display().to_string();
    let import = ["import", "--tree", &place, "--link"];
    let first = command(&depot, &import).await.successful().last_line();
    let both = json!([{"image": "lab", "revision": 1}, {"image": "linked", "revision": 5}]);
    assert_eq!(first["taken"], both, "{first}");
    let second = command(&depot, &import).await.successful().last_line();
    assert_eq!((&second["taken"], &second["there"]), (&json!([]), &both), "{second}");
    let admin = depot.admin();
    let file = admin.get(&file_path("linked", 5, "ckm")).await.expecting(200);
    assert!(file.body == ckm(2));
    // What is a blob now is nobody's to change, and is its file and no link to one.
    let blob = std::fs::symlink_metadata(folder.path().join("lab.CKM")).expect("a file");
    assert_eq!((blob.mode() & 0o777, blob.nlink()), (0o444, 2));
    for path in depot.stored_files() {
        let metadata = std::fs::symlink_metadata(depot.server.data().join(&path)).expect("a blob");
        assert!(metadata.is_file(), "{path}");
    }
    // An export that somebody has written is held to the same rules.
    let carried = depot.scratch().join("carried");
    let target = carried.display().to_string();
    command(&depot, &["export", "lab", "--to", &target]).await.successful();
    let note = std::fs::read_dir(carried.join("exports"))
        .expect("notes")
        .next()
        .expect("one")
        .expect("one")
        .path();
    let good: Value = serde_json::from_slice(&std::fs::read(&note).expect("a note")).expect("JSON");
    for (field, value, why) in [
        ("files", json!([]), "one file of each role"),
        ("number", json!(i64::MAX), "number"),
        ("sealed_at", json!("1601-01-01T00:00:00Z"), "1970"),
        ("notes", json!("a\u{0}b"), "NUL"),
    ] {
        let mut bad = good.clone();
        bad["revisions"][0][field] = value;
        std::fs::write(&note, bad.to_string()).expect("another note");
        let refused = command(&depot, &["import", "--from", &target]).await;
        assert_eq!(refused.code, 1, "{field}");
        assert!(
            refused.last_line()["left"].to_string().contains(why),
            "{field}: {}",
            refused.stdout
        );
    }
}

#[tokio::test]
async fn an_import_begins_a_catalog_where_there_is_none() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let tree = folder.path().join("old");
    std::fs::create_dir_all(tree.join("more")).expect("a folder");
    for (name, bytes) in [("lab_3.ckm", ckm(1)), ("lab_3.ckm.index", index(1))] {
        std::fs::write(tree.join(name), bytes).expect("a file");
    }
    std::fs::write(tree.join("web.config"), "x").expect("a file");
    let data = folder.path().join("data");
    let import = async |more: &[&str]| {
        let mut import = imagedepot(["import", "--output", "json", "--tree"]);
        import.arg(&tree).arg("--data").arg(&data).args(more);
        run(import).await
    };
    let tried = import(&["--dry-run"]).await.successful().last_line();
    assert_eq!(tried["would_take"], json!([{"image": "lab", "revision": 3}]));
    let left = tried["left"].to_string();
    assert!(left.contains("web.config") && left.contains("more: a folder"), "{left}");
    // A slip in the channel's name is told before anything is made or taken.
    let slip = import(&["--promote-to", "prodution"]).await;
    assert_eq!(slip.code, 5, "{}", slip.stderr);
    assert!(slip.stderr.contains("did you mean production?"), "{}", slip.stderr);
    assert!(!data.exists());
    let done = import(&["--promote-to", "production"]).await.successful().last_line();
    assert_eq!(done["taken"], json!([{"image": "lab", "revision": 3}]));
    assert!(done["left"].to_string().contains("more: a folder"), "{done}");
    let slip = import(&["--promote-to", "prodution"]).await;
    assert_eq!(slip.code, 5, "{}", slip.stderr);
    // The first start makes the administrator, and has what came before.
    let depot = Depot::on(Database::Sqlite).data_on(folder.path()).start().await;
    let admin = depot.admin();
    admin.get("/api/v1/channels/test").await.expecting(200);
    assert_eq!(admin.assignment("lab", "production").await["revision"], 3);
}

#[tokio::test]
async fn an_import_as_another_user_than_the_service_is_refused() {
    use std::os::unix::fs::chown;
    let mut depot = Depot::start(Database::Sqlite).await;
    depot.server.stop().await;
    let tree = depot.scratch().join("old");
    std::fs::create_dir(&tree).expect("a folder");
    std::fs::write(tree.join("lab_3.ckm"), ckm(1)).expect("a file");
    std::fs::write(tree.join("lab_3.ckm.index"), index(1)).expect("a file");
    let catalog = depot.server.data().join("catalog.sqlite");
    if chown(&catalog, Some(65534), None).is_err() {
        // Who may give no file away is not root, and meets nobody else's.
        return;
    }
    let place = tree.display().to_string();
    let refused = command(&depot, &["import", "--tree", &place]).await;
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("65534"), "{}", refused.stderr);
    assert!(depot.stored_files().is_empty(), "something was taken");
    chown(&catalog, Some(0), None).expect("as it was");
    command(&depot, &["import", "--tree", &place]).await.successful();
}
