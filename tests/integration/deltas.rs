//! Chunk lists and deltas: what a client with an older revision fetches, from a depot, a static copy and a bucket, and what
//! becomes of them in a revision's life.

mod faults;
mod kernels;
mod life;
mod through_caches;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::command::{as_admin, run};
use crate::harness::depot::DepotSetup;
use crate::harness::static_site::StaticSite;
use crate::harness::{
    Database, Depot, Person, Store, eventually, on_both_databases_and_stores, sample,
};
use crate::trust::Machine;

on_both_databases_and_stores![a_client_fetches_a_delta_or_the_chunks_that_it_lacks];

/// Bytes of a file that has a chunk list.
pub const SIZE: usize = 12 << 20;
/// Bytes of its hole.
const HOLE: usize = 2 << 20;

/// The content of revision 1 of an image: noise, a hole and text.
pub fn first() -> Vec<u8> {
    let mut bytes = sample::bytes(1, SIZE);
    bytes[4 << 20..(4 << 20) + HOLE].fill(0);
    bytes
}

/// The content after a few changes in place and an insertion that shifts the rest.
pub fn changed(before: &[u8], seed: u64) -> Vec<u8> {
    let mut bytes = before.to_vec();
    bytes[1_000_000..1_000_300].copy_from_slice(&sample::bytes(seed, 300));
    bytes.splice(8_000_000..8_000_000, sample::bytes(seed + 100, 7000));
    bytes
}

/// A depot that makes transfer files.
pub fn setup(database: Database) -> DepotSetup {
    Depot::on(database).setting("delta", "chunks", "true")
}

/// A depot that makes transfer files without waiting.
pub async fn depot(database: Database, store: Store) -> Depot {
    setup(database).store(store).setting("delta", "cpu", "1").start().await
}

/// Publishes the revisions of win7-office.vhdx, each with its transfer files.
pub async fn publish(admin: &Person, revisions: &[Vec<u8>]) {
    if admin.get("/api/v1/images/win7").await.status == 404 {
        admin.create_single_image("win7", "vhdx").await;
    }
    for bytes in revisions {
        let revision = admin.draft("win7").await;
        admin.put_file("win7", revision, "image", bytes).await.expecting(201);
        admin.seal("win7", revision).await.expecting(200);
        admin.promote("win7", "production", revision).await.expecting(200);
        has_transfer_files(admin, revision, revision > 1).await;
    }
}

/// Waits until the revision has its chunk list, and its delta if it is to have one.
pub async fn has_transfer_files(admin: &Person, revision: u64, delta: bool) {
    eventually("the transfer files are made", async || {
        let names = transfer_files(admin).await;
        let has = |name: String| names.contains(&name);
        let chunks = has(format!("win7_{revision}.vhdx.chunks"));
        let before = revision.saturating_sub(1);
        let delta = !delta || has(format!("win7_{revision}.vhdx.from-{before}.delta"));
        (chunks && delta).then_some(())
    })
    .await;
}

pub fn is_transfer_file(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "chunks" || end == "delta")
}

/// The chunk lists and deltas in the tree.
pub async fn transfer_files(admin: &Person) -> Vec<String> {
    let listed = admin.get("/api/v1/publications?limit=500").await.expecting(200).items();
    let published = listed.iter().filter(|one| one["state"] == "published");
    let paths = published.filter_map(|one| one["path"].as_str());
    paths.filter(|path| is_transfer_file(path)).map(str::to_owned).collect()
}

/// A client's folder.
pub struct Client {
    pub folder: PathBuf,
}

impl Client {
    pub fn new(depot: &Depot, name: &str) -> Self {
        Self { folder: depot.scratch().join(name) }
    }

    /// Pulls what production offers, and returns the result.
    pub async fn pull(&self, url: &str) -> Value {
        let to = self.folder.display().to_string();
        let pull = ["pull", "win7", "--to", &to, "--output", "json"];
        run(as_admin(url, pull)).await.successful().last_line()
    }

    pub fn file(&self, revision: u64) -> Vec<u8> {
        std::fs::read(self.path(revision)).expect("a pulled file")
    }

    pub fn path(&self, revision: u64) -> PathBuf {
        self.folder.join(format!("win7_{revision}.vhdx"))
    }
}

/// The names in a folder, without those of files that are complete.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let left = paths.filter(|path| path.extension().is_none_or(|end| end != "vhdx"));
    left.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

fn fetched(pulled: &Value) -> u64 {
    pulled["bytes_fetched"].as_u64().expect("a number")
}

async fn a_client_fetches_a_delta_or_the_chunks_that_it_lacks(database: Database, store: Store) {
    let depot = depot(database, store).await;
    let (admin, url) = (depot.admin(), depot.server.url());
    let (near, far) = (Client::new(&depot, "near"), Client::new(&depot, "far"));
    let one = first();
    let two = changed(&one, 2);
    let three = changed(&two, 3);
    publish(&admin, std::slice::from_ref(&one)).await;
    // The first time, what is no hole.
    let data = far.pull(&url).await;
    assert!(far.file(1) == one);
    assert_eq!(data["files"][0]["via"], "chunks", "{data}");
    assert!(fetched(&data) < (SIZE - HOLE + 100_000) as u64, "{data}");
    let about = std::fs::metadata(far.path(1)).expect("a file");
    assert!(about.blocks() * 512 < (SIZE - HOLE / 2) as u64, "{} blocks", about.blocks());
    publish(&admin, &[two.clone(), three.clone()]).await;

    // One revision behind: the delta, as it was forecast.
    std::fs::create_dir_all(&near.folder).expect("a folder");
    std::fs::write(near.path(2), &two).expect("revision 2");
    let forecast = admin.get("/api/v1/images/win7/revisions/3/delta?from=2").await.expecting(200);
    let forecast = forecast.json();
    let pulled = near.pull(&url).await;
    assert!(near.file(3) == three);
    assert_eq!((&pulled["files"][0]["via"], &forecast["via"]), (&json!("delta"), &json!("delta")));
    assert_eq!(forecast["bytes_to_fetch"], fetched(&pulled));
    assert!(fetched(&pulled) < 40_000, "{pulled}");
    assert!(leftovers(&near.folder).is_empty(), "{:?}", leftovers(&near.folder));

    // Two behind: the chunks, again as forecast.
    let forecast = admin.get("/api/v1/images/win7/revisions/3/delta?from=1").await.expecting(200);
    let forecast = forecast.json();
    let pulled = far.pull(&url).await;
    assert!(far.file(3) == three);
    assert_eq!(
        (&pulled["files"][0]["via"], &forecast["via"]),
        (&json!("chunks"), &json!("chunks"))
    );
    let expected = forecast["bytes_to_fetch"].as_u64().expect("a number");
    assert!(fetched(&pulled).abs_diff(expected) * 50 <= expected, "{pulled} {forecast}");
    assert!(expected < SIZE as u64 / 4, "{forecast}");
    assert!(leftovers(&far.folder).is_empty(), "{:?}", leftovers(&far.folder));

    // What clients of other makes are told.
    let check = admin.check_for_update("win7", "production", 2, "pc-1").await.json();
    let file = &check["target"]["files"][0];
    assert_eq!(file["chunks_url"], "/MEDVImages/win7_3.vhdx.chunks");
    assert_eq!(
        (&file["delta"]["from"], &file["delta"]["url"]),
        (&json!(2), &json!("/MEDVImages/win7_3.vhdx.from-2.delta"))
    );
    let delta = admin.get_tree("win7_3.vhdx.from-2.delta").await.expecting(200);
    assert_eq!(file["delta"]["digest"], sample::digest(&delta.body));
    let manifest = admin.get_tree("channel.json").await.expecting(200).json();
    let listed = &manifest["images"][0]["files"][0];
    assert_eq!(listed["chunks"]["path"], "win7_3.vhdx.chunks");
    assert_eq!(listed["deltas"][0]["digest"], file["delta"]["digest"]);
}

#[tokio::test]
async fn of_an_image_that_did_not_change_next_to_nothing_is_fetched() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let (admin, client) = (depot.admin(), Client::new(&depot, "client"));
    let one = first();
    publish(&admin, std::slice::from_ref(&one)).await;
    client.pull(&depot.server.url()).await;
    // The same bytes again, as a nightly build may make them.
    let revision = admin.draft("win7").await;
    admin.put_file("win7", revision, "image", &one).await.expecting(201);
    admin.seal("win7", revision).await.expecting(200);
    admin.promote("win7", "production", revision).await.expecting(200);
    has_transfer_files(&admin, revision, false).await;
    let pulled = client.pull(&depot.server.url()).await;
    assert!(client.file(revision) == one);
    assert!(fetched(&pulled) * 1000 < SIZE as u64, "{pulled}");
}

/// The bucket serves its tree itself, as it serves any objects.
#[tokio::test]
async fn a_bucket_that_everybody_may_read_serves_deltas_and_chunks() {
    let depot = depot(Database::Sqlite, Store::S3).await;
    let one = first();
    let two = changed(&one, 2);
    publish(&depot.admin(), &[one.clone(), two.clone()]).await;
    depot.admin().wait_until_the_tree_is_complete().await;
    let tree = depot.bucket.as_ref().expect("started with one").open_tree().await;
    let machine = Machine::new(&depot, "machine").await;
    for (revision, via) in [(1, "delta"), (9, "chunks")] {
        let folder = depot.scratch().join(via);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("win7_{revision}.vhdx")), &one).expect("a seed");
        let pulled = machine.pull_into(&tree, "win7", &folder).await.successful().last_line();
        assert_eq!(pulled["files"][0]["via"], via, "{pulled}");
        assert!(std::fs::read(folder.join("win7_2.vhdx")).expect("pulled") == two);
        assert!(fetched(&pulled) < SIZE as u64 / 4, "{pulled}");
    }
}

#[tokio::test]
async fn a_static_copy_that_is_signed_serves_deltas_and_chunks_too() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let (admin, site) = (depot.admin(), StaticSite::start().await);
    let one = first();
    let two = changed(&one, 2);
    publish(&admin, &[one.clone(), two.clone()]).await;
    admin.wait_until_the_tree_is_complete().await;
    let tree = site.copy(&depot, "copy").await;
    let machine = Machine::new(&depot, "machine").await;
    for (revision, bytes, via) in [(1, &one, "delta"), (9, &one, "chunks")] {
        let folder = depot.scratch().join(via);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("win7_{revision}.vhdx")), bytes).expect("a seed");
        let pulled = machine.pull_into(&tree, "win7", &folder).await.successful().last_line();
        assert_eq!(pulled["files"][0]["via"], via, "{pulled}");
        assert!(std::fs::read(folder.join("win7_2.vhdx")).expect("pulled") == two);
        assert!(fetched(&pulled) < SIZE as u64 / 4, "{pulled}");
    }
    // A copy by somebody who left them out.
    for name in site.names("copy") {
        if is_transfer_file(&name) {
            site.remove(&format!("copy/{name}"));
        }
    }
    let folder = depot.scratch().join("without");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("win7_1.vhdx"), &one).expect("a seed");
    let pulled = machine.pull_into(&tree, "win7", &folder).await.successful();
    assert!(pulled.stderr.contains("was not fetched by delta"), "{}", pulled.stderr);
    assert_eq!(pulled.last_line()["files"][0]["via"], "whole");
    assert!(std::fs::read(folder.join("win7_2.vhdx")).expect("pulled") == two);
}
