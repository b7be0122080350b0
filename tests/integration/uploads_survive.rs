//! Uploads by every protocol with the server killed and started again ten times on the way: they go on
//! from the acknowledged offset, little is sent twice, and the file is the one that was sent.

use std::path::{Path, PathBuf};

use crate::harness::bits_client::BitsClient;
use crate::harness::broken_link::{BrokenLink, Fault};
use crate::harness::command::{as_admin, run};
use crate::harness::folder::files_below;
use crate::harness::resuming::{Patching, ResumingUpload};
use crate::harness::{Database, Depot, Person, depot, is_long_run, on_both_databases, sample};

on_both_databases![
    tus_goes_on_after_ten_kills,
    resumable_uploads_go_on_after_ten_kills,
    bits_goes_on_after_ten_kills,
    push_goes_on_after_ten_kills,
    fifty_uploads_at_once_need_little_memory,
];

const MEBIBYTE: u64 = 1 << 20;
const KILLS: u64 = 10;

/// The most bytes that may be sent again, in total.
const SENT_AGAIN: u64 = 64 * MEBIBYTE;

fn size() -> u64 {
    if is_long_run() { 4096 * MEBIBYTE } else { 256 * MEBIBYTE }
}

async fn tus_goes_on_after_ten_kills(database: Database) {
    patching_goes_on(database, Patching::Tus).await;
}

async fn resumable_uploads_go_on_after_ten_kills(database: Database) {
    patching_goes_on(database, Patching::Resumable).await;
}

/// A server, an image with a draft, and a file for it with its digest.
async fn prepared(database: Database) -> (Depot, u64, PathBuf, String) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_single_image("huge", "vhdx").await;
    let draft = admin.draft("huge").await;
    let file = depot.scratch().join("huge.vhdx");
    let digest = sample::write_file(&file, size());
    (depot, draft, file, digest)
}

async fn patching_goes_on(database: Database, protocol: Patching) {
    let (mut depot, draft, file, digest) = prepared(database).await;
    // Bytes are counted on a line that holds little: a client's own count includes what never left
    // its computer's send buffer, megabytes with each kill.
    let line = BrokenLink::to(depot.server.port(), Fault::Nothing).await;
    let admin = Person::new(&line.url(), Some(("admin", depot::ADMIN_PASSWORD)));
    let upload = ResumingUpload::begin(&admin, protocol, ("huge", draft, "image"), &file).await;
    let sending = tokio::spawn({
        let upload = upload.clone();
        async move { upload.to_the_end().await }
    });
    kill_on_the_way(&mut depot, async || upload.position()).await;
    sending.await.expect("the upload");
    little_was_sent_twice(&format!("{protocol:?}"), line.carried());
    arrived_as_sent(&depot, draft, "image", &digest).await;
}

/// Fragments of 4 MB, as Windows sends them on a middling line.
async fn bits_goes_on_after_ten_kills(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    let path = depot.scratch().join("huge.ckm");
    let digest = sample::write_file(&path, size());
    let file = std::fs::read(&path).expect("read the sample");
    let mut client = BitsClient::new(&depot, &admin, "huge.ckm");
    let sending = tokio::spawn(async move { client.upload(&file, 4_000_000).await });
    let data = depot.server.data().to_owned();
    kill_on_the_way(&mut depot, async || stored(&data)).await;
    let transfer = sending.await.expect("the upload");
    assert_eq!(transfer.sessions, 1, "a session was lost");
    little_was_sent_twice("BITS", transfer.sent);
    arrived_as_sent(&depot, 1, "ckm", &digest).await;
}

/// With its own patience: it is not started again.
async fn push_goes_on_after_ten_kills(database: Database) {
    let (mut depot, _, file, digest) = prepared(database).await;
    let admin = depot.admin();
    let line = BrokenLink::to(depot.server.port(), Fault::Nothing).await;
    let (url, path) = (line.url(), file.display().to_string());
    let mut push = as_admin(&url, ["push", "huge", &path, "--output", "json"]);
    push.env("IMAGEDEPOT_STATE_DIR", depot.scratch().join("state"));
    let pushing = tokio::spawn(run(push));
    let data = depot.server.data().to_owned();
    kill_on_the_way(&mut depot, async || stored(&data)).await;
    let pushed = pushing.await.expect("the push").successful();
    let said = pushed.last_line();
    little_was_sent_twice("push", line.carried());
    let revision = said["revision"].as_u64().expect("its number");
    let stored = admin.revision("huge", revision).await;
    assert_eq!(stored["files"][0]["digest"], *digest, "{stored}");
}

/// Returns how many bytes the server has of its only upload.
fn stored(data: &Path) -> u64 {
    let files = files_below(&data.join("blobs")).into_values();
    files.map(|file| file.len()).max().unwrap_or(0)
}

fn little_was_sent_twice(what: &str, sent: u64) {
    let again = sent - size();
    println!("{what}: {} KiB sent again", again / 1024);
    assert!(again <= SENT_AGAIN, "{again} bytes sent again");
}

/// Kills and starts the server whenever another eleventh of the file was sent.
async fn kill_on_the_way(depot: &mut Depot, position: impl AsyncFn() -> u64) {
    for kill in 1..=KILLS {
        while position().await < size() / (KILLS + 1) * kill {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        depot.server.kill();
        depot.server.start_again().await;
    }
}

async fn arrived_as_sent(depot: &Depot, draft: u64, role: &str, digest: &str) {
    let admin = depot.admin();
    let revision = admin.revision("huge", draft).await;
    let file = &revision["files"][0];
    assert_eq!((&file["role"], &file["digest"]), (&role.into(), &digest.into()), "{revision}");
    let stored = depot.stored_files();
    assert_eq!(stored.len(), 1, "{stored:?}");
    let path = depot.server.data().join(stored.first().expect("the blob"));
    assert_eq!(sample::digest_of_file(&path), digest, "other bytes are stored than were sent");
}

async fn fifty_uploads_at_once_need_little_memory(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = depot.scratch().join("image.vhdx");
    let digest =
        sample::write_file(&file, if is_long_run() { 256 * MEBIBYTE } else { 16 * MEBIBYTE });
    admin.create_single_image("many", "vhdx").await;
    let mut uploads = Vec::new();
    for number in 0..50 {
        let protocol = if number % 2 == 0 { Patching::Tus } else { Patching::Resumable };
        let draft = admin.draft("many").await;
        let target = ("many", draft, "image");
        uploads.push(ResumingUpload::begin(&depot.admin(), protocol, target, &file).await);
    }
    let sending = uploads.iter().map(ResumingUpload::to_the_end);
    futures_util::future::join_all(sending).await;
    for revision in 1..=50 {
        assert_eq!(admin.revision("many", revision).await["files"][0]["digest"], *digest);
    }
    let peak = depot.server.peak_memory() / MEBIBYTE;
    println!("{peak} MiB at most with 50 uploads at once");
    assert!(peak < 200, "{peak} MiB with 50 uploads at once");
}
