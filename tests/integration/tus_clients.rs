//! The clients that people use, over lines that break: tus-js-client (tus 1.0 and the IETF's draft) and
//! tuspy. `tests/run` installs them.

use std::path::Path;
use std::process::Command;

use crate::generated_clients::installed;
use crate::harness::actions::file_path;
use crate::harness::broken_link::{BrokenLink, Fault};
use crate::harness::command::{Finished, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot, on_both_databases, sample};
use crate::uploads::depot_with_a_draft;

on_both_databases![
    tus_js_client_gets_through_a_line_that_breaks,
    tus_js_client_sends_bytes_with_the_creation,
    tus_js_client_gets_through_where_only_post_does,
    tus_js_client_speaks_the_ietf_s_draft_over_a_line_that_breaks,
    tuspy_gets_through_a_line_that_breaks,
    tuspy_proves_its_chunks,
];

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// Large enough for several breaks, and no multiple of anything.
const SIZE: usize = 20_000_003;

/// Each connection breaks after 3 MB, six times.
const FAULT: Fault = Fault::BreaksUploads { after: 3_000_000, times: 6 };

/// A depot, the file to send, and the line over which to send it.
pub async fn setting(database: Database, fault: Fault) -> (Depot, BrokenLink, Vec<u8>) {
    let (depot, _) = depot_with_a_draft(database).await;
    let bytes = sample::bytes(7, SIZE);
    std::fs::write(depot.scratch().join("win7-office.ckm"), &bytes).expect("write the image");
    let link = BrokenLink::to(depot.server.port(), fault).await;
    (depot, link, bytes)
}

pub async fn with_tus_js_client(depot: &Depot, link: &BrokenLink, options: &str) -> Finished {
    let library = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/tus-js-client");
    let mut upload = Command::new("node");
    upload
        .arg(Path::new(SCRIPTS).join("tus_upload.cjs"))
        .args([&link.url(), "admin", ADMIN_PASSWORD, "win7-office", "1", "ckm"])
        .arg(depot.scratch().join("win7-office.ckm"))
        .arg(options)
        .env("TUS_JS_CLIENT", library);
    run(upload).await.successful()
}

async fn with_tuspy(depot: &Depot, link: &BrokenLink, more: &[&str]) -> Finished {
    let python = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python");
    let mut upload = Command::new(python);
    upload
        .arg(Path::new(SCRIPTS).join("tus_upload.py"))
        .args([&link.url(), "admin", ADMIN_PASSWORD, "win7-office", "1", "ckm"])
        .arg(depot.scratch().join("win7-office.ckm"))
        .args(more)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run(upload).await.successful()
}

pub async fn arrived_whole(depot: &Depot, link: &BrokenLink, bytes: &[u8]) {
    assert_eq!(link.broken(), 6, "the line broke another number of times");
    let file = depot.admin().get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == bytes, "other bytes than were sent");
    depot.comes_to_store(1).await;
    // What was begun was gone on with: nothing else is open.
    assert!(depot.admin().get("/api/v1/uploads").await.expecting(200).items().is_empty());
}

async fn tus_js_client_gets_through_a_line_that_breaks(database: Database) {
    let (depot, link, bytes) = setting(database, FAULT).await;
    let told = with_tus_js_client(&depot, &link, "{}").await.stdout;
    assert!(told.contains(&format!("{}/api/v1/uploads/", link.url())), "{told}");
    arrived_whole(&depot, &link, &bytes).await;
}

async fn tus_js_client_sends_bytes_with_the_creation(database: Database) {
    let (depot, link, bytes) = setting(database, FAULT).await;
    let options = r#"{"uploadDataDuringCreation": true, "chunkSize": 2000000}"#;
    with_tus_js_client(&depot, &link, options).await;
    arrived_whole(&depot, &link, &bytes).await;
}

async fn tus_js_client_gets_through_where_only_post_does(database: Database) {
    let (depot, link, bytes) = setting(database, FAULT).await;
    with_tus_js_client(&depot, &link, r#"{"overridePatchMethod": true}"#).await;
    arrived_whole(&depot, &link, &bytes).await;
}

async fn tus_js_client_speaks_the_ietf_s_draft_over_a_line_that_breaks(database: Database) {
    let (depot, link, bytes) = setting(database, FAULT).await;
    with_tus_js_client(&depot, &link, r#"{"protocol": "ietf-draft-05"}"#).await;
    arrived_whole(&depot, &link, &bytes).await;
}

async fn tuspy_gets_through_a_line_that_breaks(database: Database) {
    let (depot, link, bytes) = setting(database, FAULT).await;
    let told = with_tuspy(&depot, &link, &["0"]).await.stdout;
    assert!(told.contains(&format!("{}/api/v1/uploads/", link.url())), "{told}");
    arrived_whole(&depot, &link, &bytes).await;
}

async fn tuspy_proves_its_chunks(database: Database) {
    // The library opens a connection for each chunk: the first six break before their end, and what
    // came of them was not proven.
    let fault = Fault::BreaksUploads { after: 700_000, times: 6 };
    let (depot, link, bytes) = setting(database, fault).await;
    with_tuspy(&depot, &link, &["1000000", "checksum"]).await;
    arrived_whole(&depot, &link, &bytes).await;
}
