//! A server that is killed while it publishes and signs: whoever reads the tree never meets a state that it refuses.

use std::time::Duration;

use super::{Machine, promote_next, tree_over_http};
use crate::harness::actions::ckm;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, Store, eventually, is_long_run, sample};

/// The longest time from a promotion to the kill. Publishing and signing take about a second.
const LATEST_KILL: u64 = 1500;

#[tokio::test]
async fn readers_of_a_killed_server_s_tree_are_never_refused_on_a_disk() {
    killed_again_and_again(Store::Folder, 3).await;
}

#[tokio::test]
async fn readers_of_a_killed_server_s_tree_are_never_refused_in_a_bucket() {
    killed_again_and_again(Store::S3, 1).await;
}

async fn killed_again_and_again(store: Store, kills: u64) {
    let kills = if is_long_run() { 100 } else { kills };
    let mut depot = Depot::on(Database::Sqlite).store(store).start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.publish_single("steady", "img", b"always the same").await;
    admin.wait_until_published("steady", "production").await;
    super::wait_until_signed(&depot, "steady_1.img").await;
    let site = StaticSite::start().await;
    let (over_http, copied) =
        (Machine::new(&depot, "over-http").await, Machine::new(&depot, "copied").await);
    for seed in 1..=kills {
        let revision = promote_next(&depot, seed).await;
        tokio::time::sleep(Duration::from_millis(sample::random_below(LATEST_KILL))).await;
        depot.server.kill();
        // A file that stays the same can be had at each moment.
        let copy = site.copy(&depot, &format!("copy-{seed}")).await;
        copied.fetch_with_python(&copy, "steady_1.img").await.successful();
        copied.fetch_with_tough(&copy, "steady_1.img").await.successful();
        depot.server.start_again().await;
        let tree = tree_over_http(&depot);
        over_http.fetch_with_python(&tree, "steady_1.img").await.successful();
        eventually("what was promoted is signed", || async {
            let target = format!("win7-office_{revision}.ckm");
            let told = over_http.fetch_with_python(&tree, &target).await;
            assert_eq!(told.code, 0, "{}", told.stdout);
            told.stdout.starts_with("fetched").then_some(())
        })
        .await;
        assert!(over_http.fetched() == ckm(seed));
    }
}
