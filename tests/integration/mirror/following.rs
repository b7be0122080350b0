//! A mirror that follows the depot by itself, also when the depot is away.

use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Office, promote, promote_next};
use crate::harness::actions::ckm;
use crate::harness::command::run;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, eventually};
use crate::trust::{Take as _, wait_until_signed};

#[tokio::test]
async fn a_mirror_follows_and_goes_on_when_the_depot_comes_back() {
    let mut depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let second = depot.admin().ready_revision("win7-office", 2).await;
    let office = Office::new(&depot, "office").await;
    let follower = office.follow(&["production", "--look-every", "1s"]);
    office.has("tuf/timestamp.json").await;
    // One folder has one mirror.
    let other = office.try_look(&["production"]).await;
    assert_eq!(other.code, 6, "{}", other.stderr);

    depot.server.kill();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    office.machine.pull(&office.tree()).await.successful();
    depot.server.start_again().await;
    promote(&depot, "production", second).await;
    office.has("win7-office_2.ckm.index").await;
    eventually("the copy is complete", || async {
        let pulled = office.machine.pull(&office.tree()).await;
        (pulled.code == 0 && office.machine.path("pulled/win7-office_2.ckm").exists()).then_some(())
    })
    .await;
    assert!(office.machine.pulled("win7-office_2.ckm") == ckm(2));

    drop(follower);
    depot.server.kill();
    let away = office.try_look(&["production"]).await;
    assert_eq!(away.code, 3, "{}", away.stderr);
    assert!(
        away.stderr.contains("the copy stays as it is, and is believed until 20"),
        "{}",
        away.stderr
    );
}

#[tokio::test]
async fn the_depot_hears_how_far_a_mirror_is() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    let admin = depot.admin();
    let state = async || {
        let mirrors = admin.get("/api/v1/mirrors").await.expecting(200).items();
        let [mirror] = mirrors.as_slice() else { panic!("{mirrors:?}") };
        (mirror["name"].clone(), mirror["channels"][0]["is_current"].clone())
    };
    office.look(&["production", "--name", "berlin", "--server", &depot.server.url()]).await;
    assert_eq!(state().await, (json!("berlin"), json!(true)));
    promote_next(&depot, "production", 2).await;
    assert_eq!(state().await, (json!("berlin"), json!(false)));
    office.look(&["production", "--name", "berlin", "--server", &depot.server.url()]).await;
    assert_eq!(state().await, (json!("berlin"), json!(true)));
}

#[tokio::test]
async fn outside_of_its_hours_a_mirror_fetches_nothing_new_and_removes_what_was_revoked() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    promote_next(&depot, "production", 1).await;
    promote_next(&depot, "production", 2).await;
    let office = Office::new(&depot, "office").await;
    office.look(&["production", "--keep", "1"]).await;
    promote_next(&depot, "production", 3).await;
    let at = |hours: i64| {
        let now = DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::hours(hours);
        now.format("%H:00").to_string()
    };
    // In two hours and for one; without a zone, hours are those of the machine.
    let hours = format!("{}-{}", at(3), at(4));
    let mut mirror = office.mirror(&["--once", "production", "--hours", &hours]);
    let waits = run(mirror.env("TZ", "UTC").take()).await;
    assert_eq!(waits.code, 3, "{}", waits.stderr);
    assert!(waits.stderr.contains("hours for fetching are over"), "{}", waits.stderr);
    assert!(office.names().contains(&"win7-office_2.ckm".to_owned()));
    assert!(!office.names().contains(&"win7-office_3.ckm".to_owned()));
    admin.revoke("win7-office", 2).await.expecting(200);
    wait_until_signed(&depot, "channel.json").await;
    let mut mirror = office.mirror(&["--once", "production", "--hours", &hours]);
    run(mirror.env("TZ", "UTC").take()).await;
    assert!(!office.names().iter().any(|name| name.starts_with("win7-office_2")));
    let mut mirror = office.mirror(&["--once", "production", "--hours", "00:00-00:00"]);
    run(mirror.env("TZ", "UTC").take()).await.successful();
    assert!(office.names().contains(&"win7-office_3.ckm".to_owned()));
}

#[tokio::test]
async fn an_older_state_than_the_copy_has_is_refused() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    let site = StaticSite::start().await;
    let old = site.copy(&depot, "old").await;
    promote_next(&depot, "production", 2).await;
    office.look(&["production"]).await;
    let refused = run(office.mirror_of(&old, &["--once", "production"])).await;
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    // Also by a mirror that has forgotten what it has seen, and knows the copy alone.
    let mut command = office.mirror_of(&old, &["--once", "production"]);
    command.env("IMAGEDEPOT_STATE_DIR", depot.scratch().join("other-state"));
    let refused = run(command).await;
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("channel.json is older than the copy has"),
        "{}",
        refused.stderr
    );
    office.machine.pull(&office.tree()).await.successful();
    assert!(office.machine.pulled("win7-office_2.ckm") == ckm(2));
}
