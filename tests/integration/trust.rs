//! The tree's signed metadata, as clients of The Update Framework and our own see it: over HTTP, from a plain nginx over
//! the published folder, and from what lies in a bucket.

mod killed;
mod offline;
mod refusals;
mod signing;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::generated_clients::installed;
use crate::harness::actions::{ckm, index};
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::static_site::StaticSite;
use crate::harness::{
    Database, Depot, Store, eventually, on_both_databases, on_both_databases_and_stores,
};

on_both_databases![
    python_tuf_and_tough_follow_promotions_and_rotations,
    our_client_follows_promotions_and_rotations,
];
on_both_databases_and_stores![a_copy_of_the_tree_is_believed];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/tuf_fetch.py");

/// A machine that trusts a depot's root, and remembers what it has seen.
pub struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// A machine with the root that the depot has now.
    pub async fn new(depot: &Depot, name: &str) -> Self {
        Self::of(depot, depot.scratch().join(name)).await
    }

    /// The same with a folder of its own.
    pub async fn of(depot: &Depot, folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("root.json"), newest_root(depot).await).expect("the root");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Fetches a file with python-tuf.
    pub async fn fetch_with_python(&self, tree: &str, target: &str) -> Finished {
        let mut python = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python"));
        python.arg(SCRIPT).args([self.path("root.json"), self.path("python")]);
        python.args([tree, target]).arg(self.path("fetched"));
        run(python.env("PYTHONDONTWRITEBYTECODE", "1").take()).await
    }

    /// Fetches a file with tough.
    pub async fn fetch_with_tough(&self, tree: &str, target: &str) -> Finished {
        let mut tough = Command::new(installed("IMAGEDEPOT_TEST_TOUGH", "tough", "tough-fetch"));
        tough.args([self.path("root.json"), self.path("tough")]).args([tree, target]);
        run(tough.arg(self.path("fetched")).take()).await
    }

    /// Pulls what production offers of win7-office.
    pub async fn pull(&self, tree: &str) -> Finished {
        let mut pull = imagedepot(["pull", "win7-office", "--tree", tree]);
        pull.arg("--trust").arg(self.path("root.json")).arg("--to").arg(self.path("pulled"));
        run(pull.env("IMAGEDEPOT_STATE_DIR", self.path("state")).take()).await
    }

    /// Pulls what production offers of an image into this folder.
    pub async fn pull_into(&self, tree: &str, image: &str, folder: &Path) -> Finished {
        let mut pull = imagedepot(["pull", image, "--output", "json", "--tree", tree]);
        pull.arg("--trust").arg(self.path("root.json")).arg("--to").arg(folder);
        run(pull.env("IMAGEDEPOT_STATE_DIR", self.path("state")).take()).await
    }

    pub async fn verify(&self, tree: &str) -> Finished {
        let mut verify = imagedepot(["verify", tree, "--output", "json"]);
        verify.arg("--trust").arg(self.path("root.json"));
        run(verify.env("IMAGEDEPOT_STATE_DIR", self.path("state")).take()).await
    }

    pub fn pulled(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path("pulled").join(name)).expect("a pulled file")
    }

    pub fn fetched(&self) -> Vec<u8> {
        std::fs::read(self.path("fetched")).expect("a fetched file")
    }
}

/// A command with its arguments, to be moved out of a chain of calls.
pub trait Take {
    fn take(&mut self) -> Command;
}

impl Take for Command {
    fn take(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

async fn newest_root(depot: &Depot) -> Vec<u8> {
    eventually("the depot has signed its tree", || async {
        let answer = depot.anonymous().get("/api/v1/trust/root.json").await;
        (answer.status == 200).then(|| answer.body.to_vec())
    })
    .await
}

pub fn tree_over_http(depot: &Depot) -> String {
    format!("{}/MEDVImages", depot.server.url())
}

/// The number of a file, such as the timestamp.
pub fn version(file: &[u8]) -> i64 {
    let file: serde_json::Value = serde_json::from_slice(file).expect("JSON");
    file["signed"]["version"].as_i64().expect("a number")
}

/// Waits until a file of the tree is signed, over HTTP and in the physical tree.
pub async fn wait_until_signed(depot: &Depot, target: &str) {
    let machine = Machine::new(depot, "waiting").await;
    let tree = tree_over_http(depot);
    eventually(&format!("{target} is signed"), || async {
        let told = machine.fetch_with_python(&tree, target).await;
        told.stdout.starts_with("fetched").then_some(())
    })
    .await;
    eventually("the tree has what is signed", || async {
        let signed = depot.anonymous().get_tree("tuf/timestamp.json").await.body;
        (published_timestamp(depot).await == Some(signed.to_vec())).then_some(())
    })
    .await;
}

pub async fn published_timestamp(depot: &Depot) -> Option<Vec<u8>> {
    match &depot.bucket {
        Some(bucket) => bucket.find("MEDVImages/tuf/timestamp.json").await,
        None => std::fs::read(depot.tree().join("tuf/timestamp.json")).ok(),
    }
}

/// Runs `imagedepot trust` on the depot's catalog.
pub async fn trust_command(depot: &Depot, arguments: &[&str]) -> Finished {
    let mut command = imagedepot(["trust"]);
    command.args(arguments).arg("--data").arg(depot.server.data());
    run(command.envs(depot.environment()).take()).await
}

async fn promote_next(depot: &Depot, seed: u64) -> u64 {
    let admin = depot.admin();
    let revision = admin.ready_revision("win7-office", seed).await;
    admin.promote("win7-office", "production", revision).await.expecting(200);
    revision
}

async fn python_tuf_and_tough_follow_promotions_and_rotations(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let (machine, tree) = (Machine::new(&depot, "machine").await, tree_over_http(&depot));
    wait_until_signed(&depot, "win7-office_1.ckm").await;
    let told = machine.fetch_with_python(&tree, "win7-office_1.ckm").await.successful();
    assert_eq!(told.stdout.trim(), "fetched 300000");
    assert!(machine.fetched() == ckm(1));
    for (step, role) in (2..).zip(["timestamp", "snapshot", "targets", "root", "root"]) {
        trust_command(&depot, &["rotate", role]).await.successful();
        promote_next(&depot, step).await;
        let target = format!("win7-office_{step}.ckm.index");
        wait_until_signed(&depot, &target).await;
        machine.fetch_with_python(&tree, &target).await.successful();
        machine.fetch_with_tough(&tree, &target).await.successful();
        assert!(machine.fetched() == index(step));
    }
    // Metadata, not bytes: the image itself came once.
    let told = machine.fetch_with_python(&tree, "channel.json").await.successful();
    assert!(told.stdout.starts_with("fetched"), "{}", told.stdout);
    let told = machine.fetch_with_python(&tree, "secret_1.ckm").await.successful();
    assert_eq!(told.stdout.trim(), "not listed");
    let told = machine.fetch_with_tough(&tree, "secret_1.ckm").await.successful();
    assert_eq!(told.stdout.trim(), "not listed");
}

async fn our_client_follows_promotions_and_rotations(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let (machine, tree) = (Machine::new(&depot, "machine").await, tree_over_http(&depot));
    wait_until_signed(&depot, "win7-office_1.ckm").await;
    machine.pull(&tree).await.successful();
    assert!(machine.pulled("win7-office_1.ckm") == ckm(1));
    for (step, role) in (2..).zip(["snapshot", "root", "targets"]) {
        trust_command(&depot, &["rotate", role]).await.successful();
        promote_next(&depot, step).await;
        wait_until_signed(&depot, &format!("win7-office_{step}.ckm")).await;
        machine.pull(&tree).await.successful();
        assert!(machine.pulled(&format!("win7-office_{step}.ckm")) == ckm(step));
    }
    let report = machine.verify(&tree).await.successful().last_line();
    assert_eq!(report["sound"], true);
    // Two revisions of two files, and two channels.
    assert_eq!(report["files"], 6, "{report}");
}

async fn a_copy_of_the_tree_is_believed(database: Database, store: Store) {
    let depot = Depot::on(database).store(store).start().await;
    depot.admin().published_image("win7-office", "production").await;
    wait_until_signed(&depot, "win7-office_1.ckm.index").await;
    let site = StaticSite::start().await;
    let copy = site.copy(&depot, "copy").await;
    let machine = Machine::new(&depot, "machine").await;
    machine.fetch_with_python(&copy, "win7-office_1.ckm").await.successful();
    assert!(machine.fetched() == ckm(1));
    machine.fetch_with_tough(&copy, "win7-office_1.ckm.index").await.successful();
    assert!(machine.fetched() == index(1));
    machine.pull(&copy).await.successful();
    assert!(machine.pulled("win7-office_1.ckm") == ckm(1));
    assert_eq!(machine.verify(&copy).await.successful().last_line()["absent"], 0);
    // What other people put there is found.
    let path: &Path = Path::new("copy/win7-office_1.ckm.index");
    site.write(&path.display().to_string(), b"another index");
    let report = machine.verify(&copy).await;
    assert_eq!(report.code, 7);
    assert_eq!(report.last_line()["findings"][0]["path"], "win7-office_1.ckm.index");
}
