//! A server that is killed while its disk is full starts again on the full disk, has all that was acknowledged, and goes on once
//! there is room.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::harness::actions::revision_path;
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Database, Depot, Person, eventually, is_long_run, sample};

const PASSWORD: &str = "a password of some length";

/// The objects of a round, made while there is disk space.
struct Round {
    user: String,
    deleted: u64,
    withdrawn: String,
}

async fn prepare(admin: &Person, round: u64) -> Round {
    let user = format!("kim-{round}");
    let account = json!({"name": user, "password": PASSWORD, "roles": ["reader"]});
    admin.post("/api/v1/users").json(&account).await.expecting(201);
    let deleted = admin.draft("small").await;
    let bytes = sample::bytes(100 + round, 50_000);
    admin.put_file("small", deleted, "image", &bytes).await.expecting(201);
    admin.seal("small", deleted).await.expecting(200);
    let withdrawn = format!("bad-{round}");
    admin.publish_single(&withdrawn, "img", &sample::bytes(200 + round, 10_000)).await;
    Round { user, deleted, withdrawn }
}

/// The changes that were acknowledged before the server was killed. Unanswered ones may be made or not.
#[derive(Default)]
struct Acknowledged {
    disabled: bool,
    deleted: bool,
    withdrawn: bool,
    images: Vec<String>,
}

async fn status(request: crate::harness::person::Call) -> Option<u16> {
    request.try_send().await.ok().map(|answer| answer.status)
}

/// Asks until the server is gone.
async fn ask_for_all(admin: Person, round: Round) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let disabled = json!({"disabled": true});
    let user = admin.patch(&format!("/api/v1/users/{}", round.user)).json(&disabled);
    acknowledged.disabled = status(user).await == Some(200);
    let delete = admin.delete(&revision_path("small", round.deleted));
    acknowledged.deleted = status(delete).await == Some(204);
    let withdraw = admin.delete(&format!("/api/v1/images/{}/channels/production", round.withdrawn));
    acknowledged.withdrawn = status(withdraw).await == Some(200);
    for number in 0.. {
        let name = format!("{}-{number}", round.withdrawn);
        let image = json!({"name": name, "kind": "single", "extension": "img"});
        match status(admin.post("/api/v1/images").json(&image)).await {
            Some(201) => acknowledged.images.push(name),
            Some(507) => {}
            Some(other) => panic!("an image on a full disk: {other}"),
            None => break,
        }
    }
    acknowledged
}

async fn has_what_was_acknowledged(depot: &Depot, round: &Round, acknowledged: &Acknowledged) {
    let admin = depot.admin();
    if acknowledged.disabled {
        depot.user(&round.user, PASSWORD).get("/api/v1/whoami").await.problem(401);
    }
    if acknowledged.deleted {
        let revision = admin.get(&revision_path("small", round.deleted)).await;
        assert_eq!(revision.problem(410), "revision_deleted");
    }
    if acknowledged.withdrawn {
        let client = depot.anonymous();
        let check = client.check_for_update(&round.withdrawn, "production", 0, "pc-1").await;
        assert_eq!(check.expecting(200).json()["reason"], "withdrawn");
    }
    for image in &acknowledged.images {
        admin.get(&format!("/api/v1/images/{image}")).await.expecting(200);
    }
}

#[tokio::test]
async fn who_is_killed_on_a_full_disk_has_lost_nothing_and_goes_on_with_room() {
    let disk = SmallDisk::mounted(128);
    let mut depot = Depot::on(Database::Sqlite)
        .data_on(disk.path())
        .setting("store", "min_free", "8 MiB")
        .setting("tree", "grace", "0s")
        .start()
        .await;
    depot.admin().publish_single("small", "qcow2", &sample::bytes(1, 100_000)).await;
    for number in 0..if is_long_run() { 50 } else { 6 } {
        let admin = depot.admin();
        let round = prepare(&admin, number).await;
        let filler = disk.fill();
        let again = Round { user: round.user.clone(), withdrawn: round.withdrawn.clone(), ..round };
        let asking = tokio::spawn(ask_for_all(admin, again));
        sleep(Duration::from_millis(sample::random_below(400))).await;
        depot.server.kill();
        let acknowledged = asking.await.expect("what was acknowledged");
        depot.server.start_again().await;
        has_what_was_acknowledged(&depot, &round, &acknowledged).await;
        std::fs::remove_file(filler).expect("give the room back");
        let admin = depot.admin();
        eventually("what was refused is taken with room", || async {
            let note = json!({"description": format!("round {number}")});
            let changed = admin.patch("/api/v1/images/small").json(&note).await;
            (changed.status == 200).then_some(())
        })
        .await;
        has_what_was_acknowledged(&depot, &round, &acknowledged).await;
        admin.post("/api/v1/gc").await.expecting(200);
    }
    depot.server.stop().await;
}
