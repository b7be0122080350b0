//! Uploads that break off, lie about themselves or do not fit: the right problem document, and
//! nothing left behind.

use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{ckm, file_path};
use crate::harness::raw::{self, Connection, basic, head};
use crate::harness::{Database, Depot, Person, on_both_databases, sample};

on_both_databases![
    a_wrong_digest_is_refused_and_its_bytes_go,
    a_digest_that_is_none_is_refused,
    a_body_that_ends_too_early_leaves_nothing,
    a_put_without_a_body_is_refused,
    a_body_longer_than_allowed_is_refused_before_it_is_sent,
    more_than_the_disk_holds_is_refused_before_it_is_sent,
    more_than_the_quota_of_an_image_is_refused_and_the_limit_named,
    a_wrong_media_type_is_refused,
    a_file_of_what_is_not_there_is_refused_before_it_is_read,
];

/// A draft of `win7-office` that waits for its files.
async fn depot_with_a_draft(database: Database) -> (Depot, Person) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    (depot, admin)
}

/// Nothing that a refused upload brought is to be found, in the folder or in the API.
async fn nothing_is_left(depot: &Depot) {
    depot.comes_to_store(0).await;
    let revision = depot.admin().revision("win7-office", 1).await;
    assert_eq!((&revision["state"], &revision["files"]), (&json!("draft"), &json!([])));
    depot.admin().get(&file_path("win7-office", 1, "ckm")).await.problem(404);
}

async fn a_wrong_digest_is_refused_and_its_bytes_go(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let path = file_path("win7-office", 1, "ckm");
    let other = sample::digest_field(b"other bytes");
    for header in ["Repr-Digest", "Content-Digest"] {
        let refused = admin.put(&path).header(header, &other).body(ckm(1)).await;
        refused.problem_of(&[400, 422]);
        nothing_is_left(&depot).await;
    }
    // A wrong file does not take the place of a right one.
    let right = sample::digest_field(&ckm(1));
    admin.put(&path).header("Repr-Digest", &right).body(ckm(1)).await.expecting(201);
    admin.put(&path).header("Repr-Digest", &right).body(ckm(2)).await.problem_of(&[400, 422]);
    assert!(admin.get(&path).await.expecting(200).body == ckm(1), "the right file is gone");
    depot.comes_to_store(1).await;
    // Algorithms that the server does not know are none of its business (RFC 9530, 2).
    let with_unknown = format!("unixsum=:AAE=:, {}", sample::digest_field(&ckm(2)));
    admin.put(&path).header("Content-Digest", &with_unknown).body(ckm(2)).await.expecting(200);
}

async fn a_digest_that_is_none_is_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let path = file_path("win7-office", 1, "ckm");
    for value in ["sha-256=abc", "sha-256=:****:", "sha-256=:AAAA:", "sha-256", "=:AAAA:"] {
        admin.put(&path).header("Repr-Digest", value).body(ckm(1)).await.problem(400);
    }
    nothing_is_left(&depot).await;
}

async fn a_body_that_ends_too_early_leaves_nothing(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let login = basic(&admin.name_and_password());
    for sent in [0, 1, 70_000, 299_999] {
        let headers = [("Authorization", login.as_str()), ("Content-Length", "300000")];
        let mut connection = Connection::open(depot.server.port()).await;
        let head = head("PUT", &file_path("win7-office", 1, "ckm"), &headers);
        connection.write(head.as_bytes()).await;
        connection.write(&ckm(1)[..sent]).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(connection);
        nothing_is_left(&depot).await;
    }
    // The draft is none the worse for it.
    admin.put_file("win7-office", 1, "ckm", &ckm(1)).await.expecting(201);
    depot.comes_to_store(1).await;
}

async fn a_put_without_a_body_is_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let login = basic(&admin.name_and_password());
    let port = depot.server.port();
    let path = file_path("win7-office", 1, "ckm");
    let authorized = ("Authorization", login.as_str());
    raw::request(port, "PUT", &path, &[authorized], b"").await.problem(411);
    // What cannot be framed at all never reaches a handler: the connection's own 400.
    for lengths in [&["abc"][..], &["-1"], &["3", "4"], &["99999999999999999999999"]] {
        let mut headers = vec![authorized];
        headers.extend(lengths.iter().map(|length| ("Content-Length", *length)));
        raw::request(port, "PUT", &path, &headers, b"abc").await.expecting(400);
    }
    nothing_is_left(&depot).await;
    let empty = raw::request(port, "PUT", &path, &[authorized, ("Content-Length", "0")], b"").await;
    assert!([201, 422].contains(&empty.status), "{}", empty.text());
}

async fn a_body_longer_than_allowed_is_refused_before_it_is_sent(database: Database) {
    let depot = Depot::on(database).setting("uploads", "max_size", "100000").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    refused_on_its_head(&depot, "100001", 413).await;
    nothing_is_left(&depot).await;
    let right = sample::bytes(1, 100_000);
    admin.put_file("win7-office", 1, "ckm", &right).await.expecting(201);
    let json = format!("{{\"name\": \"{}\"}}", "x".repeat(20_000_000));
    let huge = admin.post("/api/v1/images").header("Content-Type", "application/json").body(json);
    if let Ok(answer) = huge.try_send().await {
        answer.problem(413);
    }
}

async fn more_than_the_quota_of_an_image_is_refused_and_the_limit_named(database: Database) {
    let depot = Depot::on(database).setting("uploads", "image_quota", "700 KB").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.ready_revision("win7-office", 1).await;
    let draft = admin.draft("win7-office").await;
    admin.put_file("win7-office", draft, "ckm", &ckm(2)).await.expecting(201);
    // A file in the place of another needs no more than the other had.
    admin.put_file("win7-office", draft, "ckm", &ckm(3)).await.expecting(200);
    let refused = admin.put_file("win7-office", draft, "index", &sample::bytes(1, 100_000)).await;
    assert_eq!(refused.problem(413), "image_quota_exceeded");
    assert!(refused.text().contains("700000"), "{}", refused.text());
    // What is promised counts like what is there, until it is given up.
    let draft = admin.draft("win7-office").await;
    let target = json!({"image": "win7-office", "revision": draft, "role": "ckm", "size": 90_000});
    let promised = admin.post("/api/v1/uploads").json(&target).await.expecting(201);
    admin.post("/api/v1/uploads").json(&target).await.problem(413);
    admin.delete(promised.required_header("location")).await.expecting(204);
    admin.post("/api/v1/uploads").json(&target).await.expecting(201);
    // Other images have a quota of their own.
    admin.create_image("win10").await;
    admin.ready_revision("win10", 1).await;
}

async fn more_than_the_disk_holds_is_refused_before_it_is_sent(database: Database) {
    let allowed = Depot::on(database).setting("uploads", "max_size", "4000000000000001");
    let depot = allowed.start().await;
    depot.admin().create_image("win7-office").await;
    depot.admin().draft("win7-office").await;
    refused_on_its_head(&depot, "4000000000000000", 507).await;
    nothing_is_left(&depot).await;
}

/// A PUT whose head alone is sent, as with `Expect: 100-continue`, is answered with `status`.
async fn refused_on_its_head(depot: &Depot, length: &str, status: u16) {
    let login = basic(&depot.admin().name_and_password());
    let headers =
        [("Authorization", login.as_str()), ("Content-Length", length), ("Expect", "100-continue")];
    let path = file_path("win7-office", 1, "ckm");
    raw::request(depot.server.port(), "PUT", &path, &headers, b"").await.problem(status);
}

async fn a_wrong_media_type_is_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let path = file_path("win7-office", 1, "ckm");
    for media_type in ["multipart/form-data; boundary=x", "image/png"] {
        let upload = admin.put(&path).header("Content-Type", media_type).body(ckm(1));
        upload.await.problem(415);
    }
    let coded = admin.put(&path).header("Content-Encoding", "gzip").body(ckm(1)).await;
    coded.problem(415);
    for media_type in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        let image = json!({"name": "another", "kind": "medv"}).to_string();
        let call = admin.post("/api/v1/images").header("Content-Type", media_type).body(image);
        call.await.problem(415);
    }
    nothing_is_left(&depot).await;
    let octets = admin.put(&path).header("Content-Type", "application/octet-stream").body(ckm(1));
    octets.await.expecting(201);
}

async fn a_file_of_what_is_not_there_is_refused_before_it_is_read(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let login = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", login.as_str()),
        ("Content-Length", "300000"),
        ("Expect", "100-continue"),
    ];
    for (path, statuses) in [
        (file_path("no-such", 1, "ckm"), &[404][..]),
        (file_path("win7-office", 2, "ckm"), &[404]),
        (file_path("win7-office", 1, "image"), &[404, 422]),
        (file_path("win7-office", 1, "floppy"), &[404, 422]),
    ] {
        raw::request(depot.server.port(), "PUT", &path, &headers, b"").await.problem_of(statuses);
    }
    let anonymous = &headers[1..];
    let path = file_path("win7-office", 1, "ckm");
    raw::request(depot.server.port(), "PUT", &path, anonymous, b"").await.problem(401);
    nothing_is_left(&depot).await;
}
