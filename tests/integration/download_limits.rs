//! The download limits of the tree: beyond them BITS is told to come back later.

use std::time::{Duration, Instant};

use crate::harness::actions::ckm;
use crate::harness::raw::{self, Connection};
use crate::harness::sample;
use crate::harness::{Database, Depot, eventually};

/// Larger than what the sockets between two processes hold.
const LENGTH: usize = 24_000_000;

#[tokio::test]
async fn more_downloads_than_allowed_are_told_to_come_back() {
    let depot = Depot::on(Database::Sqlite).setting("tree", "max_downloads", "1").start().await;
    depot.admin().publish_single("till", "qcow2", &sample::bytes(1, LENGTH)).await;
    let path = "/MEDVImages/till_1.qcow2";
    let mut slow = Connection::open(depot.server.port()).await;
    slow.write(raw::head("GET", path, &[]).as_bytes()).await;
    let refused = eventually("the second download is refused", || async {
        let answer = depot.anonymous().get(path).header("Range", "bytes=0-9").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.required_header("retry-after"), "60");
    assert_eq!(refused.problem(503), "too_many_downloads");
    // Asking costs nothing, and neither do update checks.
    let head = depot.anonymous().call(&reqwest::Method::HEAD, path).await;
    head.expecting(200);
    depot.anonymous().get("/api/v1/update-check?image=till").await.expecting(200);
    drop(slow);
    eventually("the turn is free again", || async {
        let answer = depot.anonymous().get(path).header("Range", "bytes=0-9").await;
        (answer.status == 206).then_some(())
    })
    .await;
}

#[tokio::test]
async fn downloads_keep_to_the_bandwidth() {
    let depot = Depot::on(Database::Sqlite).setting("tree", "bandwidth", "200 kB").start().await;
    depot.admin().published_image("win7-office", "production").await;
    let started = Instant::now();
    let fetched = depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    assert_eq!(fetched.body, ckm(1));
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    // 600,000 bytes at 200,000 a second, less the last chunk, which nobody waits behind, and the
    // quarter of a second that an idle line lets through at once.
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
}
