//! The whole loop: a test channel, steps with groups, failures that halt, and the way back.

use serde_json::json;

use super::{Machine, depot};
use crate::harness::actions::{assignment_path, ckm};
use crate::harness::command::run;
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
