//! tus 1.0.0, each rule of the protocol and each way to break it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use sha1::Digest as _;

use crate::harness::actions::{ckm, file_path};
use crate::harness::person::Call;
use crate::harness::raw::{self, Connection, basic, head};
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases, sample};
use crate::uploads::{depot_with_a_draft, nothing_is_left};

on_both_databases![
    a_file_arrives_in_pieces,
    a_file_may_come_with_the_request_that_begins_it,
    an_empty_file_is_complete_at_once,
    every_answer_names_the_version,
    a_checksum_is_proven_before_the_bytes_count,
    the_digest_in_the_metadata_is_checked_at_the_end,
    an_upload_says_when_it_expires,
    a_terminated_upload_is_gone,
    a_post_may_stand_for_other_methods,
    what_came_before_the_line_broke_is_kept,
    a_creation_that_breaks_off_before_it_is_answered_leaves_nothing,
    the_offset_after_a_broken_line_is_known_within_a_second,
    a_chunked_body_is_appended_too,
];

/// `Upload-Metadata` of keys with plain values.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{key} {}", STANDARD.encode(value)).expect("write to a string");
    }
    text
}

pub fn target() -> String {
    let name = ("filename", "Büro.ckm");
    metadata(&[("image", "win7-office"), ("revision", "1"), ("role", "ckm"), name])
}

pub fn creation(person: &Person) -> Call {
    let call = person.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
    call.header("Upload-Metadata", &target())
}

pub async fn begin(person: &Person, length: usize) -> String {
    let begun = creation(person).header("Upload-Length", &length.to_string()).await.expecting(201);
    assert_eq!(begun.required_header("tus-resumable"), "1.0.0");
    begun.required_header("location").to_owned()
}

fn tus_head(person: &Person, path: &str) -> Call {
    person.call(&Method::HEAD, path).header("Tus-Resumable", "1.0.0")
}

pub fn append(person: &Person, path: &str, offset: &str, bytes: &[u8]) -> Call {
    person
        .patch(path)
        .header("Tus-Resumable", "1.0.0")
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", offset)
        .body(bytes.to_vec())
}

pub async fn offset(person: &Person, path: &str) -> u64 {
    let told = tus_head(person, path).await.expecting(200);
    told.required_header("upload-offset").parse().expect("a number")
}

pub async fn is_there(person: &Person, bytes: &[u8]) {
    let file = person.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == bytes, "other bytes than were sent");
}

/// A refusal in the form of the house that names the version all the same.
#[track_caller]
pub fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{}", answer.question);
    answer.problem(status)
}

async fn a_file_arrives_in_pieces(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    assert_eq!(offset(&admin, &location).await, 0);
    for (start, end) in [(0, 100_000), (100_000, 100_001), (100_001, 300_000)] {
        let answer = append(&admin, &location, &start.to_string(), &ckm(1)[start..end]).await;
        let answer = answer.expecting(204);
        assert_eq!(answer.required_header("tus-resumable"), "1.0.0");
        assert_eq!(answer.required_header("upload-offset"), end.to_string());
        let told = tus_head(&admin, &location).await.expecting(200);
        assert_eq!(told.required_header("upload-offset"), end.to_string());
        assert_eq!(told.required_header("upload-length"), "300000");
        assert_eq!(told.required_header("cache-control"), "no-store");
        assert!(told.required_header("upload-metadata").contains("image d2luNy1vZmZpY2U="));
    }
    is_there(&admin, &ckm(1)).await;
    depot.comes_to_store(1).await;
}

async fn a_file_may_come_with_the_request_that_begins_it(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let with_bytes = |bytes: &[u8]| {
        creation(&admin)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Length", "300000")
            .body(bytes.to_vec())
    };
    let part = with_bytes(&ckm(1)[..120_000]).await.expecting(201);
    assert_eq!(part.required_header("upload-offset"), "120000");
    let location = part.required_header("location").to_owned();
    append(&admin, &location, "120000", &ckm(1)[120_000..]).await.expecting(204);
    is_there(&admin, &ckm(1)).await;
    let whole = with_bytes(&ckm(2)).await.expecting(201);
    assert_eq!(whole.required_header("upload-offset"), "300000");
    is_there(&admin, &ckm(2)).await;
    let told = tus_head(&admin, whole.required_header("location")).await.expecting(200);
    assert_eq!(told.required_header("upload-offset"), "300000");
}

async fn an_empty_file_is_complete_at_once(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 0).await;
    is_there(&admin, b"").await;
    assert_eq!(offset(&admin, &location).await, 0);
}

async fn every_answer_names_the_version(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let tus = |person: &Person, method: Method, path: &str| {
        person.call(&method, path).header("Tus-Resumable", "1.0.0")
    };
    let missing = "/api/v1/uploads/0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e";
    for (answer, status) in [
        (tus(&depot.anonymous(), Method::POST, "/api/v1/uploads").await, 401),
        (tus(&depot.anonymous(), Method::PATCH, &location).await, 401),
        (tus(&depot.user("admin", "wrong"), Method::PATCH, &location).await, 401),
        (tus(&admin, Method::PATCH, missing).await, 404),
        (tus(&admin, Method::PATCH, "/api/v1/uploads/no-id").await, 404),
        (tus(&admin, Method::PUT, &location).await, 405),
        (tus(&admin, Method::PATCH, &location).await, 415),
        (tus(&admin, Method::POST, "/api/v1/uploads").await, 411),
    ] {
        refused(&answer, status);
    }
    let gone = tus(&admin, Method::DELETE, &location).await.expecting(204);
    assert_eq!(gone.required_header("tus-resumable"), "1.0.0");
    let gone = tus(&admin, Method::HEAD, &location).await.expecting(404);
    assert_eq!(gone.required_header("tus-resumable"), "1.0.0");
    assert_eq!(gone.header("upload-offset"), None, "there is no upload to have one");
}

pub fn sha1_of(bytes: &[u8]) -> String {
    format!("sha1 {}", STANDARD.encode(sha1::Sha1::digest(bytes)))
}

fn sha256_of(bytes: &[u8]) -> String {
    format!("sha256 {}", STANDARD.encode(sha2::Sha256::digest(bytes)))
}

async fn a_checksum_is_proven_before_the_bytes_count(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let bytes = ckm(1);
    // A creation whose bytes are wrong leaves no upload that nobody knows of.
    let with_bytes = |checksum: &str| {
        let call = creation(&admin).header("Upload-Length", "300000");
        let call = call.header("Content-Type", "application/offset+octet-stream");
        call.header("Upload-Checksum", checksum).body(bytes[..100_000].to_vec())
    };
    assert_eq!(refused(&with_bytes(&sha1_of(b"other")).await, 460), "checksum_mismatch");
    nothing_is_left(&depot).await;
    let begun = with_bytes(&sha256_of(&bytes[..100_000])).await.expecting(201);
    assert_eq!(begun.required_header("upload-offset"), "100000");
    let location = begun.required_header("location").to_owned();
    for wrong in [sha1_of(b"other"), sha256_of(b"other")] {
        let call = append(&admin, &location, "100000", &bytes[100_000..]);
        let answer = call.header("Upload-Checksum", &wrong).await;
        assert_eq!(refused(&answer, 460), "checksum_mismatch");
        assert_eq!(offset(&admin, &location).await, 100_000);
    }
    let (middle, last) = (&bytes[100_000..200_000], &bytes[200_000..]);
    let call = append(&admin, &location, "100000", middle);
    call.header("Upload-Checksum", &sha1_of(middle)).await.expecting(204);
    let call = append(&admin, &location, "200000", last);
    call.header("Upload-Checksum", &sha256_of(last)).await.expecting(204);
    is_there(&admin, &bytes).await;
}

async fn the_digest_in_the_metadata_is_checked_at_the_end(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let begin = |digest: String| {
        let text = format!("{},digest {}", target(), STANDARD.encode(digest));
        let call = admin.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
        let call = call.header("Upload-Metadata", &text).header("Upload-Length", "300000");
        async move { call.await.expecting(201).required_header("location").to_owned() }
    };
    let wrong = begin(sample::digest(&ckm(2))).await;
    assert_eq!(refused(&append(&admin, &wrong, "0", &ckm(1)).await, 422), "digest_mismatch");
    nothing_is_left(&depot).await;
    let right = begin(sample::digest(&ckm(1))).await;
    append(&admin, &right, "0", &ckm(1)).await.expecting(204);
    is_there(&admin, &ckm(1)).await;
}

async fn an_upload_says_when_it_expires(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let begun = creation(&admin).header("Upload-Length", "10").await.expecting(201);
    let location = begun.required_header("location").to_owned();
    let part = append(&admin, &location, "0", b"01234").await.expecting(204);
    let told = tus_head(&admin, &location).await.expecting(200);
    // What has brought no byte keeps its room for an hour.
    for (answer, hours) in [(begun, 1), (part, 14 * 24), (told, 14 * 24)] {
        let then = std::time::SystemTime::now() + std::time::Duration::from_hours(hours);
        let text = answer.required_header("upload-expires");
        let at = httpdate::parse_http_date(text).expect("a date as HTTP writes it");
        let off = then.duration_since(at).unwrap_or_default();
        assert!(off < std::time::Duration::from_mins(2), "{text}");
        assert!(at <= then, "{text}");
    }
    let last = append(&admin, &location, "5", b"56789").await.expecting(204);
    assert_eq!(last.header("upload-expires"), None, "a complete upload does not expire");
}

async fn a_terminated_upload_is_gone(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    append(&admin, &location, "0", &ckm(1)[..200_000]).await.expecting(204);
    let delete = || admin.delete(&location).header("Tus-Resumable", "1.0.0");
    delete().await.expecting(204);
    refused(&delete().await, 404);
    refused(&append(&admin, &location, "200000", &ckm(1)[200_000..]).await, 404);
    tus_head(&admin, &location).await.expecting(404);
    nothing_is_left(&depot).await;
}

async fn a_post_may_stand_for_other_methods(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let post = |method: &str| {
        let call = admin.post(&location).header("Tus-Resumable", "1.0.0");
        call.header("X-HTTP-Method-Override", method)
    };
    let patch = post("PATCH").header("Content-Type", "application/offset+octet-stream");
    patch.header("Upload-Offset", "0").body("01234").await.expecting(204);
    assert_eq!(post("HEAD").await.expecting(200).required_header("upload-offset"), "5");
    refused(&post("PUT").await, 405);
    refused(&post("nonsense").await, 405);
    post("DELETE").await.expecting(204);
    nothing_is_left(&depot).await;
    // Nowhere else does the header turn one method into another.
    for path in ["/api/v1/images/win7-office", "/api/v1/users/admin", "/api/v1/uploads"] {
        let call = admin.post(path).header("X-HTTP-Method-Override", "DELETE");
        assert!(call.await.status >= 400, "{path}");
    }
    admin.get("/api/v1/images/win7-office").await.expecting(200);
}

/// A request of tus that ends before its body does.
async fn broken_off(
    depot: &Depot,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    sent: &[u8],
) {
    let login = basic(&depot.admin().name_and_password());
    let mut all = vec![
        ("Authorization", login.as_str()),
        ("Tus-Resumable", "1.0.0"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Content-Length", "300000"),
    ];
    all.extend_from_slice(headers);
    let mut connection = Connection::open(depot.server.port()).await;
    connection.write(head(method, path, &all).as_bytes()).await;
    connection.write(sent).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

async fn what_came_before_the_line_broke_is_kept(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    broken_off(&depot, "PATCH", &location, &[("Upload-Offset", "0")], &ckm(1)[..123_456]).await;
    // HEAD would end a request that is still being read.
    eventually("what came is saved", || async {
        let upload = admin.get(&location).await.expecting(200).json();
        (upload["received"] == 123_456).then_some(())
    })
    .await;
    assert_eq!(offset(&admin, &location).await, 123_456);
    // But for bytes whose checksum could not be proven.
    let sum = sha1_of(&ckm(1)[123_456..]);
    let headers = [("Upload-Offset", "123456"), ("Upload-Checksum", sum.as_str())];
    let rest = &ckm(1)[123_456..200_000];
    broken_off(&depot, "PATCH", &location, &headers, rest).await;
    assert_eq!(offset(&admin, &location).await, 123_456);
    append(&admin, &location, "123456", &ckm(1)[123_456..]).await.expecting(204);
    is_there(&admin, &ckm(1)).await;
}

async fn a_creation_that_breaks_off_before_it_is_answered_leaves_nothing(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let target = target();
    let headers = [("Upload-Length", "300000"), ("Upload-Metadata", target.as_str())];
    broken_off(&depot, "POST", "/api/v1/uploads", &headers, &ckm(1)[..100_000]).await;
    eventually("the broken upload is ended", || async {
        let audit = admin.get("/api/v1/audit").await.expecting(200).items();
        audit.iter().any(|row| row["action"] == "upload.cancel").then_some(())
    })
    .await;
    nothing_is_left(&depot).await;
}

async fn the_offset_after_a_broken_line_is_known_within_a_second(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    // A line that is dead and does not say so: the server still waits for the rest.
    let login = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", login.as_str()),
        ("Tus-Resumable", "1.0.0"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Content-Length", "300000"),
        ("Upload-Offset", "0"),
    ];
    let mut dead = Connection::open(depot.server.port()).await;
    dead.write(head("PATCH", &location, &headers).as_bytes()).await;
    dead.write(&ckm(1)[..200_000]).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let asked = std::time::Instant::now();
    let told = offset(&admin, &location).await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(told > 0 && told <= 200_000, "{told}");
    let rest = &ckm(1)[usize::try_from(told).expect("a small number")..];
    append(&admin, &location, &told.to_string(), rest).await.expecting(204);
    is_there(&admin, &ckm(1)).await;
}

async fn a_chunked_body_is_appended_too(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let login = basic(&admin.name_and_password());
    let patch = async |offset: &str, body: &str| {
        let headers = [
            ("Authorization", login.as_str()),
            ("Tus-Resumable", "1.0.0"),
            ("Content-Type", "application/offset+octet-stream"),
            ("Transfer-Encoding", "chunked"),
            ("Upload-Offset", offset),
        ];
        raw::request(depot.server.port(), "PATCH", &location, &headers, body.as_bytes()).await
    };
    assert_eq!(patch("0", "5\r\n01234\r\n0\r\n\r\n").await.status, 204);
    // Too much is told when it comes; what the file can hold is no part of it.
    assert_eq!(patch("5", "a\r\n0123456789\r\n0\r\n\r\n").await.status, 413);
    assert_eq!(offset(&admin, &location).await, 5);
    assert_eq!(patch("5", "5\r\n56789\r\n0\r\n\r\n").await.status, 204);
    is_there(&admin, b"0123456789").await;
}
