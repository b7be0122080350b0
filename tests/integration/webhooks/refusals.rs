//! Receivers that must not be called, and answers that are not taken.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{setup, webhook};
use crate::harness::webhook_receiver::{Manner, Receiver};
use crate::harness::{Database, Depot};

#[tokio::test]
async fn urls_that_lead_nowhere_are_refused() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    for url in [
        "ftp://example.com/",
        "example.com",
        "https://",
        "https://kim:word@example.com/",
        "",
        "file:///etc/passwd",
    ] {
        let new = json!({"name": "receiver", "url": url});
        let refused = admin.post("/api/v1/webhooks").json(&new).await;
        assert_eq!(refused.problem(422), "invalid_value", "{url}");
    }
    for types in [json!(["channels.*"]), json!(["x"])] {
        let new = json!({"name": "receiver", "url": "https://example.com/", "types": types});
        assert_eq!(admin.post("/api/v1/webhooks").json(&new).await.problem(422), "invalid_value");
    }
}

/// Names and addresses in any form: nothing arrives at this machine unless the settings allow it.
#[tokio::test]
async fn this_machine_is_not_called_unless_the_settings_allow_it() {
    let depot = Depot::start(Database::Sqlite).await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    let url = receiver.url();
    let (path, _) = webhook(&admin, &url, &[]).await;
    let port = url.trim_start_matches("http://127.0.0.1:");
    for host in
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0.0.0.0"]
    {
        for scheme in ["http", "https"] {
            let change = json!({"url": format!("{scheme}://{host}:{port}")});
            admin.patch(&path).json(&change).await.expecting(200);
            let tested = admin.post(&format!("{path}/test")).await.expecting(200).json();
            assert_eq!(tested["delivered"], false, "{host}");
            let error = tested["error"].as_str().expect("a reason");
            assert!(error.contains("must not be called"), "{scheme}://{host}: {error}");
        }
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let depot = setup(Database::Sqlite).start().await;
    let (admin, receiver, other) =
        (depot.admin(), Receiver::start().await, Receiver::start().await);
    receiver.answers(Manner::Redirect(other.url()));
    let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
    let tested = admin.post(&format!("{path}/test")).await.expecting(200).json();
    assert_eq!(tested["status"], 307);
    assert_eq!(tested["delivered"], false);
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn a_huge_answer_is_not_read_and_a_missing_one_not_waited_for() {
    let depot = setup(Database::Sqlite).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    receiver.answers(Manner::Endless);
    let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
    let before = depot.server.resident_memory();
    let asked = Instant::now();
    let tested = admin.post(&format!("{path}/test")).await.expecting(200).json();
    assert_eq!(tested["delivered"], true, "the status decides");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(depot.server.resident_memory() < before + (8 << 20));
    receiver.answers(Manner::Silent);
    let asked = Instant::now();
    let tested = admin.post(&format!("{path}/test")).await.expecting(200).json();
    assert!(tested["error"].as_str().expect("a reason").contains("10 seconds"), "{tested}");
    assert!((9..13).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
}
