//! Reports of clients: they are durable when acknowledged, count for a halt within limits, and show how far a promotion is.

use serde_json::{Value, json};

use crate::harness::{Answer, Database, Depot, Person, eventually, is_long_run, on_both_databases};

on_both_databases![
    a_report_that_was_acknowledged_survives_a_kill,
    one_machine_with_many_names_cannot_halt_a_rollout_and_twenty_machines_can,
    a_machine_that_was_not_offered_the_revision_does_not_count,
    the_progress_shows_who_has_what_and_who_failed,
    a_forecast_counts_the_clients_on_record,
    who_may_report_and_what_a_report_must_say,
    one_machine_does_not_fill_the_disk_with_ids_that_it_makes_up,
];

const PATH: &str = "/api/v1/images/win7-office/channels/production";

/// Starts a depot whose production channel has revision 2 with this rollout, and revision 1 before it.
async fn depot_with_rollout(database: Database, rollout: Value) -> Depot {
    depot_with_limit(database, rollout, "0").await
}

/// The same, and `fleet.new_clients` says this.
async fn depot_with_limit(database: Database, rollout: Value, new_clients: &str) -> Depot {
    let depot = Depot::on(database).setting("fleet", "reports", "everyone");
    let depot = depot.setting("fleet", "new_clients", new_clients).start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
    let order = json!({"revision": 2, "rollout": rollout});
    admin.put(PATH).json(&order).await.expecting(200);
    depot
}

async fn report(person: &Person, client: &str, status: &str) -> Answer {
    let report = json!({"image": "win7-office", "revision": 2, "status": status,
                        "bytes": 1000, "seconds": 1.5, "error": format!("{status} on {client}")});
    person.post(&format!("/api/v1/clients/{client}/reports")).json(&report).await
}

async fn progress(depot: &Depot) -> Value {
    depot.admin().get(&format!("{PATH}/progress")).await.expecting(200).json()
}

async fn state(depot: &Depot) -> String {
    let shown = depot.admin().get(PATH).await.expecting(200).json();
    shown["rollout"]["state"].as_str().expect("a state").to_owned()
}

async fn a_report_that_was_acknowledged_survives_a_kill(database: Database) {
    let mut depot = depot_with_rollout(database, json!({})).await;
    let anyone = depot.anonymous();
    let reports = (0..40).map(|n| {
        let anyone = anyone.clone();
        async move { report(&anyone, &format!("pc-{n}"), "applied").await.expecting(204) }
    });
    futures_util::future::join_all(reports).await;
    depot.server.kill();
    depot.server.start_again().await;
    assert_eq!(progress(&depot).await["counts"]["applied"], 40);
}

async fn one_machine_with_many_names_cannot_halt_a_rollout_and_twenty_machines_can(
    database: Database,
) {
    let halt = json!({"halt": {"failures_percent": 5, "at_least": 20}});
    let depot = depot_with_rollout(database, halt).await;
    let one = depot.anonymous().calling_from("127.0.0.9");
    let names = if is_long_run() { 10_000 } else { 100 };
    for n in 0..names {
        report(&one, &format!("of-one-{n}"), "failed").await.expecting(204);
    }
    // Nor does it hide failures of others by successes.
    for n in 0..names {
        report(&one, &format!("well-{n}"), "applied").await.expecting(204);
    }
    assert_eq!(state(&depot).await, "complete");
    assert_eq!(progress(&depot).await["failures"].as_array().expect("a value").len(), 3);
    for n in 0..17 {
        assert_eq!(state(&depot).await, "complete", "after {n} machines");
        let machine = depot.anonymous().calling_from(&format!("127.0.1.{}", n + 1));
        report(&machine, &format!("pc-{n}"), "failed").await.expecting(204);
        report(&machine, &format!("pc-{n}"), "failed").await.expecting(204);
    }
    let shown = depot.admin().get(PATH).await.expecting(200).json();
    let halted = &shown["rollout"]["halted"];
    assert_eq!(shown["rollout"]["state"], "halted");
    assert_eq!((&halted["failed"], &halted["ended"]), (&json!(20), &json!(20)));
    assert_eq!(halted["failures"].as_array().expect("a value").len(), 10);
    let told = depot.anonymous().check_for_update("win7-office", "production", 1, "pc-99").await;
    assert_eq!(told.expecting(200).json()["reason"], "halted");
    // Who goes on has the failures counted afresh.
    depot.admin().patch(PATH).json(&json!({"halted": false})).await.expecting(200);
    let machine = depot.anonymous().calling_from("127.0.2.1");
    report(&machine, "pc-50", "failed").await.expecting(204);
    assert_eq!(state(&depot).await, "complete");
}

async fn a_machine_that_was_not_offered_the_revision_does_not_count(database: Database) {
    let rollout = json!({"percent": 0, "canaries": ["canary-*"],
                         "halt": {"failures_percent": 0, "at_least": 1}});
    let depot = depot_with_rollout(database, rollout).await;
    report(&depot.anonymous(), "pc-1", "failed").await.expecting(204);
    assert_eq!(state(&depot).await, "rolling");
    report(&depot.anonymous(), "canary-1", "downloading").await.expecting(204);
    assert_eq!(state(&depot).await, "rolling");
    report(&depot.anonymous(), "canary-1", "rolled_back").await.expecting(204);
    assert_eq!(state(&depot).await, "halted");
}

async fn the_progress_shows_who_has_what_and_who_failed(database: Database) {
    let depot = depot_with_rollout(database, json!({"percent": 100})).await;
    let anyone = depot.anonymous();
    for (client, revision) in [("pc-1", 1), ("pc-2", 1), ("pc-3", 2), ("pc-4", 0)] {
        anyone.check_for_update("win7-office", "production", revision, client).await.expecting(200);
    }
    report(&anyone, "pc-1", "downloading").await.expecting(204);
    report(&anyone, "pc-2", "failed").await.expecting(204);
    report(&anyone, "pc-3", "applied").await.expecting(204);
    eventually("the checks are on record", || async {
        (progress(&depot).await["counts"]["clients"] == 4).then_some(())
    })
    .await;
    let progress = progress(&depot).await;
    let counts =
        json!({"clients": 4, "on_revision": 1, "downloading": 1, "applied": 1, "failed": 1});
    assert_eq!(progress["counts"], counts);
    let revisions = json!([{"revision": 0, "clients": 1}, {"revision": 1, "clients": 2},
                           {"revision": 2, "clients": 1}]);
    assert_eq!(progress["revisions"], revisions);
    assert_eq!(progress["reasons"]["newer_revision"], 2);
    assert_eq!(progress["failures"], json!([{"client": "pc-2", "error": "failed on pc-2"}]));
    report(&anyone, "pc-2", "applied").await.expecting(204);
    let shown = depot.admin().get("/api/v1/clients/pc-2").await.expecting(200).json();
    assert!(shown.to_string().contains("\"applied\""), "{shown}");
}

async fn a_forecast_counts_the_clients_on_record(database: Database) {
    let depot = depot_with_rollout(database, json!({"percent": 0})).await;
    let anyone = depot.anonymous();
    for n in 0..40 {
        let client = format!("pc-{n}");
        anyone.check_for_update("win7-office", "production", 1, &client).await.expecting(200);
    }
    eventually("the checks are on record", || async {
        (progress(&depot).await["counts"]["clients"] == 40).then_some(())
    })
    .await;
    let steps = json!({"steps": [{"percent": 25}, {"percent": 100, "after": "24h"}]});
    let path = format!("{PATH}?dry_run=true");
    let tried = depot.admin().patch(&path).json(&steps).await.expecting(200).json();
    let forecast = tried["forecast"].as_array().expect("a forecast");
    let clients: Vec<_> = forecast.iter().map(|step| &step["clients"]).collect();
    assert_eq!(clients, [&json!(10), &json!(40)]);
    assert!(forecast[1]["bytes"].as_u64() > forecast[0]["bytes"].as_u64(), "{tried}");
}

async fn who_may_report_and_what_a_report_must_say(database: Database) {
    let depot = depot_with_rollout(database, json!({})).await;
    let anyone = depot.anonymous();
    let send = async |client: &str, change: Value| {
        let mut report = json!({"image": "win7-office", "revision": 2, "status": "applied"});
        report
            .as_object_mut()
            .expect("a value")
            .extend(change.as_object().expect("a value").clone());
        anyone.post(&format!("/api/v1/clients/{client}/reports")).json(&report).await
    };
    send("pc-1", json!({})).await.expecting(204);
    for (change, status, code) in [
        (json!({"revision": 9}), 422, "invalid_value"),
        (json!({"status": "well"}), 422, "invalid_value"),
        (json!({"bytes": -1}), 422, "invalid_value"),
        (json!({"seconds": -1}), 422, "invalid_value"),
        (json!({"colour": "blue"}), 422, "invalid_value"),
        (json!({"image": "no-such"}), 404, "image_not_found"),
    ] {
        assert_eq!(send("pc-1", change.clone()).await.problem(status), code, "{change}");
    }
    send("pc-2", json!({"status": "failed", "error": "x\u{1b}[31m\n".repeat(400)}))
        .await
        .expecting(204);
    let failures = progress(&depot).await["failures"].clone();
    let error = failures[0]["error"].as_str().expect("a value");
    assert!(error.len() <= 1000 && error.chars().all(|c| !c.is_control()), "{error}");
    let closed = json!({"read": "authenticated"});
    depot.admin().patch("/api/v1/channels/production").json(&closed).await.expecting(200);
    assert_eq!(send("pc-1", json!({})).await.problem(401), "credentials_required");
    let client = depot.user_with_role("client").await;
    report(&client, "pc-1", "applied").await.expecting(204);
}

async fn one_machine_does_not_fill_the_disk_with_ids_that_it_makes_up(database: Database) {
    let depot = depot_with_limit(database, json!({}), "5").await;
    let (one, other) = (depot.anonymous(), depot.anonymous().calling_from("127.0.0.9"));
    // A minute may end meanwhile, and the count with it.
    let mut refused = Vec::new();
    for n in 0..12 {
        let answer = report(&one, &format!("made-up-{n}"), "applied").await;
        if answer.status != 204 {
            refused.push(answer);
        }
    }
    assert!(refused.len() >= 2, "{} were refused", refused.len());
    for answer in &refused {
        assert_eq!(answer.problem(429), "too_many_reporters");
        assert_eq!(answer.required_header("retry-after"), "60");
    }
    let recorded = progress(&depot).await["counts"]["applied"].as_u64().expect("a count");
    assert_eq!(recorded, 12 - refused.len() as u64, "those that were acknowledged");
    // A second report of one that is in, one of another machine, and one of a client on record are taken.
    report(&one, "made-up-0", "failed").await.expecting(204);
    report(&other, "pc-1", "applied").await.expecting(204);
    one.check_for_update("win7-office", "production", 0, "pc-2").await.expecting(200);
    eventually("the client is on record", || async {
        (depot.admin().get("/api/v1/clients/pc-2").await.status == 200).then_some(())
    })
    .await;
    report(&one, "pc-2", "applied").await.expecting(204);
}
