//! The physical tree follows the catalog: in the right order, without touching what is right or
//! what is not its own, and by itself after damage.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{ckm, index};
use crate::harness::channel_folder::{DOCUMENTS, tree_of};
use crate::harness::folder::{files_below, fingerprint};
use crate::harness::watch::{Event, FolderWatch};
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    the_ckm_appears_before_the_index,
    withdrawal_takes_the_index_at_once_and_the_ckm_after_the_grace,
    a_foreign_file_is_listed_and_never_deleted,
    what_is_right_already_is_never_touched,
    a_deleted_file_is_published_again_at_start,
    a_damaged_file_is_repaired_at_start,
    old_revisions_stay_as_long_as_the_channel_says,
    a_channel_of_one_s_own_has_its_folder,
    a_folder_is_unique_and_lies_in_no_other,
    a_plan_changes_nothing,
    staging_and_drafts_are_never_served,
    a_deleted_channel_leaves_the_tree,
];

/// Names of the files in one folder of the tree, without those of folders below it: another
/// channel's. What is not there holds nothing.
fn names(folder: &Path) -> BTreeSet<String> {
    files_below(folder).into_keys().filter(|path| !path.contains('/')).collect()
}

async fn next_revision(person: &Person, channel: &str, seed: u64) -> u64 {
    let revision = person.ready_revision("win7-office", seed).await;
    person.promote("win7-office", channel, revision).await.expecting(200);
    person.wait_until_published("win7-office", channel).await;
    revision
}

/// Waits until a channel's folder contains these files of revisions, and the files that belong beside them.
async fn wait_for_files<const N: usize>(folder: &Path, files: [&str; N]) {
    let expected = tree_of([""], files);
    eventually(&format!("{} holds {expected:?}", folder.display()), || async {
        (names(folder) == expected).then_some(())
    })
    .await;
}

/// The place of an event among others.
#[track_caller]
fn position(events: &[Event], wanted: &Event) -> usize {
    let found = events.iter().position(|event| event == wanted);
    found.unwrap_or_else(|| panic!("{wanted:?} is not among {events:?}"))
}

async fn the_ckm_appears_before_the_index(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    for seed in 2..=6 {
        let watch = FolderWatch::on(&depot.tree());
        let revision = next_revision(&admin, "production", seed).await;
        let events = watch.events();
        let appeared = |name: String| position(&events, &Event::Appeared(name));
        let ckm = appeared(format!("win7-office_{revision}.ckm"));
        let index = appeared(format!("win7-office_{revision}.ckm.index"));
        assert!(ckm < index, "{events:?}");
        // Under their final names they are there once and for all: complete from the start.
        let gone = Event::Vanished(format!("win7-office_{revision}.ckm"));
        assert!(!events.contains(&gone), "{events:?}");
    }
}

async fn withdrawal_takes_the_index_at_once_and_the_ckm_after_the_grace(database: Database) {
    let depot = Depot::on(database).setting("tree", "grace", "3s").start().await;
    let admin = depot.admin();
    let no_old = json!({"keep_old": 0});
    admin.patch("/api/v1/channels/production").json(&no_old).await.expecting(200);
    admin.published_image("win7-office", "production").await;
    let watch = FolderWatch::on(&depot.tree());
    next_revision(&admin, "production", 2).await;
    wait_for_files(
        &depot.tree(),
        ["win7-office_1.ckm", "win7-office_2.ckm", "win7-office_2.ckm.index"],
    )
    .await;
    // The name answers over HTTP as long as the file is there: a download may be under way.
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    wait_for_files(&depot.tree(), ["win7-office_2.ckm", "win7-office_2.ckm.index"]).await;
    let events = watch.events();
    let index = position(&events, &Event::Vanished("win7-office_1.ckm.index".into()));
    let ckm = position(&events, &Event::Vanished("win7-office_1.ckm".into()));
    assert!(index < ckm, "{events:?}");
    depot.anonymous().get_tree("win7-office_1.ckm").await.problem(404);
}

async fn a_foreign_file_is_listed_and_never_deleted(database: Database) {
    let mut depot = Depot::on(database).setting("tree", "grace", "0s").start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    let foreign = ["readme.txt", "test/by-hand_7.ckm", "test/win7-office_99.ckm"];
    for path in foreign {
        std::fs::write(depot.tree().join(path), "somebody's own").expect("write beside the tree");
    }
    let plan = admin.post("/api/v1/publications/reconcile?dry_run=true").await.expecting(200);
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    next_revision(&admin, "test", 2).await;
    next_revision(&admin, "test", 3).await;
    depot.server.restart().await;
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    for path in foreign {
        assert!(
            plan.json().to_string().contains(path),
            "{path} is not in the plan: {}",
            plan.text()
        );
        let text = std::fs::read_to_string(depot.tree().join(path)).expect("a foreign file");
        assert_eq!(text, "somebody's own", "{path}");
        depot.anonymous().get_tree(path).await.problem(404);
    }
}

async fn what_is_right_already_is_never_touched(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let files = ["win7-office_1.ckm", "win7-office_1.ckm.index"];
    let files: Vec<_> = files.into_iter().chain(DOCUMENTS).collect();
    let look = |depot: &Depot| -> Vec<_> {
        files.iter().map(|name| fingerprint(&depot.tree().join(name))).collect()
    };
    admin.wait_until_the_tree_is_complete().await;
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    let before = look(&depot);
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    assert_eq!(look(&depot), before, "a reconciliation touched a file");
    admin.published_image("win10-till", "test").await;
    assert_eq!(look(&depot), before, "another channel's promotion touched a file");
    depot.server.restart().await;
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    assert_eq!(look(&depot), before, "a restart touched a file");
    next_revision(&admin, "production", 2).await;
    assert_eq!(look(&depot)[..2], before[..2], "the next promotion touched the revision before");
    // Behind the files that they name.
    eventually("the documents say something new", || async {
        let now = look(&depot);
        now.iter().zip(&before).skip(2).all(|(now, before)| now != before).then_some(())
    })
    .await;
}

async fn a_deleted_file_is_published_again_at_start(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    depot.server.stop().await;
    for name in ["win7-office_1.ckm"].into_iter().chain(DOCUMENTS) {
        std::fs::remove_file(depot.tree().join(name)).expect("delete a published file");
    }
    depot.server.start_again().await;
    wait_for_files(&depot.tree(), ["win7-office_1.ckm", "win7-office_1.ckm.index"]).await;
    let file = std::fs::read(depot.tree().join("win7-office_1.ckm")).expect("published again");
    assert!(file == ckm(1), "published again with other bytes");
    // While the server runs, a reconciliation does the same.
    // It may be writing there just then.
    eventually("the whole tree is deleted", || async {
        std::fs::remove_dir_all(depot.tree()).ok()
    })
    .await;
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    wait_for_files(&depot.tree(), ["win7-office_1.ckm", "win7-office_1.ckm.index"]).await;
}

async fn a_damaged_file_is_repaired_at_start(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    depot.server.stop().await;
    let path = depot.tree().join("win7-office_1.ckm.index");
    std::fs::remove_file(&path).expect("delete the index");
    std::fs::write(&path, "short").expect("put something else in its place");
    depot.server.start_again().await;
    eventually("the index is repaired", || async {
        (std::fs::read(&path).ok()? == index(1)).then_some(())
    })
    .await;
}

async fn old_revisions_stay_as_long_as_the_channel_says(database: Database) {
    let depot = Depot::on(database).setting("tree", "grace", "0s").start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    for seed in 2..=4 {
        next_revision(&admin, "production", seed).await;
    }
    let kept = |revisions: [u64; 2]| -> [String; 4] {
        let [older, newer] = revisions;
        [
            format!("win7-office_{older}.ckm"),
            format!("win7-office_{older}.ckm.index"),
            format!("win7-office_{newer}.ckm"),
            format!("win7-office_{newer}.ckm.index"),
        ]
    };
    wait_for_files(&depot.tree(), kept([3, 4]).each_ref().map(String::as_str)).await;
    // What was rolled back from is not kept.
    admin.roll_back("win7-office", "production").await.expecting(200);
    wait_for_files(&depot.tree(), kept([2, 3]).each_ref().map(String::as_str)).await;
    let none = json!({"keep_old": 0});
    admin.patch("/api/v1/channels/production").json(&none).await.expecting(200);
    wait_for_files(&depot.tree(), ["win7-office_3.ckm", "win7-office_3.ckm.index"]).await;
}

async fn a_channel_of_one_s_own_has_its_folder(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let channel = json!({"name": "pilot", "folder": "pilot-ring"});
    let made = admin.post("/api/v1/channels").json(&channel).await.expecting(201);
    assert!(made.required_header("location").ends_with("/api/v1/channels/pilot"));
    let made = made.json();
    assert_eq!((&made["keep_old"], &made["read"]), (&json!(1), &json!("everyone")));
    admin.published_image("win7-office", "pilot").await;
    wait_for_files(
        &depot.tree().join("pilot-ring"),
        ["win7-office_1.ckm", "win7-office_1.ckm.index"],
    )
    .await;
    depot.anonymous().get_tree("pilot-ring/win7-office_1.ckm").await.expecting(200);
    depot.anonymous().get_tree("win7-office_1.ckm").await.problem(404);
    depot.anonymous().get_tree("pilot/win7-office_1.ckm").await.problem(404);
}

async fn a_folder_is_unique_and_lies_in_no_other(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let first = json!({"name": "pilot", "folder": "ring"});
    admin.post("/api/v1/channels").json(&first).await.expecting(201);
    for folder in ["ring", "RING", "ring/inner", "test", "../ring", "channel.json", "/ring", "a//b"]
    {
        let channel = json!({"name": "other", "folder": folder});
        let refused = admin.post("/api/v1/channels").json(&channel).await;
        refused.problem_of(&[409, 422]);
    }
    admin.get("/api/v1/channels/other").await.problem(404);
}

async fn a_plan_changes_nothing(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.wait_until_the_tree_is_complete().await;
    // A reconciliation that is due anyway, such as that after a signing, may put the index back.
    eventually("a plan names the index that was deleted, and does not put it back", || async {
        let _there_or_not = std::fs::remove_file(depot.tree().join("win7-office_1.ckm.index"));
        let plan = admin.post("/api/v1/publications/reconcile?dry_run=true").await.expecting(200);
        let is_named = plan.json().to_string().contains("win7-office_1.ckm.index");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let is_there = names(&depot.tree()).contains("win7-office_1.ckm.index");
        (is_named && !is_there).then_some(())
    })
    .await;
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    wait_for_files(&depot.tree(), ["win7-office_1.ckm", "win7-office_1.ckm.index"]).await;
    let list = admin.get("/api/v1/publications").await.expecting(200);
    assert!(list.json().to_string().contains("win7-office_1.ckm.index"), "{}", list.text());
}

async fn staging_and_drafts_are_never_served(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = admin.draft("win7-office").await;
    admin.put_file("win7-office", draft, "ckm", &ckm(1)).await.expecting(201);
    admin.ready_revision("win7-office", 2).await;
    std::fs::create_dir_all(depot.tree()).expect("the tree");
    std::fs::write(depot.tree().join(".hidden"), "x").expect("write a hidden file");
    let stored = depot.stored_files();
    let paths =
        ["win7-office_1.ckm", "win7-office_2.ckm", ".hidden", ".staging", "", "test/", "test"];
    for path in paths.into_iter().chain(stored.iter().map(String::as_str)) {
        depot.anonymous().get_tree(path).await.problem_of(&[403, 404]);
    }
}

async fn a_deleted_channel_leaves_the_tree(database: Database) {
    let depot = Depot::on(database).setting("tree", "grace", "0s").start().await;
    let admin = depot.admin();
    admin.post("/api/v1/channels").json(&json!({"name": "pilot"})).await.expecting(201);
    admin.published_image("win7-office", "pilot").await;
    // Clients may still be on it: that it goes has to be said twice.
    admin.delete("/api/v1/channels/pilot").await.problem(409);
    admin.delete("/api/v1/channels/pilot?withdraw=true").await.expecting(204);
    eventually("nothing is left of the folder", || async {
        names(&depot.tree().join("pilot")).is_empty().then_some(())
    })
    .await;
    admin.get("/api/v1/channels/pilot").await.problem(404);
    depot.anonymous().get_tree("pilot/win7-office_1.ckm").await.problem(404);
}
