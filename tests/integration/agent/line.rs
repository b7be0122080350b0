//! What an agent takes of the line: a rate, and the hours for fetching.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Machine, depot};
use crate::harness::Database;
use crate::harness::actions::assignment_path;

#[tokio::test]
async fn an_agent_takes_no_more_than_its_rate() {
    let depot = depot(Database::Sqlite, 1).await;
    let limits = "[bandwidth]\nrate = \"100 kB\"";
    let machine = Machine::new(&depot, "pc-1").settings(&depot, limits, "");
    let begun = Instant::now();
    machine.round().await;
    // The image has 304,000 bytes, of which a quarter of a second's come at once.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2600), "{took:?}");
    assert_eq!(machine.in_use(), Some(1));
}

#[tokio::test]
async fn outside_of_its_hours_an_agent_fetches_only_what_must_not_wait() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    let at = |hours: i64| {
        let now = DateTime::<Utc>::from(SystemTime::now());
        (now + TimeDelta::hours(hours)).format("%H:00").to_string()
    };
    let hours = |from: i64, to: i64| {
        let (from, to) = (at(from), at(to));
        format!("[bandwidth]\nhours = [{{ from = \"{from}\", to = \"{to}\", zone = \"UTC\" }}]")
    };
    let machine = Machine::new(&depot, "pc-1").settings(&depot, &hours(3, 5), "");
    let told = machine.round().await;
    assert_eq!(told["waits_for"], "the hours for fetching", "{told}");
    assert_eq!((machine.in_use(), &told["answer"]), (None, &json!("update first_install")));

    let path = assignment_path("win7-office", "production");
    admin.put(&path).json(&json!({"revision": 2, "mandatory": true})).await.expecting(200);
    machine.round().await;
    assert_eq!(machine.in_use(), Some(2));

    admin.promote("win7-office", "production", 1).await.expecting(200);
    assert_eq!(machine.round().await["waits_for"], "the hours for fetching");
    let machine = machine.settings(&depot, &hours(-1, 2), "");
    machine.round().await;
    assert_eq!(machine.in_use(), Some(1));
}
