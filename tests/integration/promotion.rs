//! Which revision a channel is assigned: promotion, its history, races, rollback, revocation.

use serde_json::{Value, json};

use crate::harness::actions::{assignment_path, ckm, file_path, revision_path};
use crate::harness::{Answer, Database, Depot, Person, on_both_databases};

on_both_databases![
    before_the_first_promotion_nothing_is_assigned,
    every_promotion_is_kept_as_history_with_a_higher_epoch,
    of_two_publishers_at_once_exactly_one_wins,
    a_promotion_with_an_old_etag_is_refused,
    a_rollback_goes_to_the_newest_earlier_assignment_as_a_new_epoch,
    two_rollbacks_go_back_two_assignments,
    a_rollback_passes_over_what_was_revoked,
    a_rollback_with_nothing_before_is_refused,
    a_rollback_as_a_new_revision_reissues_the_old_bytes,
    revoking_what_a_channel_is_assigned_needs_a_rollback,
    a_dry_run_changes_nothing,
    only_a_ready_revision_can_be_promoted,
    each_channel_has_its_own_assignment,
];

/// A depot with `win7-office` and `count` sealed revisions.
async fn depot_with_revisions(database: Database, count: u64) -> (Depot, Person) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=count {
        admin.ready_revision("win7-office", seed).await;
    }
    (depot, admin)
}

async fn history(person: &Person) -> Vec<Value> {
    person.get("/api/v1/images/win7-office/promotions").await.expecting(200).items()
}

async fn assigned_revision(person: &Person) -> u64 {
    let assignment = person.assignment("win7-office", "production").await;
    assignment["revision"].as_u64().expect("a revision")
}

async fn promote_if(person: &Person, revision: u64, etag: &str) -> Answer {
    person
        .put(&format!("{}?again=true", assignment_path("win7-office", "production")))
        .header("If-Match", etag)
        .json(&json!({"revision": revision}))
        .await
}

async fn before_the_first_promotion_nothing_is_assigned(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 0).await;
    let answer = admin.get(&assignment_path("win7-office", "production")).await;
    assert_eq!(answer.problem(404), "nothing_assigned");
    let list = admin.get("/api/v1/images/win7-office/channels").await.expecting(200).items();
    assert!(list.iter().all(|assignment| assignment["revision"].is_null()), "{list:?}");
    assert_ne!(
        admin.get(&assignment_path("win7-office", "no-such")).await.problem(404),
        "nothing_assigned"
    );
}

async fn every_promotion_is_kept_as_history_with_a_higher_epoch(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 2).await;
    let mut epochs = Vec::new();
    for revision in [1, 2, 1] {
        let note = json!({"revision": revision, "note": format!("to {revision}")});
        let path = assignment_path("win7-office", "production");
        let assigned = admin.put(&path).json(&note).await.expecting(200).json();
        assert_eq!(assigned["revision"], revision);
        assert_eq!((&assigned["image"], &assigned["by"]), (&json!("win7-office"), &json!("admin")));
        assert!(assigned["promotion"].is_string() && assigned["since"].is_string(), "{assigned}");
        assert_eq!(assigned["rollout"]["percent"], 100, "{assigned}");
        epochs.push(assigned["epoch"].as_u64().expect("an epoch"));
    }
    assert!(epochs.is_sorted_by(|earlier, later| earlier < later), "{epochs:?}");
    let history = history(&admin).await;
    let revisions: Vec<_> = history.iter().map(|promotion| &promotion["revision"]).collect();
    assert_eq!(revisions, [&json!(1), &json!(2), &json!(1)], "newest first");
    let newest_first: Vec<_> = history.iter().filter_map(|one| one["epoch"].as_u64()).collect();
    epochs.reverse();
    assert_eq!(newest_first, epochs);
}

async fn of_two_publishers_at_once_exactly_one_wins(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 3).await;
    admin.promote("win7-office", "production", 1).await.expecting(200);
    for _ in 0..10 {
        let seen = admin.get(&assignment_path("win7-office", "production")).await;
        let etag = seen.required_header("etag");
        let (one, other) = tokio::join!(promote_if(&admin, 2, etag), promote_if(&admin, 3, etag));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{} / {}", one.text(), other.text());
        let (winner, loser, revision) =
            if one.status == 200 { (one, other, 2) } else { (other, one, 3) };
        loser.problem(412);
        assert_eq!(winner.json()["revision"], revision);
        assert_eq!(assigned_revision(&admin).await, revision);
    }
    assert_eq!(history(&admin).await.len(), 11, "a loser stands in the history");
}

async fn a_promotion_with_an_old_etag_is_refused(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 2).await;
    let first = admin.promote("win7-office", "production", 1).await.expecting(200);
    let etag = first.required_header("etag").to_owned();
    promote_if(&admin, 2, &etag).await.expecting(200);
    promote_if(&admin, 1, &etag).await.problem(412);
    promote_if(&admin, 1, "\"nonsense\"").await.problem(412);
    promote_if(&admin, 1, "*").await.expecting(200);
    // If-None-Match: * says "only as the first one".
    let only_first = admin
        .put(&assignment_path("win7-office", "production"))
        .header("If-None-Match", "*")
        .json(&json!({"revision": 1}))
        .await;
    only_first.problem(412);
}

async fn a_rollback_goes_to_the_newest_earlier_assignment_as_a_new_epoch(database: Database) {
    let (depot, admin) = depot_with_revisions(database, 2).await;
    admin.promote("win7-office", "production", 1).await.expecting(200);
    let second = admin.promote("win7-office", "production", 2).await.json();
    let back = admin.roll_back("win7-office", "production").await.expecting(200).json();
    assert_eq!(back["revision"], 1);
    assert!(back["epoch"].as_u64() > second["epoch"].as_u64(), "{back}");
    let told = depot.anonymous().check_for_update("win7-office", "production", 2, "pc-1").await;
    let told = told.expecting(200).json();
    assert_eq!((&told["action"], &told["target"]["revision"]), (&json!("rollback"), &json!(1)));
    assert_eq!(told["reason"], "rolled_back");
    assert_eq!(history(&admin).await.len(), 3, "a rollback is a promotion, too");
}

async fn two_rollbacks_go_back_two_assignments(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 3).await;
    for revision in [1, 2, 3] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(assigned_revision(&admin).await, 2);
    // What was rolled back from is no place to go back to.
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(assigned_revision(&admin).await, 1);
    admin.roll_back("win7-office", "production").await.problem(409);
}

async fn a_rollback_passes_over_what_was_revoked(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 3).await;
    for revision in [1, 2, 3] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    admin.revoke("win7-office", 2).await.expecting(200);
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(assigned_revision(&admin).await, 1);
}

async fn a_rollback_with_nothing_before_is_refused(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 1).await;
    admin.roll_back("win7-office", "production").await.problem_of(&[404, 409]);
    admin.promote("win7-office", "production", 1).await.expecting(200);
    admin.roll_back("win7-office", "production").await.problem(409);
    assert_eq!(assigned_revision(&admin).await, 1);
}

async fn a_rollback_as_a_new_revision_reissues_the_old_bytes(database: Database) {
    let (depot, admin) = depot_with_revisions(database, 2).await;
    for revision in [1, 2] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    let path = format!("{}/rollback", assignment_path("win7-office", "production"));
    let back = admin.post(&path).json(&json!({"as_new_revision": true})).await.expecting(200);
    assert_eq!(back.json()["revision"], 3, "clients that only go up need a higher number");
    assert_eq!(admin.revision("win7-office", 3).await["state"], "ready");
    let served = depot.anonymous().get_tree("win7-office_3.ckm").await.expecting(200);
    assert!(served.body == ckm(1), "not the bytes of revision 1");
    // The reissued revision lives on its own.
    admin.delete(&revision_path("win7-office", 1)).await.expecting(204);
    let served = admin.get(&file_path("win7-office", 3, "ckm")).await.expecting(200);
    assert!(served.body == ckm(1), "gone with revision 1");
}

async fn revoking_what_a_channel_is_assigned_needs_a_rollback(database: Database) {
    let (depot, admin) = depot_with_revisions(database, 2).await;
    for revision in [1, 2] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    admin.revoke("win7-office", 2).await.problem(409);
    assert_eq!(admin.revision("win7-office", 2).await["state"], "ready");
    let path = format!("{}/revoke?rollback=true", revision_path("win7-office", 2));
    admin.post(&path).await.expecting(200);
    assert_eq!(admin.revision("win7-office", 2).await["state"], "revoked");
    assert_eq!(assigned_revision(&admin).await, 1);
    let told = depot.anonymous().check_for_update("win7-office", "production", 2, "pc-1").await;
    let told = told.expecting(200).json();
    assert_eq!(
        (&told["action"], &told["reason"]),
        (&json!("rollback"), &json!("revision_revoked"))
    );
    admin.promote("win7-office", "production", 2).await.problem(409);
    // Nothing to go back to: the revocation as a whole is refused.
    let path = format!("{}/revoke?rollback=true", revision_path("win7-office", 1));
    admin.post(&path).await.problem(409);
    assert_eq!(admin.revision("win7-office", 1).await["state"], "ready");
}

async fn a_dry_run_changes_nothing(database: Database) {
    let (depot, admin) = depot_with_revisions(database, 2).await;
    admin.promote("win7-office", "production", 1).await.expecting(200);
    let before = admin.get(&assignment_path("win7-office", "production")).await;
    let tried = admin
        .put(&format!("{}?dry_run=true", assignment_path("win7-office", "production")))
        .json(&json!({"revision": 2}))
        .await
        .expecting(200);
    assert!(tried.json().is_object(), "a plan: {}", tried.text());
    let after = admin.get(&assignment_path("win7-office", "production")).await;
    assert_eq!(after.required_header("etag"), before.required_header("etag"));
    assert_eq!(after.json()["revision"], 1);
    assert_eq!(history(&admin).await.len(), 1);
    let told = depot.anonymous().check_for_update("win7-office", "production", 0, "pc-1").await;
    assert_eq!(told.json()["target"]["revision"], 1);
    let impossible = admin
        .put(&format!("{}?dry_run=true", assignment_path("win7-office", "production")))
        .json(&json!({"revision": 99}))
        .await;
    impossible.problem_of(&[404, 409, 422]);
}

async fn only_a_ready_revision_can_be_promoted(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 1).await;
    let draft = admin.draft("win7-office").await;
    admin.promote("win7-office", "test", draft).await.problem(409);
    admin.revoke("win7-office", 1).await.expecting(200);
    admin.promote("win7-office", "test", 1).await.problem(409);
    admin.promote("win7-office", "test", 99).await.problem_of(&[404, 409, 422]);
    admin.promote("win7-office", "no-such-channel", 1).await.problem(404);
    admin.promote("no-such-image", "test", 1).await.problem(404);
    let wrong = json!({"revision": 1, "rollout": {"percent": 101}});
    let answer = admin.put(&assignment_path("win7-office", "test")).json(&wrong).await;
    answer.problem_of(&[409, 422]);
}

async fn each_channel_has_its_own_assignment(database: Database) {
    let (_depot, admin) = depot_with_revisions(database, 2).await;
    admin.promote("win7-office", "test", 2).await.expecting(200);
    admin.promote("win7-office", "production", 1).await.expecting(200);
    let list = admin.get("/api/v1/images/win7-office/channels").await.expecting(200).items();
    let mut pairs: Vec<_> = list
        .iter()
        .map(|assignment| (assignment["channel"].as_str(), assignment["revision"].as_u64()))
        .collect();
    pairs.sort_unstable();
    assert_eq!(pairs, [(Some("production"), Some(1)), (Some("test"), Some(2))]);
}
