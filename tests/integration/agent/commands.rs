//! The command after a change: run once for each revision, with what it has to know, and its failure told.

use std::time::{Duration, Instant};

use super::{Machine, depot};
use crate::harness::command::run;
use crate::harness::{Database, eventually};

/// A command that writes a line for each run, and fails for this revision.
fn script(log: &std::path::Path, fails_for: u64) -> String {
    let line = "$IMAGEDEPOT_REVISION $IMAGEDEPOT_PREVIOUS $IMAGEDEPOT_ATTEMPT $(readlink $IMAGEDEPOT_PATH/../current)";
    format!(
        "run_after = [\"sh\", \"-c\", '''echo \"{line}\" >> {}; test \"$IMAGEDEPOT_REVISION\" != {fails_for}''']",
        log.display()
    )
}

#[tokio::test]
async fn a_command_runs_once_for_each_revision() {
    let depot = depot(Database::Sqlite, 2).await;
    let log = depot.scratch().join("runs");
    let machine = Machine::with_settings(&depot, "pc-1", &script(&log, 99));
    machine.round().await;
    machine.round().await;
    depot.admin().promote("win7-office", "production", 2).await.expecting(200);
    machine.round().await;
    machine.round().await;
    let runs = std::fs::read_to_string(&log).expect("the runs");
    assert_eq!(runs, "1  1 1\n2 1 1 2\n");
}

#[tokio::test]
async fn a_failure_is_reported_and_leads_back_if_that_is_asked() {
    let depot = depot(Database::Sqlite, 3).await;
    let admin = depot.admin();
    let log = depot.scratch().join("runs");
    let stays = Machine::with_settings(&depot, "stays", &script(&log, 2));
    let settings = format!("{}\nif_it_fails = \"go_back\"", script(&log, 2));
    let goes_back = Machine::with_settings(&depot, "goes-back", &settings);
    for machine in [&stays, &goes_back] {
        machine.round().await;
    }
    admin.promote("win7-office", "production", 2).await.expecting(200);
    for (machine, revision) in [(&stays, 2), (&goes_back, 1)] {
        let failed = run(machine.once(&[])).await;
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert!(failed.stderr.contains("exit status: 1"), "{}", failed.stderr);
        assert_eq!(machine.in_use(), Some(revision), "{}", machine.name);
        let report = machine.has_reported(&admin, "failed", 2).await;
        let error = report["error"].as_str().expect("an error");
        assert!(error.contains("exit status: 1"), "{error}");
    }
    // It is not tried again while the same is assigned.
    goes_back.round().await;
    assert_eq!(goes_back.in_use(), Some(1));
    let runs = std::fs::read_to_string(&log).expect("the runs");
    assert_eq!(runs.lines().filter(|line| line.starts_with("2 ")).count(), 2, "{runs}");
    admin.promote("win7-office", "production", 3).await.expecting(200);
    goes_back.round().await;
    assert_eq!(goes_back.in_use(), Some(3));
}

#[tokio::test]
async fn a_command_that_takes_too_long_has_failed() {
    let depot = depot(Database::Sqlite, 1).await;
    let slow = "run_after = [\"sleep\", \"60\"]\nrun_time_limit = \"1s\"";
    let machine = Machine::with_settings(&depot, "pc-1", slow);
    assert_eq!(run(machine.once(&[])).await.code, 1);
    let report = machine.has_reported(&depot.admin(), "failed", 1).await;
    assert!(report["error"].as_str().expect("an error").contains("did not end within 1 s"));
    assert_eq!(machine.in_use(), Some(1));
}

#[tokio::test]
async fn a_command_that_outlives_its_agent_is_not_run_beside_itself() {
    let depot = depot(Database::Sqlite, 1).await;
    let log = depot.scratch().join("runs");
    let command = format!(
        "run_after = [\"sh\", \"-c\", 'echo begin $IMAGEDEPOT_ATTEMPT >> {0}; sleep 2; echo end $IMAGEDEPOT_ATTEMPT >> {0}']",
        log.display()
    );
    let machine = Machine::with_settings(&depot, "pc-1", &command);
    let mut agent = machine.command(&[]).spawn().expect("start the agent");
    let runs = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the command runs", || async { (!runs().is_empty()).then_some(()) }).await;
    agent.kill().expect("kill the agent alone");
    let _killed = agent.wait();
    machine.round().await;
    assert_eq!(runs(), "begin 1\nend 1\nbegin 2\nend 2\n");
}

#[tokio::test]
async fn what_a_command_leaves_running_keeps_no_later_command_waiting() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let log = depot.scratch().join("runs");
    // Its child keeps the standard input that it inherits, as a program's children do.
    let script = depot.scratch().join("command.py");
    let text = format!(
        "import os, subprocess\nopen('{}', 'a').write(os.environ['IMAGEDEPOT_REVISION'] + '\\n')\n\
         subprocess.Popen(['sleep', '20'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n",
        log.display()
    );
    std::fs::write(&script, text).expect("a script");
    let command = format!("run_after = [\"python3\", \"{}\"]", script.display());
    let machine = Machine::with_settings(&depot, "pc-1", &command);
    machine.round().await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    let begun = Instant::now();
    machine.round().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "it waited for the first one's child");
    assert_eq!(std::fs::read_to_string(&log).expect("the runs"), "1\n2\n");
}
