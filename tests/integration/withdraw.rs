//! Taking out of use: an image is withdrawn from a channel, a revision is revoked or deleted, and nobody gets it any more.

use serde_json::{Value, json};

use crate::harness::actions::{assignment_path, ckm, revision_path};
use crate::harness::channel_folder::tree_of;
use crate::harness::command::{imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_bad_first_image_is_withdrawn_and_nothing_is_assigned_any_more,
    clients_of_a_withdrawn_image_wait_and_hear_its_epoch,
    a_withdrawn_image_leaves_the_folder_and_its_names_answer_until_the_grace_is_over,
    a_withdrawal_now_takes_all_files_and_their_names_at_once,
    what_was_withdrawn_is_never_rolled_back_to,
    a_withdrawal_is_tried_and_guarded_as_a_promotion_is,
    a_revocation_withdraws_where_there_is_no_way_back,
    what_is_revoked_is_gone_over_http_and_from_the_tree_without_grace,
    what_is_deleted_is_not_found_without_grace,
    a_withdrawal_survives_a_restart_and_a_backup,
];

async fn withdraw(person: &Person, query: &str) -> Answer {
    person.delete(&format!("{}{query}", assignment_path("win7-office", "production"))).await
}

async fn history(person: &Person) -> Vec<Value> {
    person.get("/api/v1/images/win7-office/promotions").await.expecting(200).items()
}

/// Returns the answer to the update check of a client that has revision 1.
async fn told(person: &Person, image: &str) -> Value {
    person.check_for_update(image, "production", 1, "pc-1").await.expecting(200).json()
}

async fn next_revision(person: &Person, seed: u64) -> u64 {
    let revision = person.ready_revision("win7-office", seed).await;
    person.promote("win7-office", "production", revision).await.expecting(200);
    person.wait_until_published("win7-office", "production").await;
    revision
}

/// Waits until the production channel's folder contains these files of revisions, and the files that belong beside
/// them.
async fn wait_for_files<const N: usize>(depot: &Depot, files: [&str; N]) {
    let expected = tree_of([""], files);
    eventually(&format!("the tree holds {expected:?}"), || async {
        let there = files_below(&depot.tree()).into_keys().filter(|path| !path.contains('/'));
        there.eq(expected.iter().cloned()).then_some(())
    })
    .await;
}

async fn a_bad_first_image_is_withdrawn_and_nothing_is_assigned_any_more(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    assert_eq!(withdraw(&admin, "").await.problem(404), "nothing_assigned");
    next_revision(&admin, 1).await;
    let mut gone = withdraw(&admin, "").await.expecting(200).json();
    // Only the answer has it, not the history.
    let reached = gone.as_object_mut().and_then(|gone| gone.remove("replicas"));
    assert_eq!(reached, Some(json!({"have": 1, "of": 1})));
    assert_eq!((&gone["kind"], &gone["revision"]), (&json!("withdraw"), &Value::Null));
    assert_eq!((&gone["epoch"], &gone["rolled_back"]), (&json!(2), &json!(false)));
    let assignment = admin.get(&assignment_path("win7-office", "production")).await;
    assert_eq!(assignment.problem(404), "nothing_assigned");
    let list = admin.get("/api/v1/images/win7-office/channels").await.expecting(200).items();
    assert!(list.is_empty(), "{list:?}");
    let history = history(&admin).await;
    assert_eq!(history[0], gone, "newest first");
    assert_eq!(history[1]["rolled_back"], true, "what was withdrawn counts as rolled back");
    assert_eq!(withdraw(&admin, "").await.problem(404), "nothing_assigned");
    let audit = admin.get("/api/v1/audit").await.expecting(200).items();
    let row = audit.iter().find(|row| row["action"] == "channel.withdraw").expect("a row");
    assert_eq!(row["before"]["revision"], 1, "{row}");
    assert_eq!((&row["after"]["revision"], &row["after"]["epoch"]), (&Value::Null, &json!(2)));
    // It may come back, as a promotion like any other.
    let again = admin.promote("win7-office", "production", 1).await.expecting(200).json();
    assert_eq!(again["epoch"], 3);
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
}

async fn clients_of_a_withdrawn_image_wait_and_hear_its_epoch(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    withdraw(&admin, "").await.expecting(200);
    for (person, who) in [(&anyone, "a visitor"), (&admin, "an admin")] {
        let told = told(person, "win7-office").await;
        assert_eq!((&told["action"], &told["reason"]), (&json!("hold"), &json!("withdrawn")));
        assert_eq!((&told["epoch"], &told["target"]), (&json!(2), &Value::Null), "{who}");
    }
    // Its name is no secret elsewhere either, and one that was never offered still is.
    let elsewhere = anyone.check_for_update("win7-office", "test", 1, "pc-1").await;
    assert_eq!(elsewhere.expecting(200).json()["reason"], "nothing_assigned");
    admin.create_image("secret").await;
    let secret = anyone.check_for_update("secret", "production", 1, "pc-1").await;
    assert_eq!(secret.problem(404), "image_not_found");
    let manifest = anyone.get_tree("channel.json").await.expecting(200).json();
    assert_eq!(manifest["images"], json!([]));
}

async fn a_withdrawn_image_leaves_the_folder_and_its_names_answer_until_the_grace_is_over(
    database: Database,
) {
    let depot = Depot::on(database).setting("tree", "grace", "3s").start().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    next_revision(&admin, 2).await;
    withdraw(&admin, "").await.expecting(200);
    // The revision before, which the channel kept, goes with it.
    anyone.get_tree("win7-office_1.ckm").await.expecting(200);
    assert!(anyone.get_tree("win7-office_2.ckm").await.expecting(200).body == ckm(2));
    anyone.get_tree("win7-office_2.ckm.index").await.problem(404);
    wait_for_files(&depot, ["win7-office_1.ckm", "win7-office_2.ckm"]).await;
    wait_for_files(&depot, []).await;
    anyone.get_tree("win7-office_2.ckm").await.problem(404);
}

async fn a_withdrawal_now_takes_all_files_and_their_names_at_once(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    admin.promote("win7-office", "test", 1).await.expecting(200);
    next_revision(&admin, 2).await;
    withdraw(&admin, "?now=true").await.expecting(200);
    for name in ["win7-office_1.ckm", "win7-office_2.ckm", "win7-office_2.ckm.index"] {
        anyone.get_tree(name).await.problem(404);
    }
    wait_for_files(&depot, []).await;
    // What another channel offers is not concerned, and what was withdrawn may come back.
    anyone.get_tree("test/win7-office_1.ckm").await.expecting(200);
    admin.promote("win7-office", "production", 2).await.expecting(200);
    anyone.get_tree("win7-office_2.ckm").await.expecting(200);
    wait_for_files(
        &depot,
        [
            "win7-office_1.ckm",
            "win7-office_1.ckm.index",
            "win7-office_2.ckm",
            "win7-office_2.ckm.index",
        ],
    )
    .await;
}

async fn what_was_withdrawn_is_never_rolled_back_to(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    next_revision(&admin, 2).await;
    withdraw(&admin, "").await.expecting(200);
    let back = admin.roll_back("win7-office", "production").await.expecting(200).json();
    assert_eq!((&back["revision"], &back["epoch"]), (&json!(1), &json!(4)));
    let told = told(&depot.anonymous(), "win7-office").await;
    assert_eq!(told["reason"], "up_to_date");
    next_revision(&admin, 3).await;
    let back = admin.roll_back("win7-office", "production").await.expecting(200).json();
    assert_eq!(back["revision"], 1);
    admin.roll_back("win7-office", "production").await.problem(409);
}

async fn a_withdrawal_is_tried_and_guarded_as_a_promotion_is(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let tried = withdraw(&admin, "?dry_run=true").await.expecting(200).json();
    assert_eq!((&tried["kind"], &tried["epoch"]), (&json!("withdraw"), &json!(2)));
    let path = assignment_path("win7-office", "production");
    let seen = admin.get(&path).await.expecting(200);
    let old = seen.required_header("etag").to_owned();
    let again = admin.put(&format!("{path}?again=true")).json(&json!({"revision": 1}));
    again.await.expecting(200);
    admin.delete(&path).header("If-Match", &old).await.problem(412);
    let seen = admin.get(&path).await.expecting(200);
    admin.delete(&path).header("If-Match", seen.required_header("etag")).await.expecting(200);
    assert_eq!(history(&admin).await.len(), 3);
}

async fn a_revocation_withdraws_where_there_is_no_way_back(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    next_revision(&admin, 2).await;
    admin.promote("win7-office", "test", 2).await.expecting(200);
    let revoke = |revision, query: &str| {
        admin.post(&format!("{}/revoke{query}", revision_path("win7-office", revision)))
    };
    revoke(2, "").await.problem(409);
    revoke(2, "?rollback=true").await.problem(409);
    assert_eq!(admin.assignment("win7-office", "production").await["revision"], 2);
    revoke(2, "?rollback=true&withdraw=true").await.expecting(200);
    assert_eq!(admin.assignment("win7-office", "production").await["revision"], 1);
    let test = admin.get(&assignment_path("win7-office", "test")).await;
    assert_eq!(test.problem(404), "nothing_assigned");
    revoke(1, "?withdraw=true").await.expecting(200);
    let production = admin.get(&assignment_path("win7-office", "production")).await;
    assert_eq!(production.problem(404), "nothing_assigned");
    let anyone = depot.anonymous();
    let on_neither = anyone.check_for_update("win7-office", "production", 0, "pc-1").await;
    assert_eq!(on_neither.expecting(200).json()["reason"], "withdrawn");
    let told = told(&anyone, "win7-office").await;
    assert_eq!((&told["action"], &told["reason"]), (&json!("hold"), &json!("revision_revoked")));
    assert_eq!(told["epoch"], 4);
}

async fn what_is_revoked_is_gone_over_http_and_from_the_tree_without_grace(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    next_revision(&admin, 2).await;
    let path = format!("{}/revoke?rollback=true", revision_path("win7-office", 2));
    admin.post(&path).await.expecting(200);
    let gone = |answer: Answer| {
        assert_eq!(answer.required_header("cache-control"), "no-store");
        assert_eq!(answer.problem(410), "revision_revoked");
    };
    gone(anyone.get_tree("win7-office_2.ckm").await);
    gone(anyone.get_tree("win7-office_2.ckm.index").await);
    // What was only kept beside the assignment goes as fast.
    wait_for_files(&depot, ["win7-office_1.ckm", "win7-office_1.ckm.index"]).await;
    next_revision(&admin, 3).await;
    admin.revoke("win7-office", 1).await.expecting(200);
    gone(anyone.get_tree("win7-office_1.ckm").await);
    wait_for_files(&depot, ["win7-office_3.ckm", "win7-office_3.ckm.index"]).await;
    gone(anyone.get_tree("win7-office_2.ckm").await);
    // A name that it never had is no name.
    anyone.get_tree("test/win7-office_2.ckm").await.problem(404);
    admin.delete(&revision_path("win7-office", 2)).await.expecting(204);
    anyone.get_tree("win7-office_2.ckm").await.problem(404);
}

async fn what_is_deleted_is_not_found_without_grace(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let no_old = json!({"keep_old": 0});
    admin.patch("/api/v1/channels/production").json(&no_old).await.expecting(200);
    admin.published_image("win7-office", "production").await;
    next_revision(&admin, 2).await;
    anyone.get_tree("win7-office_1.ckm").await.expecting(200);
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    anyone.get_tree("win7-office_1.ckm").await.problem(404);
    wait_for_files(&depot, ["win7-office_2.ckm", "win7-office_2.ckm.index"]).await;
}

async fn a_withdrawal_survives_a_restart_and_a_backup(database: Database) {
    let mut depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    withdraw(&admin, "?now=true").await.expecting(200);
    depot.server.restart().await;
    assert_eq!(told(&anyone, "win7-office").await["reason"], "withdrawn");
    assert_eq!(history(&admin).await[0]["kind"], "withdraw");
    let place = depot.scratch().join("backup").display().to_string();
    let mut back_up = imagedepot(["backup", "--to", &place, "--data"]);
    back_up.arg(depot.server.data()).envs(depot.environment());
    run(back_up).await.successful();
    let restored = Depot::on(database).after(&["restore", "--from", &place]).start().await;
    assert_eq!(told(&restored.anonymous(), "win7-office").await["reason"], "withdrawn");
    assert_eq!(history(&restored.admin()).await, history(&admin).await);
}
