//! The rights to see uploads and to continue them.

use reqwest::Method;
use serde_json::json;

use crate::harness::actions::ckm;
use crate::harness::{Database, on_both_databases};
use crate::uploads::{
    append, begin, depot_with_a_draft, depot_with_a_publisher_s_draft, new_upload, nothing_is_left,
    tus_append,
};

on_both_databases![
    an_administrator_sees_every_upload_and_may_end_it,
    an_upload_is_nobody_else_s,
    a_list_of_uploads_comes_in_pages,
    uploads_go_with_their_owner_and_not_to_the_next_of_that_name,
];

async fn an_administrator_sees_every_upload_and_may_end_it(database: Database) {
    let (depot, admin, publisher) = depot_with_a_publisher_s_draft(database).await;
    let location = begin(&publisher, 300_000).await;
    append(&publisher, &location, 0, &ckm(1)[..1000], false).await.expecting(204);
    let list = admin.get("/api/v1/uploads").await.expecting(200).items();
    let [upload] = list.as_slice() else { panic!("one upload is open, not {list:?}") };
    assert_eq!(upload["created_by"], "publisher");
    assert_eq!((&upload["received"], &upload["size"]), (&json!(1000), &json!(300_000)));
    let time = |field: &str| {
        let text = upload[field].as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339")
    };
    assert_eq!(time("expires_at") - time("updated_at"), chrono::TimeDelta::days(14));
    assert_eq!(admin.get(&location).await.expecting(200).json()["received"], 1000);
    admin.delete(&location).header("If-Match", "\"another\"").await.problem(412);
    admin.delete(&location).await.expecting(204);
    publisher.get(&location).await.problem(404);
    nothing_is_left(&depot).await;
    // What happened stands in the audit.
    let audit = admin.get("/api/v1/audit").await.expecting(200).items();
    for (action, caller) in [("upload.create", "publisher"), ("upload.cancel", "admin")] {
        let found = audit.iter().any(|row| row["action"] == action && row["caller"] == caller);
        assert!(found, "{action} of {caller} is not in {audit:?}");
    }
}

async fn uploads_go_with_their_owner_and_not_to_the_next_of_that_name(database: Database) {
    let (depot, admin, publisher) = depot_with_a_publisher_s_draft(database).await;
    let location = begin(&publisher, 6).await;
    append(&publisher, &location, 0, b"abc", false).await.expecting(204);
    admin.delete("/api/v1/users/publisher").await.expecting(204);
    let next = depot.user_with_role("publisher").await;
    append(&next, &location, 3, b"EVE", true).await.problem(404);
    nothing_is_left(&depot).await;
}

async fn an_upload_is_nobody_else_s(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let publisher = depot.user_with_role("publisher").await;
    publisher.get(&location).await.problem(404);
    publisher.call(&Method::HEAD, &location).await.expecting(404);
    publisher.call(&Method::HEAD, &location).header("Tus-Resumable", "1.0.0").await.expecting(404);
    append(&publisher, &location, 0, &ckm(1), true).await.problem(404);
    tus_append(&publisher, &location, 0, &ckm(1)).await.problem(404);
    publisher.delete(&location).await.problem(404);
    publisher.get("/api/v1/uploads").await.problem(403);
    let reader = depot.user_with_role("reader").await;
    reader.get(&location).await.problem(403);
    reader.get("/api/v1/uploads").await.problem(403);
    reader.post("/api/v1/uploads").json(&new_upload(1)).await.problem(403);
    append(&reader, &location, 0, &ckm(1), true).await.problem(403);
    reader.delete(&location).await.problem(403);
    for method in [Method::GET, Method::HEAD, Method::PATCH, Method::DELETE] {
        let anonymous = depot.anonymous().call(&method, &location).await.expecting(401);
        assert!(anonymous.header("www-authenticate").is_some(), "{method}");
    }
    // An administrator of other images knows nothing of it.
    let user = json!({"name": "lab", "password": "the lab's password", "roles": ["admin"], "images": ["lab-*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let lab = depot.user("lab", "the lab's password");
    lab.get(&location).await.problem(404);
    lab.delete(&location).await.problem(404);
    lab.post("/api/v1/uploads").json(&new_upload(1)).await.problem(404);
    assert!(lab.get("/api/v1/uploads").await.expecting(200).items().is_empty());
    for nonsense in ["0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e", "1", "x", "..", "%00"] {
        admin.get(&format!("/api/v1/uploads/{nonsense}")).await.problem_of(&[404, 401]);
    }
    assert_eq!(admin.get(&location).await.expecting(200).json()["received"], 0);
}

async fn a_list_of_uploads_comes_in_pages(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(begin(&admin, 10).await);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/uploads?limit=2".to_owned());
    loop {
        let page = admin.get(&path).await.expecting(200);
        assert!(page.items().len() <= 2);
        seen.extend(
            page.items().iter().map(|upload| upload["id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        assert!(page.required_header("link").contains("rel=\"next\""));
        path = format!("/api/v1/uploads?limit=2&cursor={cursor}");
    }
    let begun: Vec<_> = begun.iter().map(|path| path.rsplit('/').next().unwrap_or("")).collect();
    assert_eq!(seen, begun, "the oldest first, each once");
    admin.get("/api/v1/uploads?limit=0").await.problem(400);
    admin.get("/api/v1/uploads?limit=501").await.problem(400);
    admin.get("/api/v1/uploads?cursor=x").await.problem(400);
}
