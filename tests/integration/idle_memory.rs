//! A server that nobody uses needs little memory: it stands on small machines beside other programs.

use std::time::Duration;

use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![an_idle_server_needs_little_memory_also_after_its_first_requests];

const MEBIBYTE: u64 = 1 << 20;

/// The memory that an optimised binary promises. Without optimisation the code alone has some 50 MiB resident, and with
/// memory that is kept for nothing the server has had 95 to 120 MiB.
const BOUND: u64 = if cfg!(debug_assertions) { 80 * MEBIBYTE } else { 40 * MEBIBYTE };

/// The time between the start, or the last request, and the measurement.
const AT_REST: Duration = Duration::from_secs(5);

async fn an_idle_server_needs_little_memory_also_after_its_first_requests(database: Database) {
    let depot = Depot::start(database).await;
    tokio::time::sleep(AT_REST).await;
    let after_start = depot.server.resident_memory();

    // One of each kind: a password is hashed, a long answer is written, a page of the documentation is read.
    depot.admin().get("/api/v1/images").await.expecting(200);
    let anyone = depot.anonymous();
    for path in ["/api/openapi.json", "/docs/", "/metrics", "/readyz"] {
        anyone.get(path).await;
    }
    tokio::time::sleep(AT_REST).await;
    let after_requests = depot.server.resident_memory();

    println!("{} and {} KiB resident", after_start / 1024, after_requests / 1024);
    assert!(after_start <= BOUND, "{} KiB after the start", after_start / 1024);
    assert!(after_requests <= BOUND, "{} KiB after requests", after_requests / 1024);
}
