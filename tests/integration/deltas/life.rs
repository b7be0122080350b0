//! Transfer files in a revision's life: revoked, damaged, backed up, rebuilt, made again after a kill.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::{
    changed, depot, first, has_transfer_files, is_transfer_file, publish, setup, transfer_files,
};
use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot, Store, eventually, on_both_databases, sample};

on_both_databases![
    what_is_revoked_leaves_with_its_transfer_files,
    a_damaged_transfer_file_is_made_again_and_nobody_else_suffers,
    a_backup_has_the_transfer_files_and_a_rebuild_makes_them_again,
    a_server_that_is_killed_while_it_makes_them_makes_them_again,
];

/// Runs a command on the depot's catalog.
async fn command(depot: &Depot, arguments: &[&str]) {
    let mut command = imagedepot([]);
    command.args(arguments).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(command).await.successful();
}

async fn what_is_revoked_leaves_with_its_transfer_files(database: Database) {
    let depot = depot(database, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    publish(&admin, &[one.clone(), changed(&one, 2)]).await;
    let stored = depot.stored_files().len();
    let revoke = "/api/v1/images/win7/revisions/2/revoke?rollback=true";
    admin.post(revoke).await.expecting(200);
    let gone = admin.get_tree("win7_2.vhdx.chunks").await;
    assert_eq!(gone.status, 410, "{}", gone.text());
    assert_eq!(admin.get_tree("win7_2.vhdx.from-1.delta").await.status, 404);
    eventually("they leave the tree", async || {
        let names = depot.tree_names().await;
        (!names.iter().any(|name| name.starts_with("win7_2"))).then_some(())
    })
    .await;
    admin.post("/api/v1/gc").await.expecting(200);
    assert_eq!(depot.stored_files().len(), stored - 2, "they leave the store, too");
    // The base of a delta may be revoked; the delta stays.
    admin.draft("win7").await;
    admin.put_file("win7", 3, "image", &changed(&one, 3)).await.expecting(201);
    admin.seal("win7", 3).await.expecting(200);
    admin.promote("win7", "production", 3).await.expecting(200);
    let delta = "win7_3.vhdx.from-1.delta".to_owned();
    eventually("the delta is made", async || {
        transfer_files(&admin).await.contains(&delta).then_some(())
    })
    .await;
    admin.post("/api/v1/images/win7/revisions/1/revoke").await.expecting(200);
    admin.wait_until_the_tree_is_complete().await;
    assert_eq!(admin.get_tree("win7_3.vhdx.from-1.delta").await.status, 200);
}

/// The stored file that begins like this.
fn stored(depot: &Depot, magic: &[u8]) -> PathBuf {
    let data = depot.server.data();
    let paths = depot.stored_files().into_iter().map(|path| data.join(path));
    let mut found = paths.filter(|path| begins_with(path, magic));
    found.next().expect("a stored file")
}

fn begins_with(path: &Path, magic: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(magic))
}

async fn a_damaged_transfer_file_is_made_again_and_nobody_else_suffers(database: Database) {
    let depot = depot(database, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    publish(&admin, &[one.clone(), changed(&one, 2)]).await;
    let before = admin.get_tree("win7_2.vhdx.from-1.delta").await.expecting(200).body;
    let blob = stored(&depot, b"IMGDELT1");
    let mut bytes = std::fs::read(&blob).expect("the delta");
    bytes[200] ^= 1;
    std::fs::set_permissions(&blob, Permissions::from_mode(0o644)).expect("writable");
    std::fs::write(&blob, &bytes).expect("damage it");
    admin.post("/api/v1/scrub").await.expecting(202);
    eventually("the delta is made again", async || {
        let now = admin.get_tree("win7_2.vhdx.from-1.delta").await;
        let names = transfer_files(&admin).await;
        let is_there = names.contains(&"win7_2.vhdx.from-1.delta".to_owned());
        (now.status == 200 && now.body == before && is_there && !blob.exists()).then_some(())
    })
    .await;
    assert_eq!(admin.revision("win7", 2).await["state"], "ready");
    let published = std::fs::read(depot.tree().join("win7_2.vhdx.from-1.delta"));
    assert!(published.expect("the delta") == before);
}

async fn a_backup_has_the_transfer_files_and_a_rebuild_makes_them_again(database: Database) {
    let mut depot = depot(database, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    publish(&admin, &[one.clone(), changed(&one, 2)]).await;
    let names = transfer_files(&admin).await;
    let delta = admin.get_tree("win7_2.vhdx.from-1.delta").await.expecting(200).body;
    let place = depot.scratch().join("backups").display().to_string();
    command(&depot, &["backup", "--to", &place]).await;

    let again = setup(database).after(&["restore", "--from", &place]).start().await;
    let restored = again.admin();
    assert!(restored.get_tree("win7_2.vhdx.from-1.delta").await.expecting(200).body == delta);
    eventually("the tree has them", async || {
        (transfer_files(&restored).await == names).then_some(())
    })
    .await;

    depot.server.stop().await;
    depot.lose_catalog();
    command(&depot, &["catalog", "rebuild"]).await;
    assert!(!depot.tree_names().await.iter().any(|name| is_transfer_file(name)));
    // The accounts are lost, too.
    depot.server.start_again().await;
    eventually("they are made again", async || {
        let tree = depot.tree_names().await;
        names.iter().all(|name| tree.contains(name)).then_some(())
    })
    .await;
    assert!(std::fs::read(depot.tree().join("win7_2.vhdx.from-1.delta")).expect("it") == delta);
}

async fn a_server_that_is_killed_while_it_makes_them_makes_them_again(database: Database) {
    // Slow enough to be killed meanwhile.
    let mut depot = setup(database).setting("delta", "bandwidth", "4 MiB").start().await;
    let admin = depot.admin();
    let one = first();
    admin.create_single_image("win7", "vhdx").await;
    for (revision, bytes) in [(1, one.clone()), (2, changed(&one, 2))] {
        admin.draft("win7").await;
        admin.put_file("win7", revision, "image", &bytes).await.expecting(201);
        admin.seal("win7", revision).await.expecting(200);
        admin.promote("win7", "production", revision).await.expecting(200);
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(500 + sample::random_below(1500))).await;
            depot.server.kill();
            depot.server.start_again().await;
        }
    }
    has_transfer_files(&admin, 2, true).await;
    let status = admin.get("/api/v1/status").await.expecting(200).json();
    assert_eq!(status["storage"]["reserved"], json!(0), "{status}");
}

#[tokio::test]
async fn a_delta_is_shown_only_where_its_base_was_assigned() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    publish(&admin, std::slice::from_ref(&one)).await;
    // The second one was for the test channel alone.
    for (revision, seed, channels) in [(2, 2, &["test"][..]), (3, 3, &["test", "production"])] {
        admin.draft("win7").await;
        admin.put_file("win7", revision, "image", &changed(&one, seed)).await.expecting(201);
        admin.seal("win7", revision).await.expecting(200);
        for channel in channels {
            admin.promote("win7", channel, revision).await.expecting(200);
        }
    }
    let wanted = ["test/win7_3.vhdx.from-2.delta", "win7_3.vhdx.from-1.delta"];
    eventually("the deltas are made", async || {
        let names = transfer_files(&admin).await;
        wanted.iter().all(|name| names.contains(&(*name).to_owned())).then_some(())
    })
    .await;
    for hidden in ["win7_3.vhdx.from-2.delta", "test/win7_3.vhdx.from-1.delta"] {
        assert_eq!(admin.get_tree(hidden).await.status, 404, "{hidden}");
        assert!(!transfer_files(&admin).await.contains(&hidden.to_owned()), "{hidden}");
    }
}

#[tokio::test]
async fn a_lost_transfer_file_neither_ends_a_backup_nor_holds_up_the_tree() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    publish(&admin, &[one.clone(), changed(&one, 2)]).await;
    std::fs::remove_file(stored(&depot, b"IMGDELT1")).expect("lose it");
    let place = depot.scratch().join("backups").display().to_string();
    let mut backup = imagedepot(["backup", "--to", &place, "--data"]);
    backup.arg(depot.server.data()).envs(depot.environment());
    let taken = run(backup).await;
    assert!([0, 1].contains(&taken.code), "{}", taken.stderr);
    // Its file in the tree is gone as well, and cannot be put back.
    std::fs::remove_file(depot.tree().join("win7_2.vhdx.from-1.delta")).expect("remove it");
    admin.publish_single("other", "img", b"another image of the folder").await;
    admin.wait_until_published("other", "production").await;
    has_transfer_files(&admin, 2, true).await;
    eventually("it is in the tree again", async || {
        depot.tree().join("win7_2.vhdx.from-1.delta").exists().then_some(())
    })
    .await;
}

#[tokio::test]
async fn none_are_made_where_nobody_wants_them_or_nothing_is_saved() {
    let unwanted = Depot::start(Database::Sqlite).await;
    unwanted.admin().publish_single("win7", "vhdx", &first()).await;
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let admin = depot.admin();
    // Small files have none, and two files that have nothing in common have no delta.
    admin.publish_single("small", "img", &sample::bytes(1, 1 << 20)).await;
    admin.create_single_image("win7", "vhdx").await;
    for (revision, seed) in [(1, 1), (2, 2)] {
        admin.draft("win7").await;
        let bytes = sample::bytes(seed, 5 << 20);
        admin.put_file("win7", revision, "image", &bytes).await.expecting(201);
        admin.seal("win7", revision).await.expecting(200);
        admin.promote("win7", "production", revision).await.expecting(200);
        has_transfer_files(&admin, revision, false).await;
    }
    let forecast = admin.get("/api/v1/images/win7/revisions/2/delta?from=1").await;
    assert_eq!(forecast.expecting(200).json()["via"], "whole");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The first revision is in the folder for its grace alone.
    let names = transfer_files(&admin).await;
    assert!(names.iter().all(|name| name.ends_with("vhdx.chunks")), "{names:?}");
    assert!(transfer_files(&unwanted.admin()).await.is_empty());
    let forecast = unwanted.admin().get("/api/v1/images/win7/revisions/1/delta?from=1").await;
    assert_eq!(forecast.problem(422), "invalid_value");
    let forecast = unwanted.admin().get("/api/v1/images/win7/revisions/1/delta?from=7").await;
    assert_eq!(forecast.problem(404), "revision_not_found");
}
