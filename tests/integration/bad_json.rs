//! JSON that is none, or says what cannot be: the right problem document, and nothing done.

use serde_json::json;

use crate::harness::actions::revision_path;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    unknown_fields_are_named,
    json_that_is_none_is_refused,
    values_of_the_wrong_kind_are_refused,
];

async fn unknown_fields_are_named(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let post = |path: &'static str, body| admin.post(path).json(&body);
    for answer in [
        post("/api/v1/images", json!({"name": "b", "kind": "medv", "colour": "red"})).await,
        post("/api/v1/channels", json!({"name": "pilot", "colour": "red"})).await,
        post("/api/v1/images/win7-office/revisions", json!({"colour": "red"})).await,
        admin.patch("/api/v1/images/win7-office").json(&json!({"colour": "red"})).await,
        admin.patch(&revision_path("win7-office", 1)).json(&json!({"colour": "red"})).await,
        admin
            .put("/api/v1/images/win7-office/channels/test")
            .json(&json!({"revision": 1, "colour": "red"}))
            .await,
    ] {
        answer.problem(422);
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("colour"), "{}: {detail}", answer.question);
    }
    admin.get("/api/v1/images/b").await.problem(404);
    admin.get("/api/v1/channels/pilot").await.problem(404);
    let revisions = admin.get("/api/v1/images/win7-office/revisions").await.items();
    assert_eq!(revisions.len(), 1, "{revisions:?}");
}

async fn json_that_is_none_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for text in [
        "",
        "{",
        "[",
        "nonsense",
        "{\"name\": }",
        "{\"name\": \"a\",}",
        "\u{0}",
        r#"{"name":"a","kind":"medv"}}"#,
    ] {
        let call = admin.post("/api/v1/images").header("Content-Type", "application/json");
        call.body(text).await.problem(400);
    }
    let not_text = admin.post("/api/v1/images").header("Content-Type", "application/json");
    not_text.body(&b"{\"name\": \"\xff\xfe\"}"[..]).await.problem_of(&[400, 422]);
    let nested = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let call = admin.post("/api/v1/images").header("Content-Type", "application/json").body(nested);
    call.await.problem_of(&[400, 422]);
}

async fn values_of_the_wrong_kind_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for body in [
        json!({"kind": "medv"}),
        json!({"name": "a"}),
        json!({"name": 1, "kind": "medv"}),
        json!({"name": "a", "kind": "floppy"}),
        json!({"name": "a", "kind": "medv", "extension": "vhdx"}),
        json!({"name": "a", "kind": "medv", "labels": ["x"]}),
        json!({"name": "a", "kind": "medv", "keep_revisions": -1}),
        json!([]),
        json!("a"),
        json!(null),
    ] {
        admin.post("/api/v1/images").json(&body).await.problem_of(&[400, 422]);
    }
    admin.create_image("a").await;
    for body in [
        json!({}),
        json!({"revision": "1"}),
        json!({"revision": 1.5}),
        json!({"revision": -1}),
        json!({"revision": 0}),
        json!({"revision": 1, "deadline": "tomorrow"}),
        json!({"revision": 1, "rollout": {"percent": "all"}}),
    ] {
        let call = admin.put("/api/v1/images/a/channels/test").json(&body);
        call.await.problem_of(&[404, 422]);
    }
}
