//! An agent that is killed again and again ends on the right revision.

use super::{Machine, depot};
use crate::harness::command::kill_after;
use crate::harness::folder::files_below;
use crate::harness::{Database, is_long_run, sample};

/// How long the command after an update takes at least, in milliseconds.
const COMMAND_TAKES: u64 = 100;

#[tokio::test]
async fn a_killed_agent_goes_on_and_runs_no_finished_command_twice() {
    let (updates, kills) = if is_long_run() { (25, 100) } else { (4, 12) };
    let depot = depot(Database::Sqlite, updates).await;
    let admin = depot.admin();
    let log = depot.scratch().join("runs");
    let command = format!(
        "run_after = [\"sh\", \"-c\", 'sleep 0.{COMMAND_TAKES}; echo $IMAGEDEPOT_REVISION $IMAGEDEPOT_ATTEMPT >> {}']",
        log.display()
    );
    let machine = Machine::with_settings(&depot, "pc-1", &command);
    let mut killed = 0;
    for revision in 1..=updates {
        admin.promote("win7-office", "production", revision).await.expecting(200);
        for number in 0..kills / updates {
            // The first kill is always one: the command alone takes longer.
            let latest = if number == 0 { COMMAND_TAKES } else { 400 };
            let ended = kill_after(machine.once(&[]), sample::random_below(latest)).await;
            killed += u64::from(!ended);
            // Whatever is in use is whole, and is what was offered before or now.
            let in_use = machine.in_use();
            let before = Some(revision - 1).filter(|before| *before > 0);
            assert!(in_use == Some(revision) || in_use == before, "{in_use:?}");
            let visible = files_below(&machine.image()).into_keys();
            let mut visible = visible.filter(|path| !path.starts_with('.'));
            assert!(visible.all(|path| !path.contains("partial")), "a part is visible");
        }
        machine.round().await;
        assert_eq!(machine.in_use(), Some(revision));
        machine.has_reported(&admin, "applied", revision).await;
    }
    assert!(killed >= updates, "{killed} agents were killed in {updates} updates");
    let runs = std::fs::read_to_string(&log).expect("the runs");
    for revision in 1..=updates {
        let attempts: Vec<u64> = runs
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(number, _)| number.parse() == Ok(revision))
            .map(|(_, attempt)| attempt.parse().expect("a number"))
            .collect();
        // A command that was cut off may have written its line; each attempt has a number of its own.
        assert!(!attempts.is_empty(), "revision {revision} has no run: {runs}");
        let mut distinct = attempts.clone();
        distinct.dedup();
        assert_eq!(attempts, distinct, "a run was repeated under the same number: {runs}");
    }
}
