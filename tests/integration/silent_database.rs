//! A database that takes questions and does not answer, for one of two replicas: it says so, lets nobody in by what it knew,
//! goes on with checks and downloads, and is as the other when the database answers again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::actions::assignment_path;
use crate::harness::broken_link::BrokenLink;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::server::Server;
use crate::harness::{Answer, Database, Depot, Person, Store, eventually, is_long_run};

/// A depot, a replica that has the database at the end of a line, and that line.
async fn two_replicas(grace: &str) -> (Depot, Server, BrokenLink) {
    let depot = Depot::on(Database::Postgres)
        .store(Store::S3)
        .setting("access", "stale_after", "4s")
        .setting("server", "shutdown_grace", grace)
        .start()
        .await;
    let (line, url) = depot.line_to_catalog().await;
    let second = depot.replica_with("second", &[("IMAGEDEPOT__CATALOG__URL", &url)]).await;
    (depot, second, line)
}

async fn degraded(server: &Server) -> Vec<Value> {
    let ready = Person::new(&server.url(), None).get("/readyz").await.expecting(200).json();
    ready["degraded"].as_array().expect("parts").clone()
}

async fn check(server: &Server) -> Answer {
    let client = Person::new(&server.url(), None);
    let asked = Instant::now();
    let told = client.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    assert!(asked.elapsed() < Duration::from_secs(1), "a check took {:?}", asked.elapsed());
    told
}

/// Somebody whose token the second replica knows, and the token's id.
async fn holder_of_a_token(admin: &Person, second: &Server) -> (Person, String) {
    let token = json!({"name": "ci", "roles": ["reader"]});
    let token = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let holder = Person::with_token(&second.url(), token["token"].as_str().expect("a token"));
    eventually("the second knows the token", async || {
        (holder.get("/api/v1/images").await.status == 200).then_some(())
    })
    .await;
    (holder, token["id"].as_str().expect("an id").to_owned())
}

#[tokio::test]
async fn a_replica_whose_database_falls_silent_says_so_and_lets_nobody_in_by_what_it_knew() {
    let (depot, second, line) = two_replicas("30s").await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let newer = admin.ready_revision("win7-office", 2).await;
    let (holder, id) = holder_of_a_token(&admin, &second).await;
    let own_admin = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
    line.falls_silent();
    let silent_since = Instant::now();
    let changes = async {
        let begun = Instant::now();
        admin.promote("win7-office", "production", newer).await.expecting(200);
        admin.delete(&format!("/api/v1/tokens/{id}")).await.expecting(204);
        begun.elapsed()
    };
    // A change may wait for a lock that the silent one held. What that one says does not.
    let says_so = async {
        eventually("the second says so", async || {
            check(&second).await;
            degraded(&second).await.contains(&json!("snapshot")).then_some(())
        })
        .await;
        silent_since.elapsed()
    };
    let (changed_after, said_after) = tokio::join!(changes, says_so);
    assert!(said_after < Duration::from_secs(10), "{said_after:?}");
    assert!(changed_after < Duration::from_secs(20), "{changed_after:?}");
    tokio::time::sleep_until((silent_since + Duration::from_secs(5)).into()).await;
    for person in [&holder, &own_admin] {
        let refused = person.get("/api/v1/images").await;
        refused.required_header("retry-after");
        assert_eq!(refused.problem(503), "logins_stale");
    }
    // What needs no log-in goes on, from what was known.
    assert_eq!(check(&second).await.json()["target"]["revision"], 1);
    let anyone = Person::new(&second.url(), None);
    anyone.get_tree("win7-office_1.ckm").await.expecting(200);
    // The other one is as fast as ever, and knows that this one may still answer.
    assert_eq!(check(&depot.server).await.json()["target"]["revision"], newer);
    let gone = admin.delete(&assignment_path("win7-office", "production")).await.expecting(200);
    assert_eq!(gone.json()["replicas"], json!({"have": 1, "of": 2}));
    admin.promote("win7-office", "production", newer).await.expecting(200);

    line.speaks_again();
    let speaks_since = Instant::now();
    eventually("the second is current", async || {
        (check(&second).await.json()["target"]["revision"] == newer).then_some(())
    })
    .await;
    assert!(speaks_since.elapsed() < Duration::from_secs(3), "{:?}", speaks_since.elapsed());
    eventually("the revoked token is known", async || {
        (holder.get("/api/v1/images").await.status == 401).then_some(())
    })
    .await;
    own_admin.create_image("another").await;
    eventually("nothing is wrong", async || degraded(&second).await.is_empty().then_some(())).await;
}

/// The median of so many checks at a server, and the slowest.
async fn checks(server: &Server, count: usize) -> (Duration, Duration) {
    let client = Person::new(&server.url(), None);
    let mut times = Vec::new();
    for round in 0..count {
        let asked = Instant::now();
        let id = format!("pc-{round}");
        client.check_for_update("win7-office", "production", 0, &id).await.expecting(200);
        times.push(asked.elapsed());
    }
    times.sort();
    (times[count / 2], times[count - 1])
}

/// Five minutes with `--long`.
#[tokio::test]
async fn a_long_silence_slows_no_check_at_the_others_and_ends_within_two_seconds() {
    let (depot, second, line) = two_replicas("30s").await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let newer = admin.ready_revision("win7-office", 2).await;
    let (holder, id) = holder_of_a_token(&admin, &second).await;
    let ((before, _), _) = tokio::join!(checks(&depot.server, 2000), checks(&second, 2000));
    line.falls_silent();
    let (silent_since, lasts) = (Instant::now(), if is_long_run() { 300 } else { 15 });
    admin.delete(&format!("/api/v1/tokens/{id}")).await.expecting(204);
    let mut medians = Vec::new();
    while silent_since.elapsed() < Duration::from_secs(lasts) {
        let ((median, _), (_, slowest)) =
            tokio::join!(checks(&depot.server, 500), checks(&second, 500));
        medians.push(median);
        assert!(slowest < Duration::from_secs(2), "a check at the second took {slowest:?}");
        if silent_since.elapsed() > Duration::from_secs(10) {
            assert!(degraded(&second).await.contains(&json!("snapshot")));
            assert_eq!(holder.get("/api/v1/images").await.problem(503), "logins_stale");
        }
    }
    medians.sort();
    let during = medians[medians.len() / 2];
    println!("a check took {before:?} before and {during:?} beside {lasts} silent seconds");
    let limit = (before * 2).max(before + Duration::from_millis(5));
    assert!(during < limit, "{during:?} instead of {before:?}");
    admin.promote("win7-office", "production", newer).await.expecting(200);
    line.speaks_again();
    let speaks_since = Instant::now();
    eventually("the second is current", async || {
        (check(&second).await.json()["target"]["revision"] == newer).then_some(())
    })
    .await;
    assert!(speaks_since.elapsed() < Duration::from_secs(2), "{:?}", speaks_since.elapsed());
    assert_eq!(holder.get("/api/v1/images").await.status, 401);
}

#[tokio::test]
async fn a_replica_whose_connections_lead_nowhere_is_current_soon_by_new_ones() {
    let (depot, second, line) = two_replicas("30s").await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let newer = admin.ready_revision("win7-office", 2).await;
    let own_admin = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
    // So that there are several.
    futures_util::future::join_all(
        (0..10).map(|_| own_admin.get("/api/v1/images?limit=500").try_send()),
    )
    .await;
    line.strands_connections();
    admin.promote("win7-office", "production", newer).await.expecting(200);
    let stranded_since = Instant::now();
    eventually("the second is current", async || {
        (check(&second).await.json()["target"]["revision"] == newer).then_some(())
    })
    .await;
    assert!(stranded_since.elapsed() < Duration::from_secs(4), "{:?}", stranded_since.elapsed());
    own_admin.create_image("another").await;
}

#[tokio::test]
async fn a_server_whose_database_is_silent_stops_within_its_grace() {
    let (depot, mut second, line) = two_replicas("3s").await;
    line.falls_silent();
    // A change that waits for the database holds nobody up, either.
    let waiting = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
    let change = tokio::spawn(async move {
        let image = json!({"name": "linux", "kind": "single"});
        waiting.post("/api/v1/images").json(&image).try_send().await.is_ok()
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    second.ask_to_stop();
    second.wait_for_end().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let _ended = change.await;
    depot.admin().create_image("another").await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_depot, mut second, line) = two_replicas("60s").await;
    line.falls_silent();
    second.ask_to_stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    second.ask_to_stop();
    second.wait_for_end().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}
