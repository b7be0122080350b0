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

#[tokio::test]
async fn every_kind_of_false_tree_is_refused_for_its_own_reason() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    wait_until_signed(&depot, "win7-office_1.ckm").await;
    let site = StaticSite::start().await;
    let behind = site.copy(&depot, "behind").await;
    promote_next(&depot, 2).await;
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    let right = site.copy(&depot, "right").await;
    let machine = async |name: &str| Machine::new(&depot, name).await;

    // A mirror that is behind is taken by who has seen nothing newer.
    let early = machine("early").await;
    early.fetch_with_python(&behind, "win7-office_1.ckm").await.successful();
    early.fetch_with_tough(&behind, "win7-office_1.ckm").await.successful();
    early.pull(&behind).await.successful();

    let late = machine("late").await;
    late.fetch_with_python(&right, "win7-office_2.ckm").await.successful();
    late.fetch_with_tough(&right, "win7-office_2.ckm").await.successful();
    late.pull(&right).await.successful();
    are_refused(
        &late,
        &behind,
        "BadVersionNumberError",
        "when we had previously fetched version",
        "is older than what was seen",
    )
    .await;

    // Somebody changes the metadata, with or without a fitting version.
    let tampered = site.copy(&depot, "tampered").await;
    let bin = bin_of(&site, "tampered", "win7-office_2.ckm");
    let text = String::from_utf8(site.read(&bin)).expect("text");
    site.write(&bin, text.replace("win7-office", "win8-office").as_bytes());
    let python =
        machine("tampered-1").await.fetch_with_python(&tampered, "win7-office_2.ckm").await;
    assert!(python.stdout.contains("UnsignedMetadataError"), "{}", python.stdout);
    let tough = machine("tampered-3").await.fetch_with_tough(&tampered, "win7-office_2.ckm").await;
    assert!(tough.stdout.contains("Failed to verify"), "{}", tough.stdout);
    site.write("tampered/tuf/timestamp.json", b"{}");
    let ours = machine("tampered-2").await.pull(&tampered).await;
    assert_eq!((ours.code, ours.stderr.contains("cannot be read")), (7, true), "{}", ours.stderr);

    // The bytes of the image are other ones, of the same length.
    let other = site.copy(&depot, "other").await;
    let mut bytes = site.read("other/win7-office_2.ckm");
    bytes[1000] ^= 1;
    site.write("other/win7-office_2.ckm", &bytes);
    are_refused(
        &machine("bytes").await,
        &other,
        "LengthOrHashMismatchError",
        "Hash mismatch for",
        "digest",
    )
    .await;

    // Files of two generations.
    let mixed = site.copy(&depot, "mixed").await;
    let new = bin_of(&site, "mixed", "win7-office_2.ckm");
    let (version, name) = new.rsplit('/').next().and_then(|n| n.split_once('.')).expect("a name");
    let before: u64 = version.parse::<u64>().expect("a number") - 1;
    let old = site.read(&format!("mixed/tuf/{before}.{name}"));
    site.write(&new, &old);
    are_refused(
        &machine("mixed").await,
        &mixed,
        "BadVersionNumberError",
        "version",
        "another generation",
    )
    .await;

    // Another depot, with the same names.
    let stranger = Depot::start(Database::Sqlite).await;
    stranger.admin().published_image("win7-office", "production").await;
    wait_until_signed(&stranger, "win7-office_1.ckm").await;
    let foreign = tree_over_http(&stranger);
    are_refused(
        &machine("foreign").await,
        &foreign,
        "UnsignedMetadataError",
        "Failed to verify",
        "not signed by",
    )
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
