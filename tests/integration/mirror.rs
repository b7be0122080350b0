//! `imagedepot mirror`: the copy of a branch office, served by a plain nginx, as its readers find it.

mod copies;
mod following;
mod killed;
mod on_demand;
mod through_others;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::command::{Finished, as_admin, guarded, imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::project::program;
use crate::harness::static_site::StaticSite;
use crate::harness::{Depot, Person, eventually};
use crate::trust::{Machine, wait_until_signed};

/// A site with a copy of the tree, and a machine there that trusts the depot's root.
pub struct Office {
    site: StaticSite,
    pub machine: Machine,
    name: &'static str,
    /// The address of the depot.
    depot: String,
    state: PathBuf,
}

impl Office {
    pub async fn new(depot: &Depot, name: &'static str) -> Self {
        let machine = Machine::new(depot, name).await;
        let state = depot.scratch().join(format!("{name}-state"));
        Self { site: StaticSite::start().await, machine, name, depot: depot.server.url(), state }
    }

    /// The copy's folder.
    pub fn folder(&self) -> PathBuf {
        self.site.root().join(self.name)
    }

    /// The copy's address.
    pub fn tree(&self) -> String {
        self.site.url(self.name)
    }

    /// The mirror's command for these channels and with these arguments.
    pub fn mirror(&self, arguments: &[&str]) -> Command {
        let command = as_admin(&self.depot, ["mirror", "--output", "json"]);
        self.with_places(command, arguments)
    }

    /// The same for a copy of another tree, by somebody who has no account at the depot.
    pub fn mirror_of(&self, tree: &str, arguments: &[&str]) -> Command {
        let command = imagedepot(["mirror", "--output", "json", "--tree", tree]);
        self.with_places(command, arguments)
    }

    fn with_places(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).arg("--to").arg(self.folder());
        command.arg("--trust").arg(self.machine.path("root.json"));
        command.env("IMAGEDEPOT_STATE_DIR", &self.state);
        command
    }

    /// Lets the mirror look once. Returns what it says.
    pub async fn look(&self, arguments: &[&str]) -> Value {
        self.try_look(arguments).await.successful().last_line()
    }

    pub async fn try_look(&self, arguments: &[&str]) -> Finished {
        run(self.mirror(&[&["--once"], arguments].concat())).await
    }

    /// Starts a mirror that follows, killed with the test.
    pub fn follow(&self, arguments: &[&str]) -> Follower {
        let mut command = guarded(program());
        let told = self.mirror(arguments);
        command.args(told.get_args());
        for (name, value) in told.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Follower(command.spawn().expect("start the mirror"))
    }

    /// The names that readers see in the copy, without those of the metadata.
    pub fn names(&self) -> Vec<String> {
        let names = files_below(&self.folder()).into_keys();
        names.filter(|name| !name.starts_with('.') && !name.starts_with("tuf/")).collect()
    }

    pub fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(path)).expect("a file of the copy")
    }

    /// Waits until the copy has a file.
    pub async fn has(&self, path: &str) {
        eventually(&format!("the copy has {path}"), || async {
            self.folder().join(path).exists().then_some(())
        })
        .await;
    }
}

/// A mirror that follows the depot.
pub struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Makes and promotes the next revision of win7-office, and waits until it is signed.
pub async fn promote_next(depot: &Depot, channel: &str, seed: u64) -> u64 {
    let admin = depot.admin();
    if admin.get("/api/v1/images/win7-office").await.status == 404 {
        admin.create_image("win7-office").await;
    }
    let revision = admin.ready_revision("win7-office", seed).await;
    promote(depot, channel, revision).await;
    revision
}

/// Promotes a revision and waits until its document is signed.
pub async fn promote(depot: &Depot, channel: &str, revision: u64) {
    let admin = depot.admin();
    admin.promote("win7-office", channel, revision).await.expecting(200);
    let folder = if channel == "production" { String::new() } else { format!("{channel}/") };
    wait_until_signed(depot, &format!("{folder}win7-office_{revision}.ckm.index")).await;
}

/// The bytes of bodies that the depot has sent so far.
pub async fn sent_bytes(admin: &Person) -> u64 {
    let metrics = admin.get("/metrics").await.expecting(200);
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
    let sent = metrics.lines().find_map(|line| line.strip_prefix("imagedepot_sent_bytes_total "));
    sent.map_or(0, |number| number.parse().expect("a number"))
}
