//! One server delivers for all, and another one takes over when it is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{setup, webhook};
use crate::harness::webhook_receiver::Receiver;
use crate::harness::{Database, is_long_run};

#[tokio::test]
async fn every_event_arrives_although_servers_are_killed() {
    let wanted: usize = if is_long_run() { 10_000 } else { 200 };
    let mut depot = setup(Database::Postgres).start().await;
    let mut second = depot.replica("second").await;
    let receiver = Receiver::start().await;
    let making = crate::harness::Person::new(
        &second.url(),
        Some(("admin", crate::harness::depot::ADMIN_PASSWORD)),
    );
    webhook(&depot.admin(), &receiver.url(), &["image.changed"]).await;
    making.create_image("win7-office").await;
    let path = "/api/v1/images/win7-office";
    for number in 0..wanted {
        let change = json!({"description": number.to_string()});
        making.patch(path).json(&change).await.expecting(200);
        if number % 80 == 79 {
            // Whichever delivers: at its return it goes on, or the other has taken over.
            depot.server.kill();
            tokio::time::sleep(Duration::from_millis(200)).await;
            depot.server.start_again().await;
        }
    }
    second.kill();
    second.start_again().await;
    let mut by_id = BTreeMap::new();
    for _ in 0..900 {
        by_id.clear();
        for one in receiver.received() {
            let text =
                one.json()["data"]["after"]["description"].as_str().expect("a text").to_owned();
            let place: usize = text.parse().expect("a number");
            assert_eq!(by_id.entry(one.id().to_owned()).or_insert(place), &place);
        }
        if by_id.len() >= wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(by_id.len(), wanted, "each event arrives");
    let repeated = receiver.received().len() - wanted;
    println!("{wanted} events, {repeated} of them twice");
    // In order, but for repeats.
    let first: Vec<usize> = {
        let mut seen = std::collections::BTreeSet::new();
        let new = receiver.received().into_iter().filter(|one| seen.insert(one.id().to_owned()));
        new.map(|one| {
            one.json()["data"]["after"]["description"]
                .as_str()
                .expect("a text")
                .parse()
                .expect("a number")
        })
        .collect()
    };
    assert!(first.is_sorted(), "{first:?}");
}
