//! Whatever is wrong with seeds, deltas, lists or servers: the right file, or exit code 7 and none.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::command::{as_admin, kill_after, run};
use crate::harness::server::free_port;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, Store, eventually, is_long_run, sample};
use crate::trust::Machine;

use super::{Client, changed, depot, first, leftovers, publish};

/// A signed copy of a depot with revisions 1 and 2 of win7, and who trusts it.
struct Copy {
    depot: Depot,
    site: StaticSite,
    tree: String,
    machine: Machine,
    one: Vec<u8>,
    two: Vec<u8>,
}

impl Copy {
    async fn new() -> Self {
        let depot = depot(Database::Sqlite, Store::Folder).await;
        let (admin, site) = (depot.admin(), StaticSite::start().await);
        let one = first();
        let two = changed(&one, 2);
        publish(&admin, &[one.clone(), two.clone()]).await;
        admin.wait_until_the_tree_is_complete().await;
        let tree = site.copy(&depot, "copy").await;
        let machine = Machine::new(&depot, "machine").await;
        Self { depot, site, tree, machine, one, two }
    }

    /// Pulls into a new folder with this seed. Returns how the file came, or the exit code, and what was said.
    async fn pull_with(&self, name: &str, seed: &[u8]) -> (Result<String, i32>, String) {
        let folder = self.depot.scratch().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("win7_1.vhdx"), seed).expect("a seed");
        let pulled = self.machine.pull_into(&self.tree, "win7", &folder).await;
        let file = std::fs::read(folder.join("win7_2.vhdx"));
        if pulled.code != 0 {
            assert!(file.is_err(), "a file came although the pull failed");
            return (Err(pulled.code), pulled.stderr);
        }
        assert!(file.expect("the file") == self.two, "another file came");
        assert!(leftovers(&folder).is_empty(), "{:?}", leftovers(&folder));
        let via = pulled.last_line()["files"][0]["via"].as_str().expect("a way").to_owned();
        (Ok(via), pulled.stderr)
    }

    /// Changes a byte of a file of the copy.
    fn damage(&self, name: &str, at: usize) {
        let path = format!("copy/{name}");
        let mut bytes = self.site.read(&path);
        bytes[at] ^= 1;
        self.site.write(&path, &bytes);
    }
}

#[tokio::test]
async fn a_damaged_seed_costs_more_bytes_and_no_more() {
    let copy = Copy::new().await;
    let mut seed = copy.one.clone();
    seed[3_000_000] ^= 1;
    let (via, said) = copy.pull_with("damaged", &seed).await;
    assert_eq!(via.as_deref(), Ok("chunks"), "{said}");
    assert!(said.contains("was not fetched by delta"), "{said}");
    // It is another file, and shorter.
    let (via, said) = copy.pull_with("cut-off", &copy.one[..5_000_000]).await;
    assert_eq!(via.as_deref(), Ok("chunks"), "{said}");
    // Nothing of these is of use, but the holes are known.
    let (via, said) = copy.pull_with("foreign", &sample::bytes(9, 5_000_000)).await;
    assert_eq!(via.as_deref(), Ok("chunks"), "{said}");
    let (via, said) = copy.pull_with("empty", &[]).await;
    assert_eq!(via.as_deref(), Ok("chunks"), "{said}");
}

#[tokio::test]
async fn a_damaged_delta_or_list_is_passed_over_and_a_damaged_file_is_refused() {
    let copy = Copy::new().await;
    copy.damage("win7_2.vhdx.from-1.delta", 5000);
    let (via, said) = copy.pull_with("delta", &copy.one).await;
    assert_eq!(via.as_deref(), Ok("chunks"), "{said}");
    copy.damage("win7_2.vhdx.chunks", 500);
    let (via, said) = copy.pull_with("list", &copy.one).await;
    assert_eq!(via.as_deref(), Ok("whole"), "{said}");
    // The list of another file: right in itself.
    let other = copy.site.read("copy/win7_1.vhdx.chunks");
    copy.site.write("copy/win7_2.vhdx.chunks", &other);
    let (via, said) = copy.pull_with("other-list", &copy.one).await;
    assert_eq!(via.as_deref(), Ok("whole"), "{said}");
    // A server that has other bytes than were signed.
    copy.damage("win7_2.vhdx", 1_000_100);
    let (refused, said) = copy.pull_with("lie", &copy.one).await;
    assert_eq!(refused, Err(7), "{said}");
}

#[tokio::test]
async fn a_lie_in_what_is_fetched_by_chunks_is_found() {
    let copy = Copy::new().await;
    copy.site.remove("copy/win7_2.vhdx.from-1.delta");
    // In a chunk that is new.
    copy.damage("win7_2.vhdx", 1_000_100);
    let (refused, said) = copy.pull_with("lie", &copy.one).await;
    assert_eq!(refused, Err(7), "{said}");
    assert!(said.contains("was not fetched by chunks"), "{said}");
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_whole() {
    let mut copy = Copy::new().await;
    copy.site.remove("copy/win7_2.vhdx.from-1.delta");
    let port = free_port();
    let mut python = Command::new("python3");
    python.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"]);
    python.arg(copy.site.root()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = python.spawn().expect("python's server");
    copy.tree = format!("http://127.0.0.1:{port}/copy");
    eventually("the server answers", async || reqwest::get(&copy.tree).await.ok()).await;
    let (via, said) = copy.pull_with("no-ranges", &copy.one).await;
    let _ended = (server.kill(), server.wait());
    assert_eq!(via.as_deref(), Ok("whole"), "{said}");
    assert!(said.contains("does not serve ranges"), "{said}");
}

/// The bytes that the depot has sent.
async fn sent(depot: &Depot) -> u64 {
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let line = metrics.lines().find(|line| line.starts_with("imagedepot_sent_bytes_total"));
    let value = line.and_then(|line| line.split(' ').next_back()).expect("a number");
    value.parse().expect("a whole number")
}

#[tokio::test]
async fn a_pull_that_is_killed_again_and_again_ends_right_and_fetches_little_again() {
    let kills = if is_long_run() { 50 } else { 4 };
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let (admin, url) = (depot.admin(), depot.server.url());
    let one = first();
    let two = changed(&one, 2);
    let three = changed(&two, 3);
    publish(&admin, &[one.clone(), two.clone(), three.clone()]).await;
    for (seed, bytes) in [(1, &one), (2, &two)] {
        let mut killed = 0;
        for round in 0.. {
            let client = Client::new(&depot, &format!("killed-{seed}-{round}"));
            std::fs::create_dir_all(&client.folder).expect("a folder");
            std::fs::write(client.path(seed), bytes).expect("a seed");
            let before = sent(&depot).await;
            let mut kills_here = 0;
            while killed < kills && killed_while_pulling(&url, &client.folder).await {
                kills_here += 1;
                killed += 1;
            }
            client.pull(&url).await;
            assert!(client.file(3) == three);
            assert!(leftovers(&client.folder).is_empty(), "{:?}", leftovers(&client.folder));
            let more = sent(&depot).await - before;
            assert!(more < (4 << 20) + kills_here * (8 << 20), "{more} after {kills_here} kills");
            if killed >= kills {
                break;
            }
        }
    }
}

/// Reports whether the pull was killed before it ended.
async fn killed_while_pulling(url: &str, folder: &Path) -> bool {
    let to = folder.display().to_string();
    let pull = as_admin(url, ["pull", "win7", "--to", &to, "--output", "json"]);
    kill_after(pull, sample::random_below(700)).await
}

#[tokio::test]
async fn seeds_elsewhere_are_named() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let (admin, url) = (depot.admin(), depot.server.url());
    let one = first();
    let two = changed(&one, 2);
    publish(&admin, &[one.clone(), two.clone()]).await;
    let client = Client::new(&depot, "client");
    let elsewhere = depot.scratch().join("an-old-image").display().to_string();
    std::fs::write(&elsewhere, &one).expect("a seed");
    let to = client.folder.display().to_string();
    let pull = ["pull", "win7", "--to", &to, "--seed", &elsewhere, "--output", "json"];
    let pulled = run(as_admin(&url, pull)).await.successful().last_line();
    assert_eq!(pulled["files"][0]["via"], "chunks", "{pulled}");
    assert!(client.file(2) == two);
}
