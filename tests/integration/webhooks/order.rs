//! Receivers that fail: what is repeated, in which order, and what is set aside.

use std::time::Duration;

use serde_json::{Value, json};

use super::{setup, webhook};
use crate::harness::webhook_receiver::{Manner, Receiver};
use crate::harness::{Database, Person, eventually, on_both_databases};

on_both_databases![
    an_interruption_changes_no_order_and_repeats_keep_their_id,
    what_fails_for_too_long_is_set_aside_and_sent_when_somebody_asks,
    a_receiver_that_is_gone_for_good_gets_no_more,
];

async fn deliveries(admin: &Person, path: &str) -> Vec<Value> {
    admin.get(&format!("{path}/deliveries")).await.expecting(200).items()
}

async fn an_interruption_changes_no_order_and_repeats_keep_their_id(database: Database) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    receiver.answers(Manner::Status(503));
    let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
    for number in 0..3 {
        admin.create_image(&format!("image-{number}")).await;
    }
    let failed = receiver.gets(2).await;
    assert_eq!(failed[0].id(), failed[1].id(), "the first holds the others back");
    assert!(failed[1].at - failed[0].at >= Duration::from_millis(190));
    receiver.answers(Manner::Status(200));
    eventually("all are delivered", async || {
        let all = deliveries(&admin, &path).await;
        (all.len() == 3 && all.iter().all(|one| one["state"] == "delivered")).then_some(())
    })
    .await;
    let came = receiver.received();
    let last: Vec<_> =
        came[came.len() - 3..].iter().map(|one| one.json()["image"].clone()).collect();
    assert_eq!(last, ["image-0", "image-1", "image-2"]);
}

async fn what_fails_for_too_long_is_set_aside_and_sent_when_somebody_asks(database: Database) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    receiver.answers(Manner::Status(500));
    let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
    admin.create_image("one").await;
    let set_aside = eventually("it is set aside", async || {
        deliveries(&admin, &path).await.into_iter().find(|one| one["state"] == "set_aside")
    })
    .await;
    assert_eq!(set_aside["status"], 500);
    assert!(set_aside["attempts"].as_i64().expect("a number") >= 5, "{set_aside}");
    assert_eq!(set_aside["next_at"], Value::Null);
    let before = receiver.received().len();
    let pauses: Vec<_> = receiver.received().windows(2).map(|two| two[1].at - two[0].at).collect();
    assert!(pauses.is_sorted() || pauses.len() > 4, "{pauses:?}");
    receiver.answers(Manner::Status(200));
    let id = set_aside["id"].as_str().expect("an id");
    let retry = format!("{path}/deliveries/{id}/retry");
    let waiting = admin.post(&retry).await.expecting(200).json();
    assert_eq!(waiting["state"], "waiting");
    let came = receiver.gets(before + 1).await;
    assert_eq!(came[before].id(), id);
    eventually("it is delivered", async || {
        (deliveries(&admin, &path).await[0]["state"] == "delivered").then_some(())
    })
    .await;
    for unknown in ["00000000-1", "x"] {
        let retry = format!("{path}/deliveries/{unknown}/retry");
        assert_eq!(admin.post(&retry).await.problem(404), "delivery_not_found");
    }
    let metrics = admin.get("/metrics").await.expecting(200).text();
    assert!(
        metrics.contains("imagedepot_webhook_deliveries_total{outcome=\"set_aside\"} 1"),
        "{metrics}"
    );
}

async fn a_receiver_that_is_gone_for_good_gets_no_more(database: Database) {
    let depot = setup(database).start().await;
    let (admin, receiver) = (depot.admin(), Receiver::start().await);
    receiver.answers(Manner::Status(410));
    let (path, _) = webhook(&admin, &receiver.url(), &["image.created"]).await;
    admin.create_image("one").await;
    eventually("the webhook has ended", async || {
        let webhook = admin.get(&path).await.expecting(200).json();
        (webhook["active"] == false && webhook["ended"].is_string()).then_some(())
    })
    .await;
    admin.create_image("two").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.received().len(), 1);
    receiver.answers(Manner::Status(200));
    admin.patch(&path).json(&json!({"active": true})).await.expecting(200);
    let came = receiver.gets(3).await;
    let images: Vec<_> = came.iter().map(|one| one.json()["image"].clone()).collect();
    assert_eq!(images, ["one", "one", "two"]);
}
