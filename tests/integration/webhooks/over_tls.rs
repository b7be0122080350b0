//! Receivers over TLS: the machine's authorities decide whom a delivery goes to.

use serde_json::json;

use super::{is_verified, webhook};
use crate::harness::authority::{Authority, Valid};
use crate::harness::webhook_receiver::Receiver;
use crate::harness::{Database, Depot, Person};

/// A depot on a machine that trusts one authority.
async fn depot_that_trusts(authority: &Authority) -> Depot {
    let file = authority.file().display().to_string();
    Depot::on(Database::Sqlite)
        .setting("webhooks", "allow", "127.0.0.0/8")
        .environment("SSL_CERT_FILE", Some(&file))
        .start()
        .await
}

/// Calls the receiver, and returns the outcome.
async fn test_call(admin: &Person, path: &str) -> serde_json::Value {
    admin.post(&format!("{path}/test")).await.expecting(200).json()
}

#[tokio::test]
async fn a_receiver_whose_certificate_is_trusted_gets_its_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let receiver = Receiver::start_with_tls(&authority.server("receiver")).await;
    let depot = depot_that_trusts(&authority).await;
    let admin = depot.admin();
    for url in [receiver.url(), receiver.url().replace("127.0.0.1", "localhost")] {
        let before = receiver.received().len();
        let (path, secret) = webhook(&admin, &url, &["image.created"]).await;
        admin.create_image(&format!("image-{before}")).await;
        let came = receiver.gets(before + 1).await;
        assert_eq!(came[before].json()["type"], "image.created");
        assert!(is_verified(&came[before], &secret).await, "{url}");
        admin.delete(&path).await.expecting(204);
    }
}

#[tokio::test]
async fn nothing_is_told_to_a_receiver_whose_certificate_is_not_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let foreign = Authority::new(folder.path(), "foreign").server("of-another-authority");
    let depot = depot_that_trusts(&authority).await;
    let admin = depot.admin();
    let over = authority.server_valid("over", Valid::Over);
    let not_for_servers = authority.client("for-clients", Valid::Long);
    for (certificate, word) in
        [(foreign, "UnknownIssuer"), (over, "expired"), (not_for_servers, "certificate")]
    {
        let receiver = Receiver::start_with_tls(&certificate).await;
        let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
        let outcome = test_call(&admin, &path).await;
        assert_eq!(outcome["delivered"], json!(false), "{outcome}");
        let error = outcome["error"].as_str().expect("a reason");
        assert!(error.contains(word), "{word}: {error}");
        assert!(receiver.received().is_empty(), "{word}");
        admin.delete(&path).await.expecting(204);
    }
    // A receiver without TLS at an address that begins with https.
    let plain = Receiver::start().await;
    let (path, _) = webhook(&admin, &plain.url().replace("http:", "https:"), &[]).await;
    assert_eq!(test_call(&admin, &path).await["delivered"], json!(false));
    assert!(plain.received().is_empty());
}
