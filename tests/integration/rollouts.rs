//! Rollouts: who is offered a revision, when, and why; what the tree shows meanwhile; and how a rollout is stopped.

mod approved;
mod fair;
mod stopped;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::command::{imagedepot, run};
use crate::harness::folder::published_below;
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_rollout_is_shown_as_it_was_stated_with_its_state_and_its_next_step,
    a_change_of_the_rollout_keeps_the_promotion_and_what_it_does_not_name,
    terms_that_make_no_sense_are_refused_by_name,
    an_explanation_names_every_rule_that_was_weighed,
    a_pin_holds_whatever_is_assigned,
    a_rollback_reaches_everyone_but_pinned_clients,
    the_folder_stays_until_the_rollout_is_complete,
    the_folder_holds_both_where_the_channel_says_so,
    manifests_name_what_was_revoked_at_once_and_under_a_new_number,
    what_was_replaced_while_rolling_never_becomes_the_assignment_before,
    a_rollout_survives_a_restart_and_a_backup,
    contradictions_are_warned_of,
];

const PATH: &str = "/api/v1/images/win7-office/channels/production";

/// Starts a depot with an image that has three ready revisions, the first of which is in production.
async fn depot_with_revisions(database: Database) -> (Depot, Person) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    three_revisions(&admin).await;
    (depot, admin)
}

async fn three_revisions(admin: &Person) {
    admin.create_image("win7-office").await;
    for seed in 1..=3 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
}

async fn promote(admin: &Person, revision: u64, rollout: Value) -> Answer {
    admin.put(PATH).json(&json!({"revision": revision, "rollout": rollout})).await
}

async fn change(admin: &Person, change: Value) -> Answer {
    admin.patch(PATH).json(&change).await
}

/// Returns action, reason and target of the answer to a client.
async fn told(person: &Person, client: &str, revision: u64) -> (String, String, Option<u64>) {
    let answer = person.check_for_update("win7-office", "production", revision, client).await;
    parts(&answer.expecting(200).json())
}

fn parts(answer: &Value) -> (String, String, Option<u64>) {
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    (text("action"), text("reason"), answer["target"]["revision"].as_u64())
}

fn is(action: &str, reason: &str, target: Option<u64>) -> (String, String, Option<u64>) {
    (action.to_owned(), reason.to_owned(), target)
}

async fn a_rollout_is_shown_as_it_was_stated_with_its_state_and_its_next_step(database: Database) {
    let (_depot, admin) = depot_with_revisions(database).await;
    let steps = json!([{"percent": 100, "groups": ["pilot-*"]}, {"percent": 5},
                       {"percent": 25, "after": "24h"}, {"percent": 100, "after": "72h"}]);
    let halt = json!({"failures_percent": 2.5, "at_least": 20});
    let rollout = json!({"steps": steps, "halt": halt, "canaries": ["PC-0815", "test-*"]});
    let promoted = promote(&admin, 2, rollout).await.expecting(200).json();
    let shown = &promoted["rollout"];
    assert_eq!((&shown["steps"], &shown["halt"]), (&steps, &halt));
    assert_eq!((&shown["state"], &shown["percent_now"]), (&json!("rolling"), &json!(5)));
    let time =
        |value: &Value| value.as_str().expect("a value").parse::<DateTime<Utc>>().expect("a value");
    let day = time(&shown["next_step_at"]) - time(&promoted["since"]);
    assert_eq!(day.num_hours(), 24);
    let whole = promote(&admin, 3, json!({})).await.expecting(200).json();
    assert_eq!(whole["rollout"]["percent"], 100);
    assert_eq!(whole["rollout"]["state"], "complete");
    assert_eq!(whole["rollout"]["next_step_at"], Value::Null);
    let scheduled = json!({"percent": 100, "start": "2999-01-01T00:00:00Z"});
    let later = promote(&admin, 2, scheduled).await.expecting(200).json();
    assert_eq!(later["rollout"]["state"], "scheduled");
    assert_eq!(later["rollout"]["percent_now"], 0);
}

async fn a_change_of_the_rollout_keeps_the_promotion_and_what_it_does_not_name(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    let before = promote(&admin, 2, json!({"percent": 0, "canaries": ["pc-1"]})).await;
    let (tag, before) = (before.required_header("etag").to_owned(), before.json());
    let changed = change(&admin, json!({"percent": 12.5, "note": "slowly"})).await.expecting(200);
    assert_ne!(changed.required_header("etag"), tag);
    let after = changed.json();
    assert_eq!((&after["promotion"], &after["epoch"]), (&before["promotion"], &before["epoch"]));
    assert_eq!(after["rollout"]["canaries"], json!(["pc-1"]));
    assert_eq!((&after["rollout"]["percent"], &after["note"]), (&json!(12.5), &json!("slowly")));
    assert_eq!(after["replicas"], json!({"have": 1, "of": 1}));
    let lost = admin.patch(PATH).header("If-Match", &tag).json(&json!({"percent": 1})).await;
    assert_eq!(lost.problem(412), "precondition_failed");
    let stepped = change(&admin, json!({"steps": [{"percent": 50}]})).await.expecting(200).json();
    assert!(stepped["rollout"].get("percent").is_none(), "{stepped}");
    let deadline = json!({"deadline": "2999-01-01T00:00:00Z", "mandatory": true});
    let set = change(&admin, deadline).await.expecting(200).json();
    assert_eq!(
        (&set["deadline"], &set["mandatory"]),
        (&json!("2999-01-01T00:00:00Z"), &json!(true))
    );
    let cleared = change(&admin, json!({"deadline": null})).await.expecting(200).json();
    assert_eq!((&cleared["deadline"], &cleared["mandatory"]), (&Value::Null, &json!(true)));
    let path = format!("{PATH}?dry_run=true");
    let tried = admin.patch(&path).json(&json!({"percent": 100})).await.expecting(200).json();
    assert_eq!((&tried["dry_run"], &tried["rollout"]["state"]), (&json!(true), &json!("complete")));
    assert_eq!(admin.get(PATH).await.json()["rollout"]["steps"], json!([{"percent": 50}]));
    let audit = admin.get("/api/v1/audit?limit=1").await.expecting(200).items();
    assert_eq!(audit[0]["action"], "channel.rollout_change", "{audit:?}");
    assert_eq!(audit[0]["before"]["deadline"], "2999-01-01T00:00:00Z");
    let publisher = depot.user_with_role("publisher").await;
    assert_eq!(change(&publisher, json!({"percent": 1})).await.problem(403), "forbidden");
    admin.delete(PATH).await.expecting(200);
    assert_eq!(change(&admin, json!({"percent": 1})).await.problem(404), "nothing_assigned");
}

async fn terms_that_make_no_sense_are_refused_by_name(database: Database) {
    let (_depot, admin) = depot_with_revisions(database).await;
    for (rollout, word) in [
        (json!({"percent": 101}), "from 0 to 100"),
        (json!({"percent": 5.001}), "0.01"),
        (json!({"percent": 5, "steps": [{"percent": 5}]}), "choose one"),
        (json!({"steps": []}), "at least one step"),
        (json!({"steps": [{"percent": 9}, {"percent": 5, "after": "1h"}]}), "must not fall"),
        (json!({"steps": [{"percent": 5}, {"percent": 9}]}), "same time"),
        (json!({"windows": [{"from": "22:00", "to": "24:00", "zone": "UTC"}]}), "HH:MM"),
        (
            json!({"windows": [{"from": "22:00", "to": "05:00", "zone": "Mars/Olympus"}]}),
            "Mars/Olympus",
        ),
        (json!({"halt": {"failures_percent": 5, "at_least": 0}}), "nonzero"),
        (json!({"colour": "blue"}), "colour"),
    ] {
        let refused = promote(&admin, 2, rollout.clone()).await;
        assert_eq!(refused.problem(422), "invalid_value", "{rollout}");
        assert!(refused.text().contains(word), "{rollout}: {}", refused.text());
        let refused = change(&admin, rollout.clone()).await;
        assert_eq!(refused.problem(422), "invalid_value", "{rollout}");
    }
    assert_eq!(admin.get(PATH).await.json()["revision"], 1, "nothing was changed");
}

async fn an_explanation_names_every_rule_that_was_weighed(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    promote(&admin, 2, json!({"steps": [{"percent": 0}, {"percent": 100, "after": "24h"}]})).await;
    let explain = async |query: &str| {
        let path = format!("/api/v1/update-check/explain?image=win7-office&client=pc-1&{query}");
        admin.get(&path).await.expecting(200).json()
    };
    let now = explain("revision=1").await;
    assert_eq!(parts(&now["answer"]), is("hold", "held_by_rollout", None));
    let rules: Vec<_> =
        now["rules"].as_array().expect("a value").iter().map(|rule| &rule["rule"]).collect();
    assert_eq!(rules.len(), 9, "{rules:?}");
    assert_eq!(now["rules"][8]["outcome"], "decided");
    assert_eq!((&now["percent_now"], &now["rules"][4]["outcome"]), (&json!(0), &json!("not_set")));
    assert!(now["bucket"].as_u64().expect("a value") < 10_000);
    let later = explain("revision=1&at=2999-01-01T00:00:00Z").await;
    assert_eq!(parts(&later["answer"]), is("update", "newer_revision", Some(2)));
    assert_eq!(later["bucket"], now["bucket"]);
    let asked = depot.anonymous().get("/api/v1/update-check/explain?image=win7-office").await;
    assert_eq!(asked.problem(401), "credentials_required");
    let unknown = admin.get("/api/v1/update-check/explain?image=no-such").await;
    assert_eq!(unknown.problem(404), "image_not_found");
}

async fn a_pin_holds_whatever_is_assigned(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    let (anyone, pin) = (depot.anonymous(), format!("{PATH}/pins/PC-1"));
    promote(&admin, 3, json!({})).await.expecting(200);
    let new = json!({"revision": 2, "note": "printer"});
    let pinned = admin.put(&pin).json(&new).await.expecting(201).json();
    assert_eq!((&pinned["client"], &pinned["by"]), (&json!("PC-1"), &json!("admin")));
    admin.put(&pin).json(&new).await.expecting(200);
    assert_eq!(told(&anyone, "pc-1", 1).await, is("update", "pinned", Some(2)));
    assert_eq!(told(&anyone, "PC-1", 2).await, is("none", "pinned", None));
    assert_eq!(told(&anyone, "pc-1", 3).await, is("rollback", "pinned", Some(2)));
    assert_eq!(told(&anyone, "pc-2", 1).await, is("update", "newer_revision", Some(3)));
    // It can be fetched by the name that the answer gives.
    let answer = anyone.check_for_update("win7-office", "production", 1, "pc-1").await.json();
    let url = answer["target"]["files"][0]["url"].as_str().expect("a value").to_owned();
    anyone.get(&url).await.expecting(200);
    assert_eq!(admin.get(&format!("{PATH}/pins")).await.expecting(200).items().len(), 1);
    admin.get(&pin).await.expecting(200);
    admin.delete(PATH).await.expecting(200);
    assert_eq!(told(&anyone, "pc-1", 1).await, is("update", "pinned", Some(2)), "withdrawn");
    promote(&admin, 3, json!({})).await.expecting(200);
    admin.delete(&format!("{PATH}?now=true")).await.expecting(200);
    assert_eq!(told(&anyone, "pc-1", 1).await, is("hold", "withdrawn", None), "withdrawn now");
    promote(&admin, 1, json!({})).await.expecting(200);
    admin.revoke("win7-office", 2).await.expecting(200);
    assert_eq!(told(&anyone, "pc-1", 1).await, is("none", "up_to_date", None), "the pin is void");
    assert_eq!(admin.put(&pin).json(&new).await.problem(409), "revision_not_ready");
    admin.delete(&pin).await.expecting(204);
    assert_eq!(admin.delete(&pin).await.problem(404), "pin_not_found");
    assert_eq!(admin.get(&pin).await.problem(404), "pin_not_found");
}

async fn a_rollback_reaches_everyone_but_pinned_clients(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    let anyone = depot.anonymous();
    promote(&admin, 2, json!({})).await.expecting(200);
    promote(&admin, 3, json!({})).await.expecting(200);
    admin.put(&format!("{PATH}/pins/pc-1")).json(&json!({"revision": 3})).await.expecting(201);
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(told(&anyone, "pc-1", 3).await, is("none", "pinned", None));
    assert_eq!(told(&anyone, "pc-2", 3).await, is("rollback", "rolled_back", Some(2)));
    // A rollback may be rolled out, too: who is held keeps what there is.
    promote(&admin, 3, json!({})).await.expecting(200);
    let staged = json!({"rollout": {"percent": 0}});
    let path = format!("{PATH}/rollback");
    let rolled = admin.post(&path).json(&staged).await.expecting(200).json();
    assert_eq!((&rolled["revision"], &rolled["rollout"]["state"]), (&json!(2), &json!("rolling")));
    assert_eq!(told(&anyone, "pc-2", 3).await, is("hold", "held_by_rollout", None));
    change(&admin, json!({"percent": 100})).await.expecting(200);
    assert_eq!(told(&anyone, "pc-2", 3).await, is("rollback", "rolled_back", Some(2)));
}

/// Returns the revisions of the image whose files the folder holds.
fn revisions_in_folder(depot: &Depot) -> Vec<u64> {
    let names = published_below(&depot.tree()).into_keys();
    let number =
        |name: String| name.strip_prefix("win7-office_")?.strip_suffix(".ckm")?.parse().ok();
    names.filter_map(number).collect()
}

async fn the_manifest(depot: &Depot) -> Value {
    let manifest = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
    manifest["images"][0].clone()
}

async fn the_folder_stays_until_the_rollout_is_complete(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    admin.wait_until_published("win7-office", "production").await;
    let steps = json!({"steps": [{"percent": 1}, {"percent": 100, "after": "4s"}]});
    let promoted = promote(&admin, 2, steps).await.expecting(200).json();
    assert_eq!(promoted["publication"], "pending");
    let manifest = the_manifest(&depot).await;
    assert_eq!((&manifest["revision"], &manifest["epoch"]), (&json!(1), &json!(1)));
    // Over HTTP, the names of both answer.
    for name in ["win7-office_1.ckm", "win7-office_2.ckm", "win7-office_2.ckm.index"] {
        depot.anonymous().get_tree(name).await.expecting(200);
    }
    assert_eq!(revisions_in_folder(&depot), [1]);
    eventually("time completes the rollout", || async {
        let manifest = the_manifest(&depot).await;
        (manifest["revision"] == 2 && revisions_in_folder(&depot).contains(&2)).then_some(())
    })
    .await;
    assert_eq!(admin.get(PATH).await.json()["rollout"]["state"], "complete");
    // A pause after that does not move the folder back.
    change(&admin, json!({"paused": true})).await.expecting(200);
    assert_eq!(the_manifest(&depot).await["revision"], 2);
    let audit = admin.get("/api/v1/audit").await.expecting(200).items();
    let reached = audit.iter().filter(|row| row["action"] == "channel.step_reached");
    assert_eq!(reached.count(), 1, "{audit:?}");
}

async fn the_folder_holds_both_where_the_channel_says_so(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    let both = json!({"tree_during_rollout": true});
    admin.patch("/api/v1/channels/production").json(&both).await.expecting(200);
    promote(&admin, 2, json!({"percent": 25, "canaries": ["pc-1"]})).await.expecting(200);
    let manifest = the_manifest(&depot).await;
    assert_eq!(manifest["revision"], 2);
    assert_eq!(manifest["rollout"]["percent"], 25);
    assert_eq!(manifest["rollout"]["canaries"], json!(["pc-1"]));
    assert!(manifest["rollout"]["start"].is_string(), "steps count from it: {manifest}");
    assert_eq!(manifest["previous"]["revision"], 1);
    assert_eq!(manifest["previous"]["files"].as_array().expect("a value").len(), 2);
    admin.wait_until_published("win7-office", "production").await;
    assert_eq!(revisions_in_folder(&depot), [1, 2]);
    change(&admin, json!({"percent": 100})).await.expecting(200);
    let manifest = the_manifest(&depot).await;
    assert!(manifest.get("rollout").is_none() && manifest.get("previous").is_none(), "{manifest}");
}

async fn manifests_name_what_was_revoked_at_once_and_under_a_new_number(database: Database) {
    let (mut depot, admin) = depot_with_revisions(database).await;
    admin.promote("win7-office", "test", 3).await.expecting(200);
    let sequence = async |depot: &Depot| {
        let manifest = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
        manifest["sequence"].as_i64().expect("a number")
    };
    let before = sequence(&depot).await;
    // No channel is assigned to it, but clients may still have it.
    admin.revoke("win7-office", 2).await.expecting(200);
    let revoked = sequence(&depot).await;
    assert!(revoked > before);
    assert_eq!(the_manifest(&depot).await["revoked"], json!([2]));
    let test = depot.anonymous().get_tree("test/channel.json").await.expecting(200).json();
    assert_eq!(test["images"][0]["revoked"], json!([2]));
    admin.delete("/api/v1/images/win7-office/revisions/2").await.expecting(204);
    assert!(sequence(&depot).await > revoked);
    let written = depot.anonymous().get_tree("channel.json").await.expecting(200).body;
    assert!(the_manifest(&depot).await.get("revoked").is_none());
    // A server that has just read everything says the same.
    depot.server.kill();
    depot.server.start_again().await;
    assert!(depot.anonymous().get_tree("channel.json").await.expecting(200).body == written);
}

async fn what_was_replaced_while_rolling_never_becomes_the_assignment_before(database: Database) {
    let (depot, admin) = depot_with_revisions(database).await;
    promote(&admin, 2, json!({"percent": 0})).await.expecting(200);
    promote(&admin, 3, json!({"percent": 0})).await.expecting(200);
    assert_eq!(told(&depot.anonymous(), "pc-1", 0).await, is("update", "first_install", Some(1)));
    assert_eq!(the_manifest(&depot).await["revision"], 1);
    // The assignment before counts as assigned.
    assert_eq!(admin.revoke("win7-office", 1).await.problem(409), "revision_assigned");
    depot.anonymous().get_tree("win7-office_2.ckm").await.expecting(404);
}

async fn a_rollout_survives_a_restart_and_a_backup(database: Database) {
    let (mut depot, admin) = depot_with_revisions(database).await;
    promote(&admin, 2, json!({"percent": 0, "canaries": ["pc-9"]})).await.expecting(200);
    change(&admin, json!({"paused": true})).await.expecting(200);
    admin.put(&format!("{PATH}/pins/pc-1")).json(&json!({"revision": 3})).await.expecting(201);
    let before = admin.get(PATH).await.expecting(200).json();
    depot.server.kill();
    depot.server.start_again().await;
    let admin = depot.admin();
    assert_eq!(admin.get(PATH).await.expecting(200).json(), before);
    assert_eq!(told(&admin, "pc-1", 1).await, is("update", "pinned", Some(3)));
    assert_eq!(told(&admin, "pc-9", 1).await, is("hold", "paused", None));
    let report = json!({"image": "win7-office", "revision": 2, "status": "failed", "error": "x"});
    admin.post("/api/v1/clients/pc-9/reports").json(&report).await.expecting(204);
    let place = depot.scratch().join("backup").display().to_string();
    let mut back_up = imagedepot(["backup", "--to", &place, "--data"]);
    back_up.arg(depot.server.data()).envs(depot.environment());
    run(back_up).await.successful();
    let restored = Depot::on(database).after(&["restore", "--from", &place]).start().await;
    let admin = restored.admin();
    assert_eq!(admin.get(PATH).await.expecting(200).json()["rollout"], before["rollout"]);
    assert_eq!(told(&admin, "pc-1", 1).await, is("update", "pinned", Some(3)));
    let progress = admin.get(&format!("{PATH}/progress")).await.expecting(200).json();
    assert_eq!(progress["failures"], json!([{"client": "pc-9", "error": "x"}]));
}

async fn contradictions_are_warned_of(database: Database) {
    let (_depot, admin) = depot_with_revisions(database).await;
    let window = json!([{"days": ["sat"], "from": "22:00", "to": "22:01", "zone": "UTC"}]);
    let soon =
        (DateTime::<Utc>::from(std::time::SystemTime::now()) + TimeDelta::seconds(5)).to_rfc3339();
    let order = json!({"revision": 2, "deadline": soon, "rollout": {"windows": window}});
    let path = format!("{PATH}?dry_run=true");
    let tried = admin.put(&path).json(&order).await.expecting(200).json();
    let warnings = tried["warnings"].to_string();
    assert!(warnings.contains("before the deadline"), "{warnings}");
    let fine = promote(&admin, 2, json!({"percent": 5})).await.expecting(200).json();
    assert_eq!(fine.get("warnings"), None);
    let changed = change(&admin, json!({"percent": 0})).await.expecting(200).json();
    assert!(changed["warnings"].to_string().contains("no canaries"), "{changed}");
}
