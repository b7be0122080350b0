//! A mirror that follows the depot by itself, also when the depot is away.

use super::{Office, promote, promote_next};
use crate::harness::actions::ckm;
use crate::harness::command::run;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, eventually};

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
