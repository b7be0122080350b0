//! SIGTERM: running downloads finish, within bounds; uploads end cleanly; nobody new is let in.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::command::{curl, ends_well, run};
use crate::harness::{Database, Depot, eventually, sample};

/// curl fetching eight megabytes in about three seconds, under way when this returns.
async fn slow_download(depot: &Depot, output: &Path) -> Child {
    let mut slow = curl();
    slow.args(["--limit-rate", "3M", "--output"]).arg(output);
    slow.arg(format!("{}/MEDVImages/debian_1.qcow2", depot.server.url()));
    let download = slow.spawn().expect("start curl");
    eventually("the download is under way", || async {
        (output.metadata().is_ok_and(|file| file.len() > 100_000)).then_some(())
    })
    .await;
    download
}

#[tokio::test]
async fn a_graceful_stop_lets_a_running_download_finish() {
    let mut depot = Depot::start(Database::Sqlite).await;
    let bytes = sample::bytes(9, 8_000_000);
    depot.admin().publish_single("debian", "qcow2", &bytes).await;
    let output = depot.scratch().join("fetched");
    let mut download = slow_download(&depot, &output).await;
    depot.server.ask_to_stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut late = curl();
    late.arg(format!("{}/livez", depot.server.url()));
    assert_ne!(run(late).await.code, 0, "a stopping server takes new connections");
    assert!(depot.server.wait_for_end().await.success(), "{}", depot.server.log());
    assert!(ends_well(&mut download).await, "curl's download broke off");
    assert!(std::fs::read(&output).expect("the download") == bytes, "other bytes");
}

#[tokio::test]
async fn a_graceful_stop_is_bounded() {
    let setup = Depot::on(Database::Sqlite).setting("server", "shutdown_grace", "1s");
    let mut depot = setup.start().await;
    let bytes = sample::bytes(9, 40_000_000);
    depot.admin().publish_single("debian", "qcow2", &bytes).await;
    let mut download = slow_download(&depot, &depot.scratch().join("fetched")).await;
    let started = Instant::now();
    depot.server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(6), "took {:?}", started.elapsed());
    assert!(!ends_well(&mut download).await, "curl did not notice");
}

#[tokio::test]
async fn an_upload_that_a_stop_interrupts_leaves_nothing() {
    let mut depot =
        Depot::on(Database::Sqlite).setting("server", "shutdown_grace", "1s").start().await;
    let admin = depot.admin();
    admin.create_single_image("debian", "qcow2").await;
    admin.draft("debian").await;
    let file = depot.scratch().join("debian.qcow2");
    std::fs::write(&file, sample::bytes(4, 20_000_000)).expect("write an image");
    let mut upload = curl();
    upload.args(["--limit-rate", "2M", "--user", &admin.name_and_password(), "-T"]).arg(&file);
    upload.arg(format!("{}/api/v1/images/debian/revisions/1/files/image", depot.server.url()));
    upload.stdout(Stdio::null()).stderr(Stdio::null());
    let mut upload = upload.spawn().expect("start curl");
    tokio::time::sleep(Duration::from_secs(1)).await;
    depot.server.stop().await;
    assert!(!ends_well(&mut upload).await, "the upload was taken");
    depot.server.start_again().await;
    assert_eq!(depot.admin().revision("debian", 1).await["files"], json!([]));
    depot.comes_to_store(0).await;
}
