//! Callers who look for what the server did not think of.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::actions::file_path;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    a_nul_is_refused_wherever_it_stands,
    times_beyond_rfc_3339_are_refused,
    an_administrator_of_some_images_decides_for_no_others,
    nobody_s_key_is_not_remembered,
    a_repeat_after_a_broken_connection_finds_the_answer,
    what_cannot_be_tried_is_not_done_instead,
    a_file_is_replaced_only_as_the_uploader_saw_it,
    names_in_a_closed_channel_are_no_one_s_business,
];

async fn a_nul_is_refused_wherever_it_stands(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let bad = "a\0b";
    for (path, body) in [
        ("/api/v1/images", json!({"name": "b", "kind": "medv", "description": bad})),
        ("/api/v1/images", json!({"name": "b", "kind": "medv", "labels": {"a": bad}})),
        ("/api/v1/images", json!({"name": "b", "kind": "medv", "labels": {bad: "a"}})),
        ("/api/v1/images/win7-office/revisions", json!({"notes": bad})),
    ] {
        admin.post(path).json(&body).await.problem(422);
    }
    let cursor = URL_SAFE_NO_PAD.encode(json!(bad).to_string());
    for list in ["images", "users", "channels", "publications"] {
        let answer = admin.get(&format!("/api/v1/{list}?cursor={cursor}")).await;
        assert_eq!(answer.problem(400), "bad_cursor");
    }
    // The same six characters behind a backslash of their own are an ordinary text.
    let fine = json!({"name": "c", "kind": "medv", "description": r"C:\u0000"});
    let image = admin.post("/api/v1/images").json(&fine).await.expecting(201).json();
    assert_eq!(image["description"], r"C:\u0000");
}

async fn times_beyond_rfc_3339_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let revision = admin.published_image("win7-office", "test").await;
    for deadline in ["-200000-01-01T00:00:00Z", "+262000-01-01T00:00:00Z"] {
        let order = json!({"revision": revision, "deadline": deadline});
        let path = "/api/v1/images/win7-office/channels/test";
        admin.put(path).json(&order).await.problem(422);
        let position = json!([deadline, "ffffffff-ffff-ffff-ffff-ffffffffffff"]);
        let cursor = URL_SAFE_NO_PAD.encode(position.to_string());
        let history = format!("/api/v1/images/win7-office/promotions?cursor={cursor}");
        let answer = admin.get(&history).await;
        assert!(answer.status < 500, "{}", answer.text());
    }
}

async fn an_administrator_of_some_images_decides_for_no_others(database: Database) {
    let depot = Depot::start(database).await;
    let scoped = json!({
        "name": "scoped", "password": "correct horse", "roles": ["admin"], "images": ["lab-*"]
    });
    depot.admin().post("/api/v1/users").json(&scoped).await.expecting(201);
    let scoped = depot.user("scoped", "correct horse");
    scoped.create_image("lab-1").await;
    let stronger = json!({"name": "stronger", "password": "correct horse", "roles": ["admin"]});
    scoped.post("/api/v1/users").json(&stronger).await.problem(403);
    let wider = json!({"images": []});
    scoped.patch("/api/v1/users/scoped").json(&wider).await.problem(403);
    let password = json!({"password": "battery staple"});
    scoped.patch("/api/v1/users/admin").json(&password).await.problem(403);
    scoped.delete("/api/v1/channels/test").await.problem(403);
    scoped.get("/api/v1/audit").await.problem(403);
    scoped.post("/api/v1/publications/reconcile").await.problem(403);
}

async fn nobody_s_key_is_not_remembered(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let anyone = depot.anonymous();
    let ask = |revision: u64| {
        let question = json!([{"image": "win7-office", "revision": revision}]);
        anyone.post("/api/v1/update-check").header("Idempotency-Key", "1").json(&question)
    };
    // A key that was kept would refuse the second question, and repeat the first answer to the third.
    for revision in [0, 1, 0] {
        let answer = ask(revision).await.expecting(200);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
}

async fn a_repeat_after_a_broken_connection_finds_the_answer(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let basic = STANDARD.encode(format!("admin:{ADMIN_PASSWORD}"));
    let address = depot.server.url().trim_start_matches("http://").to_owned();
    for round in 0..12_u64 {
        let name = format!("image-{round}");
        let body = json!({"name": name, "kind": "medv"}).to_string();
        let request = format!(
            "POST /api/v1/images HTTP/1.1\r\nHost: depot\r\nAuthorization: Basic {basic}\r\n\
             Content-Type: application/json\r\nIdempotency-Key: {round}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = TcpStream::connect(&address).await.expect("a connection");
        connection.write_all(request.as_bytes()).await.expect("it is sent");
        tokio::time::sleep(Duration::from_millis(round % 6)).await;
        // Closed with a reset: as a broken line ends, not as a client that is done.
        connection.set_zero_linger().expect("a socket option");
        drop(connection);
        let body: serde_json::Value = serde_json::from_str(&body).expect("as above");
        eventually("the repeat is answered", || async {
            let call = admin.post("/api/v1/images").header("Idempotency-Key", &round.to_string());
            let answer = call.json(&body).await;
            (answer.status == 201).then_some(())
        })
        .await;
    }
}

async fn what_cannot_be_tried_is_not_done_instead(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let tried = admin.delete("/api/v1/channels/test?dry_run=true").await;
    assert_eq!(tried.problem(400), "dry_run_unsupported");
    admin.get("/api/v1/channels/test").await.expecting(200);
    let image = json!({"name": "win7-office", "kind": "medv"});
    admin.post("/api/v1/images?dry_run=true").json(&image).await.problem(400);
    admin.get("/api/v1/images/win7-office").await.problem(404);
}

async fn a_file_is_replaced_only_as_the_uploader_saw_it(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_single_image("till", "qcow2").await;
    let path = file_path("till", admin.draft("till").await, "image");
    let first = admin.put(&path).header("If-None-Match", "*").body("one").await.expecting(201);
    let tag = first.required_header("etag").to_owned();
    admin.put(&path).header("If-None-Match", "*").body("two").await.problem(412);
    admin.put(&path).header("If-Match", &tag).body("two").await.expecting(200);
    admin.put(&path).header("If-Match", &tag).body("three").await.problem(412);
    assert_eq!(admin.get(&path).await.expecting(200).text(), "two");
    depot.comes_to_store(1).await;
}

async fn names_in_a_closed_channel_are_no_one_s_business(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    let closed = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/test").json(&closed).await.expecting(200);
    for name in ["win7-office_1.ckm", "nothing_1.ckm", "channel.json"] {
        depot.anonymous().get_tree(&format!("test/{name}")).await.problem(401);
    }
    let user = json!({"name": "till", "password": "of the tills", "roles": ["client"], "images": ["till*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let till = depot.user("till", "of the tills");
    for name in ["win7-office_1.ckm", "nothing_1.ckm"] {
        till.get_tree(&format!("test/{name}")).await.problem(404);
    }
    till.get_tree("test/channel.json").await.problem(403);
    admin.get_tree("test/channel.json").await.expecting(200);
}
