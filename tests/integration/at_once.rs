//! Two changes of one thing at the same moment: one wins, the other is told, nothing is half-made.
//!
//! On PostgreSQL they really run side by side, on SQLite one behind the other.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Database, Depot, on_both_databases};

on_both_databases![
    of_several_changes_with_one_tag_one_wins,
    the_last_administrator_stays_when_two_leave_at_once,
    a_channel_is_not_promoted_to_while_it_is_deleted,
    a_deleted_name_is_revived_once,
];

/// The number of rounds of each race: a lost one shows in nearly every round.
const ROUNDS: usize = 8;

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

async fn of_several_changes_with_one_tag_one_wins(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let user = json!({"name": "packer", "password": "correct horse", "roles": ["reader"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    for (path, field) in [("/api/v1/channels/test", "keep_old"), ("/api/v1/users/packer", "images")]
    {
        for _ in 0..ROUNDS {
            let tag = admin.get(path).await.expecting(200).required_header("etag").to_owned();
            let changes = (0..4).map(|n| {
                let value = if field == "images" { json!([format!("x{n}")]) } else { json!(n) };
                let call = admin.patch(path).header("If-Match", &tag).json(&json!({field: value}));
                async move { call.await }
            });
            let answers = join_all(changes).await;
            assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 3), "{path}");
        }
    }
}

async fn the_last_administrator_stays_when_two_leave_at_once(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for _ in 0..ROUNDS {
        let second = json!({"name": "second", "password": "correct horse", "roles": ["admin"]});
        admin.post("/api/v1/users").json(&second).await.expecting(201);
        let second = depot.user("second", "correct horse");
        second.get("/api/v1/whoami").await.expecting(200);
        let reader = json!({"roles": ["reader"]});
        let (first_left, second_left) =
            tokio::join!(async { admin.patch("/api/v1/users/admin").json(&reader).await }, async {
                second.patch("/api/v1/users/second").json(&reader).await
            },);
        let left = [first_left.status, second_left.status];
        assert_ne!(left, [200, 200], "nobody can administer the server any more");
        if left[0] == 200 {
            let back = json!({"roles": ["admin"]});
            second.patch("/api/v1/users/admin").json(&back).await.expecting(200);
        }
        admin.delete("/api/v1/users/second").await.expecting(204);
    }
}

async fn a_channel_is_not_promoted_to_while_it_is_deleted(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let revision = admin.ready_revision("win7-office", 1).await;
    for round in 0..ROUNDS {
        let name = format!("ring-{round}");
        admin.post("/api/v1/channels").json(&json!({"name": name})).await.expecting(201);
        let path = format!("/api/v1/channels/{name}");
        let (deleted, promoted) = tokio::join!(
            async { admin.delete(&path).await },
            admin.promote("win7-office", &name, revision),
        );
        let outcome = (deleted.status, promoted.status);
        assert!([(204, 404), (409, 200)].contains(&outcome), "{outcome:?}");
        if outcome == (409, 200) {
            admin.delete(&format!("{path}?withdraw=true")).await.expecting(204);
        }
    }
    // What was promoted to a channel that is gone would hold the revision for ever.
    admin.revoke("win7-office", revision).await.expecting(200);
}

async fn a_deleted_name_is_revived_once(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for _ in 0..ROUNDS {
        admin.create_image("win7-office").await;
        admin.delete("/api/v1/images/win7-office").await.expecting(204);
        let images = (0..4).map(|n| {
            let image =
                json!({"name": "win7-office", "kind": "single", "extension": format!("e{n}")});
            let call = admin.post("/api/v1/images").json(&image);
            async move { call.await }
        });
        let answers = join_all(images).await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 3));
        admin.delete("/api/v1/images/win7-office").await.expecting(204);
    }
}
