//! Approvals: in a channel that asks for them, a promotion counts when other people have agreed.

use serde_json::{Value, json};

use super::{PATH, change, told};
use crate::harness::{Answer, Database, Depot, Person, on_both_databases};

on_both_databases![
    a_promotion_counts_when_enough_other_people_have_agreed,
    raising_a_share_needs_the_word_again_and_stopping_does_not,
];

const APPROVE: &str = "/api/v1/images/win7-office/channels/production/approve";

/// Starts a depot whose production channel asks for this many approvals, with two ready revisions and three promoters.
async fn depot_with_promoters(database: Database, approvals: u8) -> (Depot, [Person; 3]) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    let channel = json!({"approvals": approvals});
    admin.patch("/api/v1/channels/production").json(&channel).await.expecting(200);
    for name in ["ann", "bob", "cid"] {
        let user = json!({"name": name, "password": "a long password", "roles": ["promoter"]});
        admin.post("/api/v1/users").json(&user).await.expecting(201);
    }
    let promoters = ["ann", "bob", "cid"].map(|name| depot.user(name, "a long password"));
    (depot, promoters)
}

async fn promote(person: &Person, revision: u64, rollout: Value) -> Answer {
    person.put(PATH).json(&json!({"revision": revision, "rollout": rollout})).await
}

async fn a_promotion_counts_when_enough_other_people_have_agreed(database: Database) {
    let (depot, [ann, bob, cid]) = depot_with_promoters(database, 2).await;
    assert_eq!(ann.post(APPROVE).await.problem(404), "nothing_pending");
    let asked = promote(&ann, 1, json!({})).await.expecting(202).json();
    assert_eq!((&asked["pending"]["by"], &asked["pending"]["needed"]), (&json!("ann"), &json!(2)));
    let missing = ann.get(PATH).await;
    assert_eq!(missing.problem(404), "nothing_assigned");
    assert_eq!(missing.json()["pending"]["revision"], 1);
    assert_eq!(told(&depot.admin(), "pc-1", 0).await.1, "nothing_assigned");
    assert_eq!(ann.post(APPROVE).await.problem(403), "forbidden");
    // A token counts as the person who made it.
    let token = json!({"name": "of-ann", "roles": ["promoter"]});
    let admin = depot.admin();
    let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let by_token = depot.bearer(made["token"].as_str().expect("a value"));
    for _twice in 0..2 {
        let once = by_token.post(APPROVE).await.expecting(202).json();
        assert_eq!(once["pending"]["approved_by"], json!(["admin"]));
    }
    admin.post(APPROVE).await.expecting(202);
    bob.delete(APPROVE).await.problem(404);
    admin.delete(APPROVE).await.expecting(204);
    bob.post(APPROVE).await.expecting(202);
    let done = cid.post(APPROVE).await.expecting(200).json();
    assert_eq!((&done["revision"], &done["by"]), (&json!(1), &json!("ann")));
    assert_eq!(done["promotion"], asked["pending"]["promotion"]);
    assert_eq!(told(&depot.admin(), "pc-1", 0).await.0, "update");
    // Another request replaces the one that waits, and what is in force stays so.
    promote(&ann, 2, json!({})).await.expecting(202);
    bob.post(APPROVE).await.expecting(202);
    promote(&bob, 2, json!({"percent": 5})).await.expecting(202);
    let shown = ann.get(PATH).await.expecting(200).json();
    assert_eq!((&shown["revision"], &shown["pending"]["by"]), (&json!(1), &json!("bob")));
    assert_eq!(shown["pending"]["approved_by"], json!([]));
}

async fn raising_a_share_needs_the_word_again_and_stopping_does_not(database: Database) {
    let (depot, [ann, bob, _]) = depot_with_promoters(database, 1).await;
    promote(&ann, 1, json!({})).await.expecting(202);
    bob.post(APPROVE).await.expecting(200);
    promote(&ann, 2, json!({"percent": 5})).await.expecting(202);
    bob.post(APPROVE).await.expecting(200);
    for without in [json!({"paused": true}), json!({"paused": false}), json!({"percent": 1})] {
        change(&ann, without).await.expecting(200);
    }
    let raised = change(&ann, json!({"percent": 25})).await.expecting(202).json();
    assert_eq!(raised["pending"]["changes_rollout"], true);
    assert_eq!(ann.get(PATH).await.json()["rollout"]["percent"], 1);
    let agreed = bob.post(APPROVE).await.expecting(200).json();
    assert_eq!((&agreed["rollout"]["percent"], &agreed["epoch"]), (&json!(25), &json!(2)));
    let rolled = ann.post(&format!("{PATH}/rollback")).await.expecting(200).json();
    assert_eq!(rolled["revision"], 1);
    ann.delete(PATH).await.expecting(200);
    assert_eq!(told(&depot.admin(), "pc-1", 1).await.1, "withdrawn");
}
