//! Webhooks: what receivers get, how it is signed, and what happens when they do not take it.

mod order;
mod over_tls;
mod refusals;
mod replicas;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::generated_clients::installed;
use crate::harness::command::run;
use crate::harness::depot::DepotSetup;
use crate::harness::webhook_receiver::{Received, Receiver};
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_receiver_gets_the_events_that_it_wants_and_the_public_libraries_verify_them,
    a_secret_is_shown_once_and_the_old_one_signs_beside_the_new_one,
    a_webhook_is_created_listed_changed_and_deleted,
];

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// A depot that may call receivers on this machine, and repeats quickly.
fn setup(database: Database) -> DepotSetup {
    Depot::on(database)
        .setting("webhooks", "allow", "127.0.0.0/8")
        .setting("webhooks", "retries", "200ms,300ms,400ms,500ms,1s")
        .setting("webhooks", "give_up_after", "4s")
}

/// Creates a webhook. Returns its path, and its secret.
async fn webhook(admin: &Person, url: &str, types: &[&str]) -> (String, String) {
    let new = json!({"name": "receiver", "url": url, "types": types});
    let made = admin.post("/api/v1/webhooks").json(&new).await.expecting(201);
    let path = made.required_header("location").to_owned();
    (path, made.json()["secret"].as_str().expect("a secret").to_owned())
}

/// Has the public libraries of Python and JavaScript verify a delivery.
async fn is_verified(came: &Received, secret: &str) -> bool {
    let headers: Value = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), Value::from(came.headers[name].clone())))
        .into_iter()
        .collect();
    let delivery = json!({"secret": secret, "headers": headers, "body": came.body}).to_string();
    let mut python = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python"));
    python.arg(Path::new(SCRIPTS).join("verify_webhook.py")).arg(&delivery);
    let library =
        installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/standardwebhooks/package.json");
    let mut node = Command::new("node");
    node.arg(Path::new(SCRIPTS).join("verify_webhook.cjs")).arg(&delivery);
    node.env("STANDARD_WEBHOOKS", library.parent().expect("a folder"));
    let (python, node) = (run(python).await.stdout, run(node).await.stdout);
    let (python, node) = (python.trim(), node.trim());
    assert_eq!(python, node, "the libraries disagree");
    assert!(["verified", "refused"].contains(&python), "{python}");
    python == "verified"
}

async fn a_receiver_gets_the_events_that_it_wants_and_the_public_libraries_verify_them(
    database: Database,
) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    let (path, secret) = webhook(&admin, &receiver.url(), &["channel.*", "image.created"]).await;
    admin.published_image("win7-office", "production").await;
    let came = receiver.gets(2).await;
    let kinds: Vec<_> = came.iter().map(|one| one.json()["type"].clone()).collect();
    assert_eq!(kinds, ["image.created", "channel.promoted"]);
    let first = &came[0];
    assert_eq!(first.json()["id"], first.id());
    assert_eq!(first.headers["content-type"], "application/json");
    assert!(first.headers["webhook-timestamp"].parse::<i64>().is_ok());
    for one in &came {
        assert!(is_verified(one, &secret).await, "{one:?}");
    }
    let altered = Received { body: first.body.replace("win7", "win8"), ..first.clone() };
    assert!(!is_verified(&altered, &secret).await);
    eventually("both are recorded", async || {
        let listed = admin.get(&format!("{path}/deliveries")).await.expecting(200).items();
        let states: Vec<_> = listed.iter().map(|one| one["state"].clone()).collect();
        (states == ["delivered", "delivered"]).then_some(())
    })
    .await;
    let tested = admin.post(&format!("{path}/test")).await.expecting(200).json();
    assert_eq!(tested["delivered"], true);
    assert_eq!(tested["status"], 204);
    let test = receiver.gets(3).await.pop().expect("a test");
    assert_eq!(test.json()["type"], "webhook.test");
    assert_eq!(test.id(), tested["id"]);
    assert!(is_verified(&test, &secret).await);
}

async fn a_secret_is_shown_once_and_the_old_one_signs_beside_the_new_one(database: Database) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    let (path, old) = webhook(&admin, &receiver.url(), &[]).await;
    assert!(old.starts_with("whsec_") && old.len() == 6 + 44 && old.ends_with('='), "{old}");
    let shown = admin.get(&path).await.expecting(200).text();
    assert!(!shown.contains("whsec_"), "{shown}");
    let rotated = admin.post(&format!("{path}/rotate")).await.expecting(200).json();
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(old, new);
    assert!(rotated["old_secret_until"].is_string());
    admin.create_image("win7-office").await;
    let came = receiver.gets(1).await.remove(0);
    assert_eq!(came.headers["webhook-signature"].matches(' ').count(), 1);
    assert!(is_verified(&came, &old).await && is_verified(&came, &new).await);
    let audit = admin.get("/api/v1/audit").await.expecting(200).text();
    assert!(audit.contains("webhook.rotate"), "{audit}");
    for secret in [&old, &new] {
        let key = secret.trim_start_matches("whsec_");
        assert!(!audit.contains(key) && !depot.server.log().contains(key));
    }
}

async fn a_webhook_is_created_listed_changed_and_deleted(database: Database) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    let (path, _) = webhook(&admin, &receiver.url(), &["image.*"]).await;
    let shown = admin.get(&path).await.expecting(200);
    let tag = shown.required_header("etag").to_owned();
    assert_eq!(shown.json()["types"], json!(["image.*"]));
    assert_eq!(admin.get("/api/v1/webhooks").await.expecting(200).items().len(), 1);
    let again = json!({"name": "RECEIVER", "url": receiver.url()});
    assert_eq!(admin.post("/api/v1/webhooks").json(&again).await.problem(409), "name_taken");
    let change = json!({"images": ["lab-*"]});
    let changed = admin.patch(&path).header("If-Match", &tag).json(&change).await.expecting(200);
    assert_eq!(changed.json()["images"], json!(["lab-*"]));
    admin.patch(&path).header("If-Match", &tag).json(&change).await.expecting(412);
    admin.create_image("win7-office").await;
    admin.create_image("lab-1").await;
    assert_eq!(receiver.gets(1).await[0].json()["image"], "lab-1");
    admin.patch(&path).json(&json!({"active": false})).await.expecting(200);
    admin.create_image("lab-2").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.received().len(), 1, "nothing is sent to one that is not active");
    admin.patch(&path).json(&json!({"active": true})).await.expecting(200);
    assert_eq!(receiver.gets(2).await[1].json()["image"], "lab-2");
    admin.delete(&path).await.expecting(204);
    assert_eq!(admin.get(&path).await.problem(404), "webhook_not_found");
    admin.create_image("lab-3").await;
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(2) {
        assert_eq!(receiver.received().len(), 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
