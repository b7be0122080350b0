//! Machines that have nothing but a copy of the tree, served by a plain nginx: they do what machines that ask the server
//! do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Machine, depot};
use crate::harness::actions::assignment_path;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, Person, is_long_run};
use crate::trust::wait_until_signed;

/// The number of agents that run at once.
const AT_ONCE: usize = 8;

/// A depot whose tree is copied to a plain nginx.
struct Copied {
    depot: Depot,
    site: StaticSite,
    root: PathBuf,
}

impl Copied {
    async fn start(revisions: u64) -> Self {
        let depot = depot(Database::Sqlite, revisions).await;
        wait_until_signed(&depot, "channel.json").await;
        let root = depot.scratch().join("root.json");
        let newest = depot.anonymous().get("/api/v1/trust/root.json").await.expecting(200);
        std::fs::write(&root, newest.body).expect("the root");
        let copied = Self { depot, site: StaticSite::start().await, root };
        copied.copy().await;
        copied
    }

    /// Brings the copy up to date.
    async fn copy(&self) {
        self.depot.admin().wait_until_the_tree_is_complete().await;
        wait_until_signed(&self.depot, "channel.json").await;
        self.site.copy(&self.depot, "copy").await;
    }

    fn machine(&self, name: &str) -> Machine {
        Machine::by_tree(&self.depot, name, &self.site.url("copy"), &self.root)
    }

    async fn change(&self, change: Value) {
        let path = assignment_path("win7-office", "production");
        self.depot.admin().patch(&path).json(&change).await.expecting(200);
        self.copy().await;
    }
}

/// Lets all machines check once. Returns those on revision 2.
async fn round(machines: &[Machine]) -> BTreeSet<&str> {
    let rounds = stream::iter(machines).map(Machine::round);
    rounds.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let on_two = machines.iter().filter(|machine| machine.in_use() == Some(2));
    on_two.map(|machine| machine.name.as_str()).collect()
}

/// The machines whose place in the promotion is below a share, as docs/rollouts.md has it.
fn in_the_first<'a>(percent: u64, promotion: &str, machines: &'a [Machine]) -> BTreeSet<&'a str> {
    let is_in = |machine: &&Machine| {
        let digest = Sha256::digest(format!("{promotion}\0{}", machine.name.to_ascii_lowercase()));
        let number = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
        number % 10_000 < percent * 100
    };
    machines.iter().filter(is_in).map(|machine| machine.name.as_str()).collect()
}

async fn promotion(admin: &Person) -> String {
    let assigned = admin.assignment("win7-office", "production").await;
    assigned["promotion"].as_str().expect("its id").to_owned()
}

#[tokio::test]
async fn two_hundred_machines_do_what_their_place_says_from_the_server_and_from_a_static_copy() {
    let count = if is_long_run() { 200 } else { 100 };
    let copied = Copied::start(2).await;
    let (depot, admin) = (&copied.depot, copied.depot.admin());
    let both = json!({"tree_during_rollout": true});
    admin.patch("/api/v1/channels/production").json(&both).await.expecting(200);
    let asking = (0..count).map(|number| Machine::new(depot, &format!("PC-{number}")));
    let reading = (0..count).map(|number| copied.machine(&format!("Site-{number}")));
    let machines: Vec<Machine> = asking.chain(reading).collect();
    assert_eq!(round(&machines).await.len(), 0);

    let path = assignment_path("win7-office", "production");
    let rollout = json!({"revision": 2, "rollout": {"percent": 10}});
    admin.put(&path).json(&rollout).await.expecting(200);
    copied.copy().await;
    let promotion = promotion(&admin).await;
    for percent in [10, 50] {
        copied.change(json!({"percent": percent})).await;
        assert_eq!(round(&machines).await, in_the_first(percent, &promotion, &machines));
    }
    copied.change(json!({"percent": 90, "halted": true})).await;
    assert_eq!(round(&machines).await, in_the_first(50, &promotion, &machines));
    copied.change(json!({"percent": 100, "halted": false})).await;
    assert_eq!(round(&machines).await.len(), machines.len());
    admin.roll_back("win7-office", "production").await.expecting(200);
    copied.copy().await;
    assert_eq!(round(&machines).await.len(), 0);
    assert!(machines.iter().all(|machine| machine.in_use() == Some(1)));
}

#[tokio::test]
async fn without_both_revisions_in_the_tree_nobody_who_reads_it_moves_before_completion() {
    let copied = Copied::start(2).await;
    let admin = copied.depot.admin();
    let (reading, asking) = (copied.machine("site-1"), Machine::new(&copied.depot, "site-2"));
    reading.round().await;
    let path = assignment_path("win7-office", "production");
    let almost_all = json!({"revision": 2, "rollout": {"percent": 99.99}});
    admin.put(&path).json(&almost_all).await.expecting(200);
    copied.copy().await;
    assert_eq!(reading.round().await["answer"], "none up_to_date");
    asking.round().await;
    assert_eq!((reading.in_use(), asking.in_use()), (Some(1), Some(2)));
    // A machine that was offered more by the server does not go back because a copy is behind.
    let moved = Machine { folder: asking.folder.clone(), ..copied.machine("site-2") };
    assert_eq!(moved.round().await["answer"], "hold held_by_rollout");
    assert_eq!(moved.in_use(), Some(2));

    copied.change(json!({"percent": 100})).await;
    reading.round().await;
    assert_eq!(reading.in_use(), Some(2));
}

#[tokio::test]
async fn a_copy_s_withdrawal_holds_and_a_revocation_moves() {
    let copied = Copied::start(3).await;
    let admin = copied.depot.admin();
    let machine = copied.machine("site-1");
    machine.round().await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    copied.copy().await;
    machine.round().await;
    admin.promote("win7-office", "production", 3).await.expecting(200);
    admin.revoke("win7-office", 2).await.expecting(200);
    copied.copy().await;
    assert_eq!(machine.round().await["answer"], "update revision_revoked");
    assert_eq!(machine.in_use(), Some(3));
    admin.delete(&assignment_path("win7-office", "production")).await.expecting(200);
    copied.copy().await;
    assert_eq!(machine.round().await["answer"], "hold withdrawn");
    assert_eq!(machine.in_use(), Some(3));
    let new = copied.machine("site-2");
    assert_eq!(new.round().await["answer"], "none nothing_assigned");
}

#[tokio::test]
async fn a_channel_is_found_in_whatever_folder_and_case() {
    let copied = Copied::start(2).await;
    let admin = copied.depot.admin();
    let early = json!({"name": "Early", "folder": "early-birds"});
    admin.post("/api/v1/channels").json(&early).await.expecting(201);
    admin.promote("win7-office", "Early", 2).await.expecting(200);
    wait_until_signed(&copied.depot, "early-birds/win7-office_2.ckm.index").await;
    copied.copy().await;
    for (channel, revision) in [("early", 2), ("PRODUCTION", 1)] {
        let machine = copied.machine(&format!("site-{channel}"));
        machine.round_with(&["--channel", channel]).await;
        assert_eq!(machine.in_use(), Some(revision), "{channel}");
    }
}

#[tokio::test]
async fn an_agent_goes_on_by_itself() {
    let copied = Copied::start(3).await;
    let admin = copied.depot.admin();
    let machine = copied.machine("site-1").settings(&copied.depot, "check_every = \"30s\"", "");
    let mut agent = machine.command(&[]).spawn().expect("start the agent");
    // It checks once in a slot of half a minute: a minute may pass between two checks.
    let has = async |revision| {
        let until = Instant::now() + Duration::from_secs(90);
        while machine.in_use() != Some(revision) {
            assert!(Instant::now() < until, "revision {revision} is not in use");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    has(1).await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    copied.copy().await;
    has(2).await;
    assert!(agent.try_wait().expect("look at it").is_none(), "it has ended");
    agent.kill().expect("end it");
    let _ended = agent.wait();
}
