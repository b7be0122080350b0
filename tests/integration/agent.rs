//! The agent: what is in use on a machine after promotions, rollbacks and withdrawals, what it runs and what it reports.

mod by_tree;
mod commands;
mod fleet;
mod killed;
mod line;
mod through_others;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::actions::{ckm, index};
use crate::harness::command::{Finished, as_admin, imagedepot, run};
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};

on_both_databases![a_machine_has_what_the_channel_offers];

/// The other end of an agent.
enum Peer {
    Server(String),
    /// A tree, and the root that is trusted there.
    Tree(String, PathBuf),
}

/// A machine with an agent.
pub struct Machine {
    peer: Peer,
    pub name: String,
    pub folder: PathBuf,
    /// Its settings, unless it is told everything on the command line.
    settings: Option<PathBuf>,
}

impl Machine {
    pub fn new(depot: &Depot, name: &str) -> Self {
        let folder = depot.scratch().join(name);
        let peer = Peer::Server(depot.server.url());
        Self { peer, name: name.to_owned(), folder, settings: None }
    }

    /// A machine that asks the server at another address.
    pub fn at(depot: &Depot, name: &str, url: &str) -> Self {
        Self { peer: Peer::Server(url.to_owned()), ..Self::new(depot, name) }
    }

    /// A machine that has nothing but a tree.
    pub fn by_tree(depot: &Depot, name: &str, tree: &str, root: &Path) -> Self {
        Self { peer: Peer::Tree(tree.to_owned(), root.to_owned()), ..Self::new(depot, name) }
    }

    /// A machine whose settings have these lines for the image.
    pub fn with_settings(depot: &Depot, name: &str, of_image: &str) -> Self {
        Self::new(depot, name).settings(depot, "", of_image)
    }

    /// Takes settings from a file, which has these lines for the agent and for the image.
    pub fn settings(self, depot: &Depot, of_agent: &str, of_image: &str) -> Self {
        let settings = depot.scratch().join(format!("{}.toml", self.name));
        let text = format!(
            "to = \"{}\"\nclient = \"{}\"\n{of_agent}\n[[image]]\nname = \"win7-office\"\n{of_image}\n",
            self.folder.display(),
            self.name,
        );
        std::fs::write(&settings, text).expect("the settings");
        Self { settings: Some(settings), ..self }
    }

    /// The agent's command for one round, with more arguments.
    pub fn once(&self, more: &[&str]) -> std::process::Command {
        let mut command = self.command(more);
        command.arg("--once");
        command
    }

    /// The agent's command, which goes on until it is ended.
    pub fn command(&self, more: &[&str]) -> std::process::Command {
        let arguments = ["agent", "--output", "json"];
        let mut command = match &self.peer {
            Peer::Server(url) => as_admin(url, arguments),
            Peer::Tree(tree, root) => {
                let mut command = imagedepot(arguments);
                command.args(["--tree", tree, "--trust"]).arg(root);
                command
            }
        };
        match &self.settings {
            Some(settings) => command.arg("--config").arg(settings),
            None => command.args(["win7-office", "--client", &self.name, "--to"]).arg(&self.folder),
        };
        command.args(more);
        command
    }

    /// Lets it check once. Returns what it says.
    pub async fn round(&self) -> Value {
        self.round_with(&[]).await
    }

    pub async fn round_with(&self, more: &[&str]) -> Value {
        run(self.once(more)).await.successful().last_line()
    }

    pub fn image(&self) -> PathBuf {
        self.folder.join("win7-office")
    }

    /// The revision in use: where the link leads, once its files are what they should be.
    pub fn in_use(&self) -> Option<u64> {
        let link = std::fs::read_link(self.image().join("current")).ok()?;
        let revision: u64 = link.to_str()?.parse().expect("a number");
        let read = |name: &str| {
            let name = format!("current/win7-office_{revision}.{name}");
            std::fs::read(self.image().join(name)).expect("a file of the revision in use")
        };
        assert!(read("ckm") == ckm(revision) && read("ckm.index") == index(revision));
        Some(revision)
    }

    /// The names that users see in the image's folder, which may not be there yet.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.image()).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().expect("a name")).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Waits until it is on record with this report. Returns the record.
    pub async fn has_reported(&self, admin: &Person, status: &str, revision: u64) -> Value {
        eventually("the report is on record", || async {
            let client = admin.get(&format!("/api/v1/clients/{}", self.name)).await;
            let record = client.json()["items"][0].clone();
            (record["status"] == status && record["reported_revision"] == revision)
                .then_some(record)
        })
        .await
    }
}

/// A depot with so many ready revisions of win7-office, the first one in production.
pub async fn depot(database: Database, revisions: u64) -> Depot {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=revisions {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
    depot
}

async fn a_machine_has_what_the_channel_offers(database: Database) {
    let depot = depot(database, 4).await;
    let (admin, machine) = (depot.admin(), Machine::new(&depot, "pc-1"));
    let told = machine.round().await;
    assert_eq!(told["answer"], "update first_install", "{told}");
    assert_eq!((machine.in_use(), machine.names()), (Some(1), names(&["1", "current"])));
    let told = machine.round().await;
    assert_eq!((&told["changed"], &told["answer"]), (&json!(false), &json!("none up_to_date")));

    for revision in [2, 3] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
        assert_eq!(machine.round().await["revision"], revision);
    }
    // The one before is kept, and older ones are not.
    assert_eq!((machine.in_use(), machine.names()), (Some(3), names(&["2", "3", "current"])));
    machine.has_reported(&admin, "applied", 3).await;

    admin.roll_back("win7-office", "production").await.expecting(200);
    let told = machine.round().await;
    assert_eq!(told["answer"], "rollback rolled_back", "{told}");
    assert_eq!(machine.in_use(), Some(2));
    machine.has_reported(&admin, "applied", 2).await;

    // What is withdrawn stays in use: a machine without an image is of no use to anybody.
    admin.delete("/api/v1/images/win7-office/channels/production").await.expecting(200);
    assert_eq!(machine.round().await["answer"], "hold withdrawn");
    assert_eq!(machine.in_use(), Some(2));

    let mut status = imagedepot(["agent", "status", "--output", "json", "--to"]);
    status.arg(&machine.folder);
    let status = run(status).await.successful().last_line();
    let image = &status["items"][0];
    assert_eq!((&image["revision"], &image["doing"]), (&json!(2), &json!("nothing")), "{status}");
    assert_eq!(image["told"], "hold withdrawn");
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_folder_has_one_agent_and_nobody_else_writes_it() {
    let depot = depot(Database::Sqlite, 1).await;
    let machine = Machine::with_settings(&depot, "pc-1", "run_after = [\"sleep\", \"3\"]");
    let first = run(machine.once(&[]));
    let second = async {
        let record = machine.image().join(".agent.json");
        eventually("the first one is at work", || async { record.exists().then_some(()) }).await;
        run(machine.once(&[])).await
    };
    let (first, second) = tokio::join!(first, second);
    first.successful();
    assert_eq!(second.code, 6, "{}", second.stderr);

    let open = Machine::new(&depot, "open");
    std::fs::create_dir(&open.folder).expect("a folder");
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&open.folder, anybody).expect("permissions");
    let refused = run(open.once(&[])).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("chmod go-w"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_revision_that_was_damaged_here_is_fetched_again() {
    let depot = depot(Database::Sqlite, 2).await;
    let (admin, machine) = (depot.admin(), Machine::new(&depot, "pc-1"));
    machine.round().await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    machine.round().await;
    let kept = machine.image().join("1/win7-office_1.ckm");
    std::fs::write(&kept, b"damaged").expect("damage");
    admin.roll_back("win7-office", "production").await.expecting(200);
    machine.round().await;
    assert_eq!(machine.in_use(), Some(1));
}

#[tokio::test]
async fn a_depot_that_is_away_changes_nothing() {
    let mut depot = depot(Database::Sqlite, 2).await;
    let machine = Machine::new(&depot, "pc-1");
    machine.round().await;
    let away = Machine::at(&depot, "pc-1", "http://127.0.0.1:9");
    let failed: Finished = run(away.once(&[])).await;
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    assert_eq!(machine.in_use(), Some(1));
    let record = status_of(&machine.image());
    assert!(record["last_check"]["error"].is_string(), "{record}");
    depot.server.restart().await;
    machine.round().await;
    assert_eq!(status_of(&machine.image())["last_check"]["error"], Value::Null);
}

#[tokio::test]
async fn a_report_waits_for_a_depot_that_is_away() {
    let mut depot = depot(Database::Sqlite, 1).await;
    let machine = Machine::with_settings(&depot, "pc-1", "run_after = [\"sleep\", \"4\"]");
    let agent = run(machine.once(&[]));
    let going_away = async {
        eventually("the command runs", || async {
            let record = std::fs::read_to_string(machine.image().join(".agent.json")).ok()?;
            record.contains("\"started\"").then_some(())
        })
        .await;
        depot.server.stop().await;
    };
    let (ended, ()) = tokio::join!(agent, going_away);
    ended.successful();
    assert_eq!(status_of(&machine.image())["reports"][0]["status"], "applied");
    depot.server.start_again().await;
    machine.round().await;
    machine.has_reported(&depot.admin(), "applied", 1).await;
    assert_eq!(status_of(&machine.image())["reports"], json!([]));
}

fn status_of(folder: &Path) -> Value {
    let bytes = std::fs::read(folder.join(".agent.json")).expect("the record");
    serde_json::from_slice(&bytes).expect("JSON")
}
