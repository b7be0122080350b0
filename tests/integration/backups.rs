//! Backups: taken while everything goes on, and what is restored from one answers as before.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::actions::{assignment_path, ckm, file_path, index, revision_path};
use crate::harness::command::{Finished, imagedepot, kill_after, run};
use crate::harness::folder::files_below;
use crate::harness::{
    Database, Depot, Person, Store, eventually, on_both_databases, on_both_databases_and_stores,
    sample,
};

on_both_databases_and_stores![
    a_backup_under_load_restores_to_the_same_answers,
    a_catalog_that_is_lost_is_rebuilt_from_the_tree_to_the_same_update_checks,
];
on_both_databases![
    a_backup_copies_each_file_once_and_old_ones_go,
    what_a_backup_lacks_is_in_quarantine_and_heals_from_another,
    a_backup_and_a_restore_that_are_killed_are_gone_on_with,
    what_cannot_be_rebuilt_is_named_and_left_where_it_is,
    damage_of_one_file_takes_no_other_with_the_same_bytes_along,
];

async fn command(depot: &Depot, arguments: &[&str]) -> Finished {
    let mut command = imagedepot([]);
    command.args(arguments).args(["--output", "json", "--data"]).arg(depot.server.data());
    command.envs(depot.environment());
    run(command).await
}

async fn back_up(depot: &Depot, place: &Path) -> Value {
    let place = place.display().to_string();
    command(depot, &["backup", "--to", &place]).await.successful().last_line()
}

/// Returns the answers that callers get for everything that there is.
async fn answers(depot: &Depot) -> BTreeMap<String, Value> {
    let (admin, client) = (depot.admin(), depot.anonymous());
    let mut answers = BTreeMap::new();
    let lists = ["images", "channels", "users", "tokens", "certificate-mappings", "audit"];
    let mut paths: Vec<String> = lists.map(|list| format!("/api/v1/{list}?limit=500")).into();
    for image in admin.get("/api/v1/images?limit=500").await.items() {
        let name = image["name"].as_str().expect("a name");
        for list in ["revisions", "promotions"] {
            paths.push(format!("/api/v1/images/{name}/{list}?limit=500"));
        }
        for channel in ["test", "production"] {
            for revision in [0, 1, 2, 1000] {
                let query =
                    format!("image={name}&channel={channel}&revision={revision}&client=pc-1");
                let told = client.get(&format!("/api/v1/update-check?{query}")).await;
                let mut told = told.json();
                // Until the client's slot.
                told["check_after_seconds"] = Value::Null;
                answers.insert(query, told);
            }
        }
    }
    for path in paths {
        let mut page = admin.get(&path).await.expecting(200).json();
        // Other servers make cursors of their own.
        page["next_cursor"] = Value::Null;
        for item in page["items"].as_array_mut().into_iter().flatten() {
            if item["sequence"].is_number() && item["folder"].is_string() {
                // Of a channel's manifest: see below.
                item["sequence"] = Value::Null;
            }
        }
        answers.insert(path, page);
    }
    for folder in ["", "test/"] {
        let manifest = client.get_tree(&format!("{folder}channel.json")).await;
        let mut manifest = manifest.expecting(200).json();
        // Readers refuse a lower number than one that they saw after the backup.
        for number in ["sequence", "issued", "expires"] {
            manifest[number] = Value::Null;
        }
        answers.insert(format!("{folder}channel.json"), manifest);
    }
    answers
}

/// Everything goes on: uploads, promotions, rollbacks, deletions.
async fn work(admin: &Person, image: &str, rounds: u64) {
    admin.create_image(image).await;
    for round in 1..=rounds {
        let revision = admin.ready_revision(image, round).await;
        admin.promote(image, "production", revision).await.expecting(200);
        if round % 3 == 0 {
            admin.roll_back(image, "production").await;
        }
        if round > 4 {
            // Refused where a channel has it.
            admin.delete(&revision_path(image, revision - 3)).await;
        }
    }
}

async fn a_backup_under_load_restores_to_the_same_answers(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).setting("tree", "grace", "1s").start().await;
    let admin = depot.admin();
    let user =
        json!({"name": "packer", "password": "a long word for packers", "roles": ["publisher"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let token = json!({"name": "robot", "roles": ["reader"]});
    let token = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let token = token["token"].as_str().expect("a token").to_owned();
    work(&admin, "before", 3).await;
    let place = depot.scratch().join("backup");
    let during = async {
        let first = back_up(&depot, &place).await;
        let second = back_up(&depot, &place).await;
        (first, second)
    };
    let one = work(&admin, "one", 8);
    let (((), ()), (first, second)) =
        tokio::join!(async { tokio::join!(one, work(&admin, "two", 8)) }, during);
    assert!(first["copied_blobs"].as_u64() >= Some(6), "{first}");
    // What was taken in the middle of it all stands by itself.
    for name in [&first["name"], &second["name"]] {
        let name = name.as_str().expect("a name");
        let middle = restored(&place, &["--at", name], database, store).await;
        is_whole(&middle).await;
    }
    admin.wait_until_published("one", "production").await;
    let last = back_up(&depot, &place).await;
    let expected = answers(&depot).await;
    let again = restored(&place, &[], database, store).await;
    for (question, told) in answers(&again).await {
        assert_eq!(told, expected[&question], "{question}, after {last}");
    }
    is_whole(&again).await;
    again.user("packer", "a long word for packers").get("/api/v1/whoami").await.expecting(200);
    again.bearer(&token).get("/api/v1/whoami").await.expecting(200);
    // The catalog goes on where it was.
    let next = again.admin().ready_revision("one", 100).await;
    // Not 9, which somebody may have got after the backup.
    assert_eq!(next, 109);
    let known = again.admin().get(&assignment_path("one", "production")).await.json();
    let promoted = again.admin().promote("one", "production", next).await.expecting(200).json();
    // Clients that were told more after the backup are told no less.
    assert_eq!(promoted["epoch"].as_i64(), known["epoch"].as_i64().map(|epoch| epoch + 101));
    let mut verify = imagedepot(["audit", "verify", "--data"]);
    verify.arg(again.server.data()).envs(again.environment());
    run(verify).await.successful();
}

async fn restored(place: &Path, more: &[&str], database: Database, store: Store) -> Depot {
    let place = place.display().to_string();
    let arguments: Vec<&str> = ["restore", "--from", &place].iter().chain(more).copied().collect();
    let setup = Depot::on(database).store(store).setting("tree", "grace", "1s");
    setup.after(&arguments).start().await
}

/// Every file that the catalog names has its bytes, and the tree has followed.
async fn is_whole(depot: &Depot) {
    let scrubbed = command(depot, &["scrub"]).await;
    assert_eq!(scrubbed.code, 0, "{}{}", scrubbed.stdout, scrubbed.stderr);
    assert_eq!(scrubbed.last_line()["damaged"], json!([]));
    let admin = depot.admin();
    for image in admin.get("/api/v1/images?limit=500").await.items() {
        let name = image["name"].as_str().expect("a name");
        let revisions = admin.get(&format!("/api/v1/images/{name}/revisions?limit=500")).await;
        for revision in revisions.items() {
            let number = revision["number"].as_u64().expect("a number");
            for file in revision["files"].as_array().expect("files") {
                let role = file["role"].as_str().expect("a role");
                let bytes = admin.get(&file_path(name, number, role)).await.expecting(200).body;
                assert_eq!(file["digest"], sample::digest(&bytes), "{name} {number} {role}");
            }
        }
        if admin.get(&assignment_path(name, "production")).await.status == 200 {
            admin.wait_until_published(name, "production").await;
        }
    }
}

#[tokio::test]
async fn two_catalogs_may_have_their_backups_in_one_place() {
    let (one, two) = (Depot::start(Database::Sqlite).await, Depot::start(Database::Sqlite).await);
    one.admin().publish_single("one", "img", &sample::bytes(1, 50_000)).await;
    two.admin().publish_single("two", "img", &sample::bytes(2, 50_000)).await;
    let place = one.scratch().join("backup").display().to_string();
    let keep_one = ["backup", "--to", &place, "--keep", "1"];
    let of_one = command(&one, &keep_one).await.successful().last_line();
    let of_two = command(&two, &keep_one).await.successful().last_line();
    assert_eq!((&of_one["pruned"], &of_two["pruned"]), (&json!(0), &json!(0)));
    let again = command(&two, &keep_one).await.successful().last_line();
    assert_eq!(again["pruned"], 1, "its own older one");
    let name = of_one["name"].as_str().expect("a name");
    let (place, at) = (Path::new(&place), ["--at", name]);
    is_whole(&restored(place, &at, Database::Sqlite, Store::Folder).await).await;
}

#[tokio::test]
async fn a_backup_goes_beside_the_store_and_the_tree() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let data = depot.server.data();
    let link = depot.scratch().join("link");
    std::os::unix::fs::symlink(data.join("MEDVImages"), &link).expect("a link");
    // The manifest may still be on its way under a hidden name.
    let files = || {
        // What is signed about the tree follows in the background.
        let whole =
            |path: &String| !path.contains("/.imagedepot-") && !path.starts_with("MEDVImages/tuf/");
        files_below(data).into_keys().filter(whole).collect::<Vec<_>>()
    };
    let before = files();
    for place in [data.to_owned(), data.join("blobs/x"), data.join("MEDVImages/x"), link.join("x")]
    {
        let place = place.display().to_string();
        let refused = command(&depot, &["backup", "--to", &place]).await;
        assert_eq!(refused.code, 1, "{place}: {}", refused.stdout);
        assert!(refused.stderr.contains("is inside the"), "{}", refused.stderr);
    }
    assert_eq!(files(), before);
    // Beside them is the operator's choice.
    back_up(&depot, &data.join("backups")).await;
}

async fn a_backup_copies_each_file_once_and_old_ones_go(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let place = depot.scratch().join("backup");
    let first = back_up(&depot, &place).await;
    assert_eq!((&first["blobs"], &first["copied_blobs"]), (&json!(2), &json!(2)));
    // Only its owner looks in: it has password hashes and keys.
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&place).expect("it"));
    assert_eq!(mode & 0o777, 0o700);
    let second = back_up(&depot, &place).await;
    assert_eq!((&second["blobs"], &second["copied_blobs"]), (&json!(2), &json!(0)));
    admin.ready_revision("win7-office", 2).await;
    admin.delete("/api/v1/channels/production?withdraw=true").await.expecting(204);
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    let target = place.display().to_string();
    let third = command(&depot, &["backup", "--to", &target, "--keep", "1"]).await;
    let third = third.successful().last_line();
    assert_eq!((&third["copied_blobs"], &third["pruned"]), (&json!(2), &json!(2)));
    let blobs = files_below(&place).into_keys().filter(|path| path.starts_with("blobs/")).count();
    assert_eq!(blobs, 2);
    let list = command(&depot, &["restore", "--from", &target, "--list"]).await.successful();
    assert_eq!(list.last_line()["backups"], json!([third["name"]]));
    // Nothing that is there is overwritten.
    let mut refused = imagedepot(["restore", "--from", &target]);
    refused.args(["--data"]).arg(depot.scratch().join("elsewhere")).envs(depot.environment());
    if database == Database::Postgres {
        let refused = run(refused).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    }
}

async fn what_a_backup_lacks_is_in_quarantine_and_heals_from_another(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let (place, other) = (depot.scratch().join("backup"), depot.scratch().join("other"));
    back_up(&depot, &place).await;
    back_up(&depot, &other).await;
    let digest = sample::digest(&ckm(1));
    let hex = digest.trim_start_matches("sha256:");
    let blob = place.join("blobs").join(&hex[..2]).join(hex);
    let mut bytes = std::fs::read(&blob).expect("the file in the backup");
    bytes[77] ^= 1;
    std::fs::write(&blob, bytes).expect("damage it");
    let index = sample::digest(&index(1));
    let hex = index.trim_start_matches("sha256:");
    std::fs::remove_file(place.join("blobs").join(&hex[..2]).join(hex)).expect("lose another");
    let place = place.display().to_string();
    // It says so, and everything else is restored.
    let restore = ["restore", "--from", &place];
    let again = Depot::on(database).after_failing(&restore, "2 files are in quarantine");
    let again = again.start().await;
    let revision = again.admin().revision("win7-office", 1).await;
    assert_eq!(revision["state"], "quarantined");
    let other = other.display().to_string();
    let healed = command(&again, &["scrub", "--heal-from", &other]).await;
    assert_eq!(healed.code, 0, "{}{}", healed.stdout, healed.stderr);
    assert_eq!(again.admin().revision("win7-office", 1).await["state"], "ready");
    eventually("the healed file is served", || async {
        let served = again.anonymous().get_tree("win7-office_1.ckm").await;
        (served.status == 200 && served.body == ckm(1)).then_some(())
    })
    .await;
}

async fn a_catalog_that_is_lost_is_rebuilt_from_the_tree_to_the_same_update_checks(
    database: Database,
    store: Store,
) {
    let mut depot = Depot::on(database).store(store).setting("tree", "grace", "1s").start().await;
    let admin = depot.admin();
    work(&admin, "win7-office", 5).await;
    admin.revoke("win7-office", 1).await.expecting(200);
    admin.publish_single("linux", "qcow2", &sample::bytes(9, 70_000)).await;
    let ring = json!({"name": "ring.1", "folder": "first", "read": "authenticated"});
    admin.post("/api/v1/channels").json(&ring).await.expecting(201);
    let deadline = json!({"revision": 3, "mandatory": true, "deadline": "2031-02-03T04:05:06Z"});
    admin.put(&assignment_path("win7-office", "ring.1")).json(&deadline).await.expecting(200);
    for (image, channel) in
        [("win7-office", "production"), ("win7-office", "ring.1"), ("linux", "production")]
    {
        admin.wait_until_published(image, channel).await;
    }
    eventually("the tree is at rest", || async {
        let published = admin.get("/api/v1/publications?limit=500").await.items();
        published.iter().all(|file| file["state"] == "published").then_some(())
    })
    .await;
    admin.wait_until_the_tree_is_complete().await;
    let (before, files) = (checks(&depot).await, depot.tree_names().await);
    depot.server.stop().await;
    depot.lose_catalog();
    let rebuilt = command(&depot, &["catalog", "rebuild"]).await.successful().last_line();
    assert_eq!((&rebuilt["channels"], &rebuilt["left"]), (&json!(3), &json!([])), "{rebuilt}");
    depot.server.start_again().await;
    assert_eq!(checks(&depot).await, before);
    is_whole(&depot).await;
    let admin = depot.admin();
    let plan = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!((&plan["steps"], &plan["foreign"]), (&json!([]), &json!([])), "{plan}");
    assert_eq!(depot.tree_names().await, files);
    // Numbers that clients may know are not given out again, and what was before can be gone back to.
    assert!(admin.draft("win7-office").await > 100);
    admin.roll_back("win7-office", "production").await.expecting(200);
    depot.anonymous().get_tree("first/channel.json").await.expecting(401);
}

/// Returns the answers of update checks on every channel.
async fn checks(depot: &Depot) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    for image in ["win7-office", "linux"] {
        for channel in ["test", "production", "ring.1"] {
            for revision in 0..7 {
                let query =
                    format!("image={image}&channel={channel}&revision={revision}&client=pc-1");
                let answer = depot.admin().get(&format!("/api/v1/update-check?{query}")).await;
                let tag = answer.header("etag").map(str::to_owned);
                let mut body = answer.expecting(200).json();
                body["check_after_seconds"] = json!(tag);
                told.insert(query, body);
            }
        }
    }
    told
}

async fn a_backup_and_a_restore_that_are_killed_are_gone_on_with(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for number in 1..=5 {
        admin
            .publish_single(&format!("image-{number}"), "img", &sample::bytes(number, 8_000_000))
            .await;
    }
    let place = depot.scratch().join("backup").display().to_string();
    for milliseconds in [50, 120, 200, 300] {
        let data = depot.server.data();
        killed(&["backup", "--to", &place], data, &depot.environment(), milliseconds).await;
    }
    let backup = command(&depot, &["backup", "--to", &place]).await.successful().last_line();
    assert_eq!(backup["blobs"], 5, "{backup}");
    let list = command(&depot, &["restore", "--from", &place, "--list"]).await.successful();
    for name in list.last_line()["backups"].as_array().expect("a list") {
        // Whatever is called a backup is one, however many were killed.
        let name = name.as_str().expect("a name");
        let again =
            Depot::on(database).after(&["restore", "--from", &place, "--at", name]).start().await;
        is_whole(&again).await;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut setup = Depot::on(database).data_on(folder.path());
    for milliseconds in [50, 120, 200, 300] {
        setup = setup.after_killing(&["restore", "--from", &place], milliseconds);
    }
    let again = setup.after(&["restore", "--from", &place]).start().await;
    is_whole(&again).await;
    let images = again.admin().get("/api/v1/images").await.items();
    assert_eq!(images.len(), 5);
}

async fn killed(
    arguments: &[&str],
    data: &Path,
    environment: &[(String, String)],
    milliseconds: u64,
) {
    let mut command = imagedepot([]);
    command.args(arguments).arg("--data").arg(data).envs(environment.iter().cloned());
    kill_after(command, milliseconds).await;
}

async fn what_cannot_be_rebuilt_is_named_and_left_where_it_is(database: Database) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    for image in ["damaged", "reissued"] {
        admin.create_image(image).await;
        for seed in 1..=2 {
            let revision = admin.ready_revision(image, seed).await;
            admin.promote(image, "production", revision).await.expecting(200);
        }
        admin.wait_until_published(image, "production").await;
    }
    // Two revisions with one file.
    let path = format!("{}/rollback", assignment_path("reissued", "production"));
    admin.post(&path).json(&json!({"as_new_revision": true})).await.expecting(200);
    admin.wait_until_published("reissued", "production").await;
    admin.wait_until_the_tree_is_complete().await;
    depot.server.stop().await;
    let tree = depot.tree();
    std::fs::write(tree.join("notes_2.txt"), "somebody's own").expect("a file");
    std::fs::create_dir(tree.join("other")).expect("a folder");
    std::os::unix::fs::symlink("/nowhere", tree.join("damaged_9.ckm")).expect("a dangling link");
    let published = tree.join("damaged_2.ckm");
    std::fs::set_permissions(&published, std::fs::Permissions::from_mode(0o644)).expect("writable");
    let mut bytes = ckm(2);
    bytes[5] ^= 1;
    std::fs::write(&published, bytes).expect("damage it");
    depot.lose_catalog();
    let rebuilt = command(&depot, &["catalog", "rebuild"]).await.successful().last_line();
    let left = rebuilt["left"].to_string();
    for words in [
        "notes_2.txt: no manifest",
        "other/: a folder without",
        "damaged_2.ckm: damaged",
        "damaged_9.ckm",
    ] {
        assert!(left.contains(words), "{words}: {rebuilt}");
    }
    depot.server.start_again().await;
    let (admin, client) = (depot.admin(), depot.anonymous());
    // Who has it stays, who wants it waits, and what follows is told as newer.
    let told = client.check_for_update("damaged", "production", 1, "pc-1").await.json();
    assert_eq!((&told["action"], &told["epoch"]), (&json!("hold"), &json!(2)), "{told}");
    let told = client.check_for_update("reissued", "production", 2, "pc-1").await.json();
    assert_eq!(told["target"]["revision"], 3, "{told}");
    let next = admin.ready_revision("damaged", 7).await;
    assert!(next > 109, "{next}");
    let promoted = admin.promote("damaged", "production", next).await.expecting(200).json();
    assert_eq!(
        promoted["epoch"],
        2 + 100 + 1,
        "clients may have been told epochs that the tree never had"
    );
    admin.wait_until_published("damaged", "production").await;
    for mine in ["notes_2.txt", "damaged_2.ckm"] {
        assert!(tree.join(mine).exists(), "{mine}");
    }
}

async fn damage_of_one_file_takes_no_other_with_the_same_bytes_along(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let bytes = sample::bytes(3, 50_000);
    for image in ["first", "second"] {
        admin.publish_single(image, "img", &bytes).await;
    }
    let mut blobs = depot.stored_files().into_iter();
    let blob = depot.server.data().join(blobs.next().expect("a blob"));
    std::fs::remove_file(blob).expect("lose it");
    let place = depot.scratch().join("backup");
    let done = back_up(&depot, &place).await;
    assert_eq!((&done["blobs"], &done["damaged"]), (&json!(1), &json!([])), "{done}");
    // Both have it again.
    let again = restored(&place, &[], database, Store::Folder).await;
    is_whole(&again).await;
}
