//! The stream of events: who is told what, in which order, and how readers go on.

mod clients;
mod connections;
mod many;
mod own_work;

use serde_json::{Value, json};

use crate::harness::event_stream::EventStream;
use crate::harness::{Database, Depot, Person, on_both_databases};

on_both_databases![
    a_stream_tells_what_happens_in_its_order,
    readers_see_what_they_may_know_and_what_they_asked_for,
    a_reader_goes_on_where_it_was,
    a_reader_that_was_away_for_too_long_is_told_to_begin_anew,
    what_was_only_tried_is_no_event,
    a_failure_and_the_halt_that_it_causes_are_told_once,
];

/// The types of the next events, and the last of them.
async fn types(stream: &mut EventStream, count: usize) -> Vec<String> {
    let mut types = Vec::new();
    for _ in 0..count {
        types.push(stream.next().await.expect("another event").kind);
    }
    types
}

async fn a_stream_tells_what_happens_in_its_order(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let of_images = "?types=image.*,revision.*,channel.*";
    let mut stream = EventStream::open(&admin, of_images, None).await;
    let mut files = EventStream::open(&admin, "?types=publication.*,upload.*", None).await;
    admin.create_image("win7-office").await;
    let created = stream.expect("image.created").await;
    assert_eq!(created.data["id"], created.id);
    assert_eq!(created.data["type"], "image.created");
    assert_eq!(created.data["actor"], "admin");
    assert_eq!(created.data["subject"], "images/win7-office");
    assert_eq!(created.data["image"], "win7-office");
    assert_eq!(created.data["data"]["after"]["kind"], "medv");
    assert!(created.data.get("channel").is_none() && created.data["time"].is_string());
    for _ in 0..2 {
        let revision = admin.ready_revision("win7-office", 1).await;
        let sealed = stream.expect("revision.sealed").await;
        assert_eq!(sealed.data["revision"], revision);
        admin.promote("win7-office", "production", revision).await.expecting(200);
        let promoted = stream.expect("channel.promoted").await.data;
        assert_eq!(promoted["channel"], "production");
        assert_eq!(promoted["revision"], revision);
    }
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(stream.expect("channel.rolled_back").await.data["revision"], 1);
    let path = "/api/v1/images/win7-office/channels/production";
    admin.patch(path).json(&json!({"note": "for all"})).await.expecting(200);
    stream.expect("channel.rollout_changed").await;
    admin.delete(&format!("{path}?now=true")).await;
    assert_eq!(stream.expect("channel.withdrawn").await.data["revision"], 1);
    admin.revoke("win7-office", 2).await.expecting(200);
    stream.expect("revision.revoked").await;
    admin.delete("/api/v1/images/win7-office/revisions/2").await.expecting(204);
    stream.expect("revision.deleted").await;
    let uploads_then = types(&mut files, 2).await;
    assert_eq!(uploads_then, ["upload.finished", "upload.finished"]);
    let mut done = files.next().await.expect("more events");
    while done.kind != "publication.done" {
        done = files.next().await.expect("more events");
    }
    assert_eq!(done.data["image"], "win7-office");
    assert!(done.data["data"]["path"].as_str().expect("a path").starts_with("win7-office_"));
}

async fn readers_see_what_they_may_know_and_what_they_asked_for(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let token = json!({"name": "lab", "roles": ["reader"], "images": ["lab-*"]});
    let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let confined = depot.bearer(made["token"].as_str().expect("a token"));
    let reader = depot.user_with_role("reader").await;
    let mut of_lab = EventStream::open(&confined, "", None).await;
    let mut of_reader = EventStream::open(&reader, "", None).await;
    let mut of_channels = EventStream::open(&reader, "?types=channel.*,image.deleted", None).await;
    let mut of_admin = EventStream::open(&admin, "?types=login.refused", None).await;
    depot.user("admin", "wrong").get("/api/v1/images").await.expecting(401);
    admin.published_image("win7-office", "production").await;
    admin.create_image("lab-1").await;
    let refused = of_admin.expect("login.refused").await;
    assert_eq!(refused.data["data"]["after"]["times"], 1);
    assert_eq!(of_lab.expect("image.created").await.data["image"], "lab-1");
    of_channels.expect("channel.promoted").await;
    let seen = types(&mut of_reader, 4).await;
    assert_eq!(seen, ["image.created", "revision.sealed", "channel.promoted", "image.created"]);
    of_reader.is_silent().await;
    for types in ["channels.*", "channel", "image.created,nothing", ""] {
        let refused = reader.get(&format!("/api/v1/events?types={types}")).await;
        assert_eq!(refused.problem(400), "bad_query", "{types}");
    }
    assert_eq!(reader.get("/api/v1/events?type=x").await.problem(400), "unknown_parameter");
    depot.user_with_role("client").await.get("/api/v1/events").await.expecting(403);
    depot.anonymous().get("/api/v1/events").await.expecting(401);
}

async fn a_reader_goes_on_where_it_was(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=image.*", None).await;
    admin.create_image("one").await;
    let first = stream.expect("image.created").await;
    drop(stream);
    // More than are read at once.
    for number in 0..150 {
        admin.create_image(&format!("image-{number}")).await;
    }
    let mut again = EventStream::open(&admin, "?types=image.*", Some(&first.id)).await;
    for number in 0..150 {
        let event = again.expect("image.created").await;
        assert_eq!(event.data["image"], format!("image-{number}"));
    }
    admin.create_image("last").await;
    assert_eq!(again.expect("image.created").await.data["image"], "last");
}

async fn a_reader_that_was_away_for_too_long_is_told_to_begin_anew(database: Database) {
    let depot = Depot::on(database).setting("events", "keep", "1s").start().await;
    let admin = depot.admin();
    let mut stream = EventStream::open(&admin, "?types=image.*", None).await;
    admin.create_image("old").await;
    let old = stream.expect("image.created").await.id;
    admin.create_image("newer").await;
    let newer = stream.expect("image.created").await.id;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    // What was left behind wakes the sweep, which removes old events, too.
    let draft = admin.draft("old").await;
    admin.delete(&format!("/api/v1/images/old/revisions/{draft}")).await.expecting(204);
    crate::harness::eventually("the event is gone", async || {
        let mut stream = EventStream::open(&admin, "", Some(&old)).await;
        (stream.next().await?.kind == "reset").then_some(())
    })
    .await;
    let (generation, _) = newer.split_once('-').expect("an id");
    for unknown in [format!("{generation}-4000000"), "00000000-1".to_owned(), "x".to_owned()] {
        let mut stream = EventStream::open(&admin, "?types=image.*", Some(&unknown)).await;
        let reset = stream.expect("reset").await;
        assert_eq!(reset.data["id"], reset.id);
        admin.create_image(&format!("after-{}", &unknown[..1].replace('-', "x"))).await;
        let image = stream.expect("image.created").await;
        admin
            .delete(&format!("/api/v1/images/{}", image.data["image"].as_str().expect("a name")))
            .await;
        // By the id of the reset it goes on, too.
        let mut again = EventStream::open(&admin, "?types=image.*", Some(&reset.id)).await;
        again.expect("image.created").await;
    }
}

async fn what_was_only_tried_is_no_event(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let mut stream = EventStream::open(&admin, "?types=channel.*,image.*", None).await;
    let path = "/api/v1/images/win7-office/channels/production";
    admin.delete(&format!("{path}?dry_run=true")).await.expecting(200);
    admin
        .post("/api/v1/images")
        .json(&json!({"name": "win7-office", "kind": "medv"}))
        .await
        .expecting(409);
    stream.is_silent().await;
}

/// The gauge of open streams.
async fn open_streams(person: &Person) -> u32 {
    let metrics = person.get("/metrics").await.expecting(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("imagedepot_event_streams "));
    line.map_or(0, |number| number.trim().parse().expect("a number"))
}

fn position(id: &Value) -> u64 {
    let id = id.as_str().expect("an id");
    id.split_once('-').and_then(|(_, place)| place.parse().ok()).expect("a place")
}

async fn a_failure_and_the_halt_that_it_causes_are_told_once(database: Database) {
    let depot = Depot::on(database).setting("fleet", "reports", "everyone").start().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    let rollout = json!({"halt": {"failures_percent": 50, "at_least": 1}});
    let order = json!({"revision": second, "rollout": rollout});
    let path = "/api/v1/images/win7-office/channels/production";
    admin.put(path).json(&order).await.expecting(200);
    let told = "?types=client.*,channel.halted,image.created";
    let mut stream = EventStream::open(&admin, told, None).await;
    let report = async |status: &str| {
        let report = json!({"image": "win7-office", "revision": second, "status": status, "error": "disk full"});
        anyone.post("/api/v1/clients/PC-0815/reports").json(&report).await.expecting(204);
    };
    report("failed").await;
    let failed = stream.expect("client.failed").await;
    assert_eq!(failed.data["subject"], "clients/PC-0815");
    assert_eq!(
        (&failed.data["image"], &failed.data["revision"]),
        (&json!("win7-office"), &json!(2))
    );
    assert_eq!(failed.data["data"]["error"], "disk full");
    let halted = stream.expect("channel.halted").await;
    assert_eq!(
        (&halted.data["actor"], &halted.data["channel"]),
        (&json!("system:reports"), &json!("production"))
    );
    // A client that says now this and now that does not fill the record.
    for status in ["applied", "failed", "applied", "failed"] {
        report(status).await;
    }
    admin.create_image("another").await;
    stream.expect("image.created").await;
}
