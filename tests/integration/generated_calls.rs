//! Calls that schemathesis makes up from the committed API description, good ones and bad ones: as administrator, as
//! publisher, as nobody. No answer is a failure of the server, and each is as the description says: its status, its type, its
//! body.

use std::process::Command;

use crate::generated_clients::installed;
use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot, is_long_run};

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/imagedepot.json");

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// A depot in which there is something to be found, and changed.
async fn depot_with_images() -> Depot {
    // Larger than that is 413 whatever disk the test runs on, and not 507, which would be no failure either.
    let depot = Depot::on(Database::Sqlite).setting("uploads", "max_size", "1 MB").start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.draft("win7-office").await;
    admin.publish_single("debian", "qcow2", b"some bytes").await;
    depot
}

/// Callers are told apart by `arguments`; all together have a minute, in a long run ten.
async fn all_answers_are_as_described(depot: &Depot, arguments: &[&str]) {
    let seconds = if is_long_run() { "200" } else { "20" };
    let mut calls = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/schemathesis"));
    calls
        .args(["--no-color", "run", DESCRIPTION, "--url", &depot.server.url()])
        .args(["--checks", CHECKS, "--max-time", seconds, "--continue-on-failure"])
        // The examples are looked at by themselves (`openapi_for_generators`), and cost half of a short run.
        .args(["--phases", "coverage,fuzzing,stateful"])
        .args(["--generation-database", "none", "--generation-with-security-parameters", "false"])
        // Its answer has no end (`events`).
        .args(["--exclude-path", "/api/v1/events"])
        .args(arguments)
        .current_dir(depot.scratch());
    if !is_long_run() {
        calls.args(["--seed", "1"]);
    }
    let said = run(calls).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let counted = said.stdout.lines().find_map(|line| line.trim().split_once(" generated, "));
    let made: u32 = counted.and_then(|(made, _)| made.parse().ok()).unwrap_or_default();
    assert!(made > 50, "only {made} calls were made: {}", said.stdout);
}

/// Of users and tokens the administrator would change its own.
#[tokio::test]
async fn all_answers_to_an_administrator_are_as_described() {
    let depot = depot_with_images().await;
    let login = format!("admin:{ADMIN_PASSWORD}");
    let arguments = ["--auth", &login, "--exclude-path-regex", "/(users|tokens)"];
    all_answers_are_as_described(&depot, &arguments).await;
}

#[tokio::test]
async fn all_answers_to_a_publisher_are_as_described() {
    let depot = depot_with_images().await;
    depot.user_with_role("publisher").await;
    let login = "publisher:password of the publisher";
    all_answers_are_as_described(&depot, &["--auth", login]).await;
}

#[tokio::test]
async fn all_answers_to_nobody_are_as_described() {
    let depot = depot_with_images().await;
    all_answers_are_as_described(&depot, &[]).await;
}
