//! The whole loop: a test channel, steps with groups, failures that halt, and the way back.

use std::path::Path;

use serde_json::json;

use super::{Machine, depot};
use crate::harness::actions::{assignment_path, ckm};
use crate::harness::command::{imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::{Database, Person};

/// The channel of an agent.
const TEST: &[&str] = &["--channel", "test"];
const PILOT: &[&str] = &["--group", "pilot"];

async fn promote(admin: &Person, channel: &str, document: serde_json::Value) {
    admin.put(&assignment_path("win7-office", channel)).json(&document).await.expecting(200);
}

#[tokio::test]
async fn machines_follow_tests_steps_halts_and_rollbacks() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let (tester, pilot) = (Machine::new(&depot, "tester"), Machine::new(&depot, "pilot-1"));
    let failing = "run_after = [\"sh\", \"-c\", 'test $IMAGEDEPOT_REVISION != 2']";
    let (failing, other) =
        (Machine::with_settings(&depot, "failing", failing), Machine::new(&depot, "other"));
    pilot.round_with(PILOT).await;
    failing.round_with(PILOT).await;
    other.round().await;

    promote(&admin, "test", json!({"revision": 2})).await;
    tester.round_with(TEST).await;
    assert_eq!(tester.in_use(), Some(2));
    // Production begins with the pilots, and halts at the first failure.
    let steps = json!([{"percent": 100, "groups": ["pilot"]}, {"percent": 0}]);
    let halt = json!({"failures_percent": 10, "at_least": 1});
    promote(
        &admin,
        "production",
        json!({"revision": 2, "rollout": {"steps": steps, "halt": halt}}),
    )
    .await;
    pilot.round_with(PILOT).await;
    assert_eq!(pilot.in_use(), Some(2));
    assert_eq!(other.round().await["answer"], "hold held_by_rollout");
    assert_eq!(run(failing.once(PILOT)).await.code, 1);
    let assigned = admin.assignment("win7-office", "production").await;
    assert_eq!(assigned["rollout"]["state"], "halted", "{assigned}");

    // A person goes on, to all.
    let path = assignment_path("win7-office", "production");
    admin.patch(&path).json(&json!({"halted": false, "percent": 100})).await.expecting(200);
    other.round().await;
    assert_eq!(other.in_use(), Some(2));
    // And back.
    admin.roll_back("win7-office", "production").await.expecting(200);
    for (machine, group) in [(&pilot, PILOT), (&failing, PILOT), (&other, &[])] {
        machine.round_with(group).await;
        assert_eq!(machine.in_use(), Some(1), "{}", machine.name);
    }
    admin.delete(&path).await.expecting(200);
    for machine in [&pilot, &other] {
        assert_eq!(machine.round().await["answer"], "hold withdrawn");
        assert_eq!(machine.in_use(), Some(1));
    }
}

#[tokio::test]
async fn the_revision_in_use_lies_in_a_medv_client_s_store_as_well() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let store = depot.scratch().join("client");
    let of_image = format!("prestage_to = \"{}\"", store.display());
    let machine = Machine::with_settings(&depot, "pc-1", &of_image);
    let prestaged = store.join("MED-V Images/PrestagedImages");
    for revision in [1, 2] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
        machine.round().await;
        let there: Vec<_> = files_below(&prestaged).into_keys().collect();
        let named = format!("win7-office_{revision}.ckm");
        assert_eq!(there, [named.clone(), format!("{named}.index")]);
        assert!(std::fs::read(prestaged.join(named)).expect("the image") == ckm(revision));
    }
}

#[tokio::test]
async fn a_store_that_is_named_later_or_emptied_is_filled_and_one_that_cannot_be_written_stops_nothing()
 {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let machine = Machine::with_settings(&depot, "pc-1", "");
    machine.round().await;
    let store = depot.scratch().join("client");
    let named = |store: &Path| format!("prestage_to = \"{}\"", store.display());
    let machine = machine.settings(&depot, "", &named(&store));
    let image = store.join("MED-V Images/PrestagedImages/win7-office_1.ckm");
    for _ in 0..2 {
        machine.round().await;
        assert!(std::fs::read(&image).expect("the image") == ckm(1));
        std::fs::remove_file(&image).expect("empty the store");
    }
    // In another place it leaves the first one.
    let other = depot.scratch().join("other");
    let machine = machine.settings(&depot, "", &named(&other));
    machine.round().await;
    assert!(files_below(&store).is_empty());
    assert_eq!(files_below(&other).len(), 2);

    let file = depot.scratch().join("a-file");
    std::fs::write(&file, "no folder").expect("a file");
    let machine = machine.settings(&depot, "", &named(&file));
    admin.promote("win7-office", "production", 2).await.expecting(200);
    let said = run(machine.once(&[])).await;
    assert_eq!((said.code, machine.in_use()), (1, Some(2)), "{}", said.stdout);
    machine.has_reported(&admin, "failed", 2).await;
    admin.roll_back("win7-office", "production").await.expecting(200);
    run(machine.once(&[])).await;
    assert_eq!(machine.in_use(), Some(1));
}

#[tokio::test]
async fn the_status_says_why_an_offer_is_not_taken() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let failing =
        "run_after = [\"sh\", \"-c\", 'test $IMAGEDEPOT_REVISION != 2']\nif_it_fails = \"go_back\"";
    let machine = Machine::with_settings(&depot, "pc-1", failing);
    machine.round().await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    assert_eq!(run(machine.once(&[])).await.code, 1);
    let told = machine.round().await;
    assert_eq!((machine.in_use(), &told["answer"]), (Some(1), &json!("update newer_revision")));
    let mut status = imagedepot(["agent", "status", "--output", "json", "--to"]);
    status.arg(&machine.folder);
    let status = run(status).await.successful().last_line();
    let image = &status["items"][0];
    let doing = "waits for another assignment: the command of revision 2 failed here";
    assert_eq!(image["doing"], doing, "{status}");
    assert_eq!(image["last_failure"]["revision"], 2, "{status}");
}
