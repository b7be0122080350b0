//! `imagedepot push` over everything that ends it early: lines that break, a killed server, a killed push,
//! Ctrl-C. The revision is the files, bit by bit, and little is sent twice.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::actions::file_path;
use crate::harness::broken_link::{BrokenLink, Fault};
use crate::harness::command::{as_admin, run};
use crate::harness::folder::files_below;
use crate::harness::{Database, Depot, eventually, on_both_databases, sample};

on_both_databases![
    a_push_goes_on_over_a_line_that_breaks,
    a_push_goes_on_when_the_server_was_killed_meanwhile,
    a_killed_push_goes_on_where_it_stopped,
];

/// Far more than what the buffers of a line hold, which nobody can know to have arrived.
const SIZE: usize = 60_000_000;
const INDEX_SIZE: usize = 3_000_000;
/// The most bytes that may be in those buffers when a connection breaks.
const UNDER_WAY: u64 = 16_000_000;

/// Two files of an image, and the memory of the computer that pushes them.
struct Computer {
    ckm: PathBuf,
    index: PathBuf,
    state: PathBuf,
}

impl Computer {
    fn new(folder: &Path) -> Self {
        let (ckm, index) = (folder.join("win7.ckm"), folder.join("win7.ckm.index"));
        std::fs::write(&ckm, sample::bytes(1, SIZE)).expect("write the image");
        std::fs::write(&index, sample::bytes(2, INDEX_SIZE)).expect("write the index");
        Self { ckm, index, state: folder.join("state") }
    }

    fn push(&self, url: &str) -> Command {
        let [ckm, index] = [&self.ckm, &self.index].map(|path| path.display().to_string());
        let mut command = as_admin(url, ["push", "win7", &ckm, &index, "--output", "json"]);
        command.env("IMAGEDEPOT_STATE_DIR", &self.state);
        command
    }

    fn remembered(&self) -> Vec<String> {
        files_below(&self.state).into_keys().collect()
    }

    /// Everything that a push promises, for the first revision.
    async fn its_push_is_complete(&self, depot: &Depot, pushed: &Value) {
        assert_eq!((&pushed["revision"], &pushed["state"]), (&json!(1), &json!("ready")));
        let admin = depot.admin();
        assert_eq!(admin.revision("win7", 1).await["state"], "ready");
        for (role, path) in [("ckm", &self.ckm), ("index", &self.index)] {
            let stored = admin.get(&file_path("win7", 1, role)).await.expecting(200).body;
            assert!(stored == std::fs::read(path).expect("the file"), "the {role} differs");
        }
        assert_eq!(self.remembered(), Vec::<String>::new(), "left in the state folder");
        depot.comes_to_store(2).await;
    }
}

async fn a_push_goes_on_over_a_line_that_breaks(database: Database) {
    let depot = Depot::start(database).await;
    let computer = Computer::new(depot.scratch());
    let fault = Fault::BreaksUploads { after: 9_000_000, times: 5 };
    let line = BrokenLink::to(depot.server.port(), fault).await;
    let pushed = run(computer.push(&line.url())).await.successful().last_line();
    assert_eq!(line.broken(), 5);
    computer.its_push_is_complete(&depot, &pushed).await;
    let sent = pushed["bytes_sent"].as_u64().expect("bytes_sent");
    assert!(sent < (SIZE + INDEX_SIZE) as u64 + 5 * UNDER_WAY, "{sent} bytes sent");
}

async fn a_push_goes_on_when_the_server_was_killed_meanwhile(database: Database) {
    let mut depot = Depot::start(database).await;
    let computer = Computer::new(depot.scratch());
    let fault = Fault::StallsUploads { after: 30_000_000, times: 1 };
    let line = BrokenLink::to(depot.server.port(), fault).await;
    let outage = async {
        eventually("half of it is sent", || async { (line.broken() == 1).then_some(()) }).await;
        depot.server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        depot.server.start_again().await;
    };
    let (pushed, ()) = tokio::join!(run(computer.push(&line.url())), outage);
    let pushed = pushed.successful().last_line();
    computer.its_push_is_complete(&depot, &pushed).await;
}

async fn a_killed_push_goes_on_where_it_stopped(database: Database) {
    let depot = Depot::start(database).await;
    let computer = Computer::new(depot.scratch());
    let fault = Fault::StallsUploads { after: 30_000_000, times: 1 };
    let line = BrokenLink::to(depot.server.port(), fault).await;
    let mut push = stalled_push(&computer, &line).await;
    push.kill().expect("kill the push");
    push.wait().expect("the push's end");
    assert_eq!(computer.remembered().len(), 2, "{:?}", computer.remembered());

    let pushed = run(computer.push(&line.url())).await.successful();
    assert!(pushed.stderr.contains("continuing with revision 1"), "{}", pushed.stderr);
    let pushed = pushed.last_line();
    computer.its_push_is_complete(&depot, &pushed).await;
    let sent = pushed["bytes_sent"].as_u64().expect("bytes_sent");
    assert!(sent < 31_000_000, "{sent} bytes sent, 30,000,000 were missing");
}

/// A push that has brought its small file and half of the other.
async fn stalled_push(computer: &Computer, line: &BrokenLink) -> Child {
    let mut command = computer.push(&line.url());
    let push = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("push");
    eventually("half of it is sent", || async { (line.broken() == 1).then_some(()) }).await;
    // What the line has passed on reaches the server.
    tokio::time::sleep(Duration::from_millis(500)).await;
    push
}

#[tokio::test]
async fn after_ctrl_c_the_same_command_goes_on() {
    let depot = Depot::start(Database::Sqlite).await;
    let computer = Computer::new(depot.scratch());
    let fault = Fault::StallsUploads { after: 30_000_000, times: 1 };
    let line = BrokenLink::to(depot.server.port(), fault).await;
    let push = stalled_push(&computer, &line).await;
    kill_process(Pid::from_child(&push), Signal::INT).expect("press Ctrl-C");
    let ended = push.wait_with_output().expect("the push's end");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(told.contains("the same command continues"), "{told}");
    assert_eq!(depot.admin().revision("win7", 1).await["state"], "draft", "taken away");

    let pushed = run(computer.push(&line.url())).await.successful().last_line();
    computer.its_push_is_complete(&depot, &pushed).await;
    let sent = pushed["bytes_sent"].as_u64().expect("bytes_sent");
    assert!(sent < 31_000_000, "{sent} bytes sent, 30,000,000 were missing");
}

#[tokio::test]
async fn restart_and_changed_files_begin_anew_and_leave_no_draft_behind() {
    let depot = Depot::start(Database::Sqlite).await;
    let computer = Computer::new(depot.scratch());
    let fault = Fault::StallsUploads { after: 30_000_000, times: 2 };
    let line = BrokenLink::to(depot.server.port(), fault).await;
    let mut first = stalled_push(&computer, &line).await;
    first.kill().expect("kill the push");
    first.wait().expect("the push's end");
    std::fs::write(&computer.index, sample::bytes(3, INDEX_SIZE)).expect("another index");

    let mut command = computer.push(&line.url());
    let mut second =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("push again");
    eventually("it has begun again", || async { (line.broken() == 2).then_some(()) }).await;
    second.kill().expect("kill the push");
    second.wait().expect("the push's end");
    depot.admin().get("/api/v1/images/win7/revisions/1").await.problem(410);

    let mut command = computer.push(&line.url());
    command.arg("--restart");
    let pushed = run(command).await.successful().last_line();
    assert_eq!(pushed["revision"], 3);
    assert_eq!(pushed["bytes_sent"], SIZE + INDEX_SIZE);
    depot.admin().get("/api/v1/images/win7/revisions/2").await.problem(410);
    depot.comes_to_store(2).await;
    assert_eq!(computer.remembered(), Vec::<String>::new());
}
