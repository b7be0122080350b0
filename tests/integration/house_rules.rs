//! The rules that every part of the API keeps: lists, tags, repeats, request ids, methods.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::actions::{file_path, revision_path};
use crate::harness::{Answer, Database, Depot, Person, on_both_databases};
use std::future::IntoFuture as _;

on_both_databases![
    a_list_is_walked_by_cursor_and_by_link_alike,
    a_list_that_grows_while_it_is_walked_shows_nothing_twice,
    single_resources_carry_a_tag_that_changes_with_them,
    a_change_with_an_old_tag_is_refused,
    a_repeated_post_gets_the_same_answer,
    a_key_is_not_shared_between_callers_or_requests,
    a_key_answers_nobody_who_has_other_rights_by_now,
    a_misspelt_dry_run_does_nothing,
    two_equal_posts_at_once_do_their_work_once,
    a_request_id_comes_back_and_stands_in_problems,
    a_wrong_method_is_told_the_right_ones,
    options_names_the_methods,
    health_and_documents_are_open,
    metrics_need_a_reader,
];

const IMAGES: &str = "/api/v1/images";

async fn a_list_is_walked_by_cursor_and_by_link_alike(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let names: BTreeSet<String> = (0..7).map(|number| format!("image-{number}")).collect();
    for name in &names {
        admin.create_image(name).await;
    }
    let mut seen = Vec::new();
    let mut pages = 0;
    let mut next = Some(format!("{IMAGES}?limit=3"));
    while let Some(path) = next {
        let page = admin.get(&path).await.expecting(200);
        pages += 1;
        seen.extend(page.items().iter().map(name_of));
        let cursor = page.json()["next_cursor"].as_str().map(str::to_owned);
        next = linked(&page);
        assert_eq!(next.is_some(), cursor.is_some(), "Link and next_cursor disagree");
        if let (Some(cursor), Some(link)) = (cursor, &next) {
            assert!(link.contains("limit=3"), "{link}");
            let by_hand = admin.get(&format!("{IMAGES}?limit=3&cursor={cursor}")).await.items();
            let by_link = admin.get(link).await.items();
            assert_eq!(by_hand, by_link);
        }
    }
    assert_eq!((pages, seen.len()), (3, 7), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);
}

fn name_of(item: &serde_json::Value) -> String {
    item["name"].as_str().expect("a name").to_owned()
}

/// Path and query of the link to the next page.
fn linked(page: &Answer) -> Option<String> {
    let link = page.header("link")?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    assert!(parameters.contains("rel=\"next\""), "{link}");
    let path = target.find("/api/v1/").expect("a link into the API");
    Some(target[path..].to_owned())
}

async fn a_list_that_grows_while_it_is_walked_shows_nothing_twice(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for _ in 0..4 {
        admin.draft("win7-office").await;
    }
    let path = "/api/v1/images/win7-office/revisions?limit=2";
    let first = admin.get(path).await.expecting(200);
    admin.draft("win7-office").await;
    let second = admin.get(&linked(&first).expect("a second page")).await.expecting(200);
    let numbers: Vec<_> = [first.items(), second.items()]
        .concat()
        .iter()
        .filter_map(|revision| revision["number"].as_u64())
        .collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
}

async fn single_resources_carry_a_tag_that_changes_with_them(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    for path in [
        "/api/v1/images/win7-office".to_owned(),
        revision_path("win7-office", 1),
        file_path("win7-office", 1, "ckm"),
        "/api/v1/channels/test".to_owned(),
        "/api/v1/images/win7-office/channels/test".to_owned(),
        "/api/v1/users/admin".to_owned(),
    ] {
        let answer = admin.get(&path).await.expecting(200);
        let etag = answer.required_header("etag");
        admin.get(&path).header("If-None-Match", etag).await.expecting(304);
    }
    let before = admin.get("/api/v1/images/win7-office").await;
    let change = json!({"description": "for the office"});
    let changed = admin.patch("/api/v1/images/win7-office").json(&change).await.expecting(200);
    let after = admin.get("/api/v1/images/win7-office").await;
    assert_ne!(before.required_header("etag"), after.required_header("etag"));
    assert_eq!(changed.required_header("etag"), after.required_header("etag"));
}

async fn a_change_with_an_old_tag_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    for path in [
        "/api/v1/images/win7-office".to_owned(),
        revision_path("win7-office", 1),
        "/api/v1/channels/test".to_owned(),
    ] {
        let change = if path.contains("channels") {
            json!({"keep_old": 3})
        } else if path.contains("revisions") {
            json!({"notes": "seen"})
        } else {
            json!({"description": "seen"})
        };
        let etag = admin.get(&path).await.required_header("etag").to_owned();
        let with = |tag: &str| admin.patch(&path).header("If-Match", tag).json(&change);
        with("\"old\"").await.problem(412);
        with(&etag).await.expecting(200);
        with(&etag).await.problem(412);
        with("*").await.expecting(200);
        admin.delete(&path).header("If-Match", &etag).await.problem(412);
        admin.get(&path).await.expecting(200);
    }
}

fn make_image(person: &Person, key: &str, name: &str) -> crate::harness::person::Call {
    let image = json!({"name": name, "kind": "medv"});
    person.post(IMAGES).header("Idempotency-Key", key).json(&image)
}

async fn a_repeated_post_gets_the_same_answer(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    let first = make_image(&admin, "key-1", "win7-office").await.expecting(201);
    let repeat = make_image(&admin, "key-1", "win7-office").await.expecting(201);
    assert_eq!(first.json(), repeat.json());
    assert_eq!(first.required_header("location"), repeat.required_header("location"));
    make_image(&admin, "key-1", "another").await.problem(409);
    admin.get("/api/v1/images/another").await.problem(404);

    let draft = |key: &str| {
        admin.post("/api/v1/images/win7-office/revisions").header("Idempotency-Key", key)
    };
    let number = draft("draft-1").await.expecting(201).json()["number"].clone();
    assert_eq!(draft("draft-1").await.expecting(201).json()["number"], number);
    // A client that never saw the answer asks again after the server has come back.
    depot.server.restart().await;
    assert_eq!(draft("draft-1").await.expecting(201).json()["number"], number);
    assert_ne!(draft("draft-2").await.expecting(201).json()["number"], number);
    // A refusal that only this body caused is no lasting answer to the key.
    make_image(&admin, "key-2", "CON").await.problem(422);
}

async fn a_key_is_not_shared_between_callers_or_requests(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let publisher = depot.user_with_role("publisher").await;
    make_image(&admin, "same", "first").await.expecting(201);
    make_image(&publisher, "same", "second").await.expecting(201);
    let elsewhere = admin.post("/api/v1/images/first/revisions").header("Idempotency-Key", "same");
    elsewhere.await.problem(409);
    let too_long = "k".repeat(1000);
    make_image(&admin, &too_long, "third").await.problem_of(&[400, 422]);
}

async fn a_key_answers_nobody_who_has_other_rights_by_now(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let publisher = depot.user_with_role("publisher").await;
    let draft = |person: &Person| {
        let call = person.post("/api/v1/images/win7-office/revisions");
        call.header("Idempotency-Key", "mine").into_future()
    };
    draft(&publisher).await.expecting(201);
    draft(&publisher).await.expecting(201);
    let path = "/api/v1/users/publisher";
    admin.patch(path).json(&json!({"images": ["other-*"]})).await.expecting(200);
    assert_eq!(draft(&publisher).await.problem(409), "idempotency_key_reused");
    // The next of the name is somebody else.
    admin.delete(path).await.expecting(204);
    let next = depot.user_with_role("publisher").await;
    assert_eq!(draft(&next).await.expecting(201).json()["number"], 2, "a draft of its own");
    let drafts = admin.get("/api/v1/images/win7-office/revisions").await.expecting(200).items();
    assert_eq!(drafts.len(), 2, "{drafts:?}");
}

async fn a_misspelt_dry_run_does_nothing(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for misspelt in ["dry-run=true", "dryrun=true", "DRY_RUN=1", "x=1&dryRun"] {
        let path = format!("/api/v1/images/win7-office?{misspelt}");
        assert_eq!(admin.delete(&path).await.problem(400), "unknown_parameter", "{misspelt}");
    }
    admin.get("/api/v1/images/win7-office").await.expecting(200);
}

async fn two_equal_posts_at_once_do_their_work_once(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = || {
        admin
            .post("/api/v1/images/win7-office/revisions")
            .header("Idempotency-Key", "at-once")
            .into_future()
    };
    let answers = futures_util::future::join_all((0..8).map(|_| draft())).await;
    // One that comes while the first is still at work may be told so.
    for answer in &answers {
        assert!([201, 409].contains(&answer.status), "{}", answer.text());
    }
    assert!(answers.iter().any(|answer| answer.status == 201));
    let list = admin.get("/api/v1/images/win7-office/revisions").await.expecting(200).items();
    assert_eq!(list.len(), 1, "{list:?}");
}

async fn a_request_id_comes_back_and_stands_in_problems(database: Database) {
    let depot = Depot::start(database).await;
    let anyone = depot.anonymous();
    let named = anyone.get("/livez").header("X-Request-Id", "from-my-proxy-42").await;
    assert_eq!(named.required_header("x-request-id"), "from-my-proxy-42");
    let problem = anyone.get("/api/v1/nothing").header("X-Request-Id", "abc-1").await;
    problem.problem(404);
    assert_eq!(problem.json()["request_id"], "abc-1");
    let own = anyone.get("/api/v1/nothing").await;
    own.problem(404);
    assert_eq!(own.json()["request_id"], own.required_header("x-request-id"));
    assert_ne!(own.json()["request_id"], anyone.get("/api/v1/nothing").await.json()["request_id"]);
    // What would forge a line of the log is replaced.
    let hostile = "x".repeat(5000);
    let answer = anyone.get("/livez").header("X-Request-Id", &hostile).await;
    assert!(answer.required_header("x-request-id").len() <= 200);
}

async fn a_wrong_method_is_told_the_right_ones(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/images", &["GET", "POST"][..]),
        ("POST", "/api/v1/images/win7-office", &["GET", "PATCH", "DELETE"]),
        ("PUT", "/api/v1/images/win7-office/revisions/1", &["GET", "PATCH", "DELETE"]),
        ("DELETE", "/api/v1/images/x/revisions/1/files/ckm", &["GET", "HEAD", "PUT"]),
        ("GET", "/api/v1/images/x/revisions/1/seal", &["POST"]),
        ("POST", "/api/v1/images/x/channels/test", &["GET", "PUT", "DELETE"]),
        ("DELETE", "/MEDVImages/win7-office_1.ckm", &["GET", "HEAD"]),
        ("POST", "/livez", &["GET"]),
    ] {
        let method = method.parse().expect("a method");
        let answer = admin.call(&method, path).await;
        answer.problem(405);
        let allow = answer.required_header("allow");
        let offered: Vec<_> = allow.split(", ").collect();
        for wanted in allowed {
            assert!(offered.contains(wanted), "{method} {path}: Allow: {allow}");
        }
        assert!(!offered.contains(&method.as_str()), "{method} {path}: Allow: {allow}");
    }
}

async fn options_names_the_methods(database: Database) {
    let depot = Depot::start(database).await;
    for path in ["/api/v1/images", "/MEDVImages/win7-office_1.ckm"] {
        let answer = depot.anonymous().call(&reqwest::Method::OPTIONS, path).await;
        assert!([200, 204].contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.required_header("allow").contains("GET"), "{path}");
    }
}

async fn health_and_documents_are_open(database: Database) {
    let depot = Depot::start(database).await;
    let anyone = depot.anonymous();
    anyone.get("/livez").await.expecting(200);
    anyone.get("/readyz").await.expecting(200);
    let document = anyone.get("/api/openapi.json").await.expecting(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let docs = anyone.get("/docs").await;
    let docs = if docs.status / 100 == 3 {
        let target = docs.required_header("location").to_owned();
        anyone.get(&format!("/docs/{}", target.rsplit("docs/").next().unwrap_or(""))).await
    } else {
        docs
    };
    let page = docs.expecting(200).text();
    assert!(page.contains("<html") || page.contains("<!DOCTYPE"), "{page}");
    for outside in ["https://", "http://", "src=\"//", "href=\"//"] {
        assert!(!page.contains(outside), "/docs loads something from outside: {page}");
    }
}

async fn metrics_need_a_reader(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    depot.anonymous().check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    depot.anonymous().get("/metrics").await.problem(401);
    depot.user_with_role("client").await.get("/metrics").await.problem(403);
    let metrics = depot.user_with_role("reader").await.get("/metrics").await.expecting(200);
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(text.contains("imagedepot_update_checks_total{action=\"update\"} 1"), "{text}");
}
