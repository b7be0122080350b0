//! A library that others wrote reads the stream.

use std::path::Path;
use std::process::{Command, Stdio};

use super::position;
use crate::generated_clients::installed;
use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::event_stream::EventStream;
use crate::harness::{Database, Depot};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/read_events.py");

#[tokio::test]
async fn httpx_sse_reads_the_stream_and_makes_no_event_of_a_comment() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "", None).await;
    admin.create_image("one").await;
    let first = stream.expect("image.created").await.id;
    for number in 0..20 {
        admin.create_image(&format!("image-{number}")).await;
    }
    let python = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python");
    let mut read = Command::new(python);
    // Longer than the time between two comments.
    read.arg(Path::new(SCRIPT))
        .args([&depot.server.url(), "admin", ADMIN_PASSWORD, &first, "17"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    let told = run(read).await.successful().stdout;
    let events: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let images: Vec<_> = events.iter().map(|event| event["data"]["image"].clone()).collect();
    let expected: Vec<_> = (0..20).map(|number| format!("image-{number}")).collect();
    assert_eq!(images, expected, "{told}");
    for (event, number) in events.iter().zip(1..) {
        assert_eq!(event["event"], "image.created");
        assert_eq!(event["id"], event["data"]["id"]);
        assert_eq!(position(&event["id"]), position(&first.clone().into()) + number);
    }
}
