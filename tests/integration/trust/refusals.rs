//! What a client does not believe: a tree that was tampered with, an older one, a frozen one, one of two generations, and
//! another depot's. python-tuf, tough and our client refuse each for the right reason, and take a mirror that is behind.

use std::time::Duration;

use super::{Machine, promote_next, tree_over_http, trust_command, wait_until_signed};
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot};

/// Where the bin of a target is in a copy.
fn bin_of(site: &StaticSite, copy: &str, target: &str) -> String {
    let names = site.names(copy).into_iter().filter(|name| name.contains(".bin-"));
    let mut holding: Vec<String> = names
        .filter(|name| {
            let bin = site.read(&format!("{copy}/{name}"));
            String::from_utf8_lossy(&bin).contains(target)
        })
        .collect();
    // The newest version of it.
    holding.sort_by_key(String::len);
    format!("{copy}/{}", holding.pop().expect("a bin has the target"))
}

/// All clients refuse: python-tuf with this error, tough with these words, and ours with others.
async fn are_refused(machine: &Machine, tree: &str, error: &str, tough: &str, words: &str) {
    let python = machine.fetch_with_python(tree, "win7-office_2.ckm").await;
    assert_eq!(python.code, 1, "{}{}", python.stdout, python.stderr);
    assert!(python.stdout.contains(error), "{}", python.stdout);
    let told = machine.fetch_with_tough(tree, "win7-office_2.ckm").await;
    assert_eq!((told.code, told.stdout.contains(tough)), (1, true), "{}", told.stdout);
    let ours = machine.pull(tree).await;
    assert_eq!(ours.code, 7, "{}{}", ours.stdout, ours.stderr);
    assert!(ours.stderr.contains(words), "{}", ours.stderr);
}

/// A depot with two promotions, and a plain server with copies of its tree: from before the second, and from after it.
struct Copies {
    depot: Depot,
    site: StaticSite,
    behind: String,
    right: String,
}

impl Copies {
    async fn make() -> Self {
        let depot = Depot::start(Database::Sqlite).await;
        depot.admin().published_image("win7-office", "production").await;
        wait_until_signed(&depot, "win7-office_1.ckm").await;
        let site = StaticSite::start().await;
        let behind = site.copy(&depot, "behind").await;
        promote_next(&depot, 2).await;
        wait_until_signed(&depot, "win7-office_2.ckm").await;
        let right = site.copy(&depot, "right").await;
        Self { depot, site, behind, right }
    }

    async fn machine(&self, name: &str) -> Machine {
        Machine::new(&self.depot, name).await
    }
}

#[tokio::test]
async fn a_mirror_that_is_behind_is_taken_by_whoever_has_seen_nothing_newer() {
    let copies = Copies::make().await;
    let (early, late) = (copies.machine("early").await, copies.machine("late").await);
    let (behind, right) = (&copies.behind, &copies.right);
    early.fetch_with_python(behind, "win7-office_1.ckm").await.successful();
    early.fetch_with_tough(behind, "win7-office_1.ckm").await.successful();
    early.pull(behind).await.successful();

    late.fetch_with_python(right, "win7-office_2.ckm").await.successful();
    late.fetch_with_tough(right, "win7-office_2.ckm").await.successful();
    late.pull(right).await.successful();
    let tough = "when we had previously fetched version";
    are_refused(&late, behind, "BadVersionNumberError", tough, "is older than what was seen").await;
}

#[tokio::test]
async fn every_kind_of_false_tree_is_refused_for_its_own_reason() {
    let copies = Copies::make().await;
    metadata_that_somebody_changed(&copies).await;
    an_image_with_other_bytes(&copies).await;
    files_of_two_generations(&copies).await;
    another_depot_with_the_same_names(&copies).await;
}

/// With or without a fitting version.
async fn metadata_that_somebody_changed(copies: &Copies) {
    let site = &copies.site;
    let tampered = site.copy(&copies.depot, "tampered").await;
    let bin = bin_of(site, "tampered", "win7-office_2.ckm");
    let text = String::from_utf8(site.read(&bin)).expect("text");
    site.write(&bin, text.replace("win7-office", "win8-office").as_bytes());
    let machine = copies.machine("tampered-1").await;
    let python = machine.fetch_with_python(&tampered, "win7-office_2.ckm").await;
    assert!(python.stdout.contains("UnsignedMetadataError"), "{}", python.stdout);
    let tough = machine.fetch_with_tough(&tampered, "win7-office_2.ckm").await;
    assert!(tough.stdout.contains("Failed to verify"), "{}", tough.stdout);
    site.write("tampered/tuf/timestamp.json", b"{}");
    let ours = copies.machine("tampered-2").await.pull(&tampered).await;
    assert_eq!((ours.code, ours.stderr.contains("cannot be read")), (7, true), "{}", ours.stderr);
}

/// Of the same length.
async fn an_image_with_other_bytes(copies: &Copies) {
    let other = copies.site.copy(&copies.depot, "other").await;
    let mut bytes = copies.site.read("other/win7-office_2.ckm");
    bytes[1000] ^= 1;
    copies.site.write("other/win7-office_2.ckm", &bytes);
    let machine = copies.machine("bytes").await;
    are_refused(&machine, &other, "LengthOrHashMismatchError", "Hash mismatch for", "digest").await;
}

async fn files_of_two_generations(copies: &Copies) {
    let site = &copies.site;
    let mixed = site.copy(&copies.depot, "mixed").await;
    let new = bin_of(site, "mixed", "win7-office_2.ckm");
    let (version, name) = new.rsplit('/').next().and_then(|n| n.split_once('.')).expect("a name");
    let before: u64 = version.parse::<u64>().expect("a number") - 1;
    let old = site.read(&format!("mixed/tuf/{before}.{name}"));
    site.write(&new, &old);
    let machine = copies.machine("mixed").await;
    are_refused(&machine, &mixed, "BadVersionNumberError", "version", "another generation").await;
}

async fn another_depot_with_the_same_names(copies: &Copies) {
    let stranger = Depot::start(Database::Sqlite).await;
    stranger.admin().published_image("win7-office", "production").await;
    wait_until_signed(&stranger, "win7-office_1.ckm").await;
    let foreign = tree_over_http(&stranger);
    let machine = copies.machine("foreign").await;
    are_refused(&machine, &foreign, "UnsignedMetadataError", "Failed to verify", "not signed by")
        .await;
}

#[tokio::test]
async fn a_frozen_tree_is_refused_when_its_time_is_over() {
    let depot = Depot::on(Database::Sqlite).setting("trust", "timestamp", "6s").start().await;
    depot.admin().published_image("win7-office", "production").await;
    promote_next(&depot, 2).await;
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    let site = StaticSite::start().await;
    let frozen = site.copy(&depot, "frozen").await;
    let machine = Machine::new(&depot, "machine").await;
    machine.pull(&frozen).await.successful();
    tokio::time::sleep(Duration::from_secs(7)).await;
    are_refused(&machine, &frozen, "ExpiredMetadataError", "metadata is expired", "expired at")
        .await;
    // The depot itself has signed again meanwhile.
    machine.pull(&tree_over_http(&depot)).await.successful();
    let shown = trust_command(&depot, &["show"]).await.successful().stdout;
    assert!(shown.contains("timestamp  version"), "{shown}");
}
