//! Resumable Uploads for HTTP, the IETF's draft: each rule of it and each way to break it.

use reqwest::Method;
use serde_json::json;

use crate::harness::actions::{ckm, file_path};
use crate::harness::person::Call;
use crate::harness::raw::{self, basic};
use crate::harness::{Answer, Database, Depot, Person, on_both_databases, sample};
use crate::uploads::{depot_with_a_draft, nothing_is_left, open_append};

on_both_databases![
    a_file_arrives_in_pieces,
    a_put_with_the_whole_file_is_a_put,
    a_put_may_begin_what_patches_end,
    a_post_with_the_whole_file_answers_as_the_put_would,
    an_empty_file_is_complete_when_it_is_said_to_be,
    digests_are_checked,
    the_lost_last_answer_is_given_again,
    a_sealed_draft_ends_the_upload_for_good,
    limits_are_announced,
    no_interim_answer_is_sent,
    what_came_before_a_newer_request_is_kept,
    the_older_request_is_told_that_it_lost,
];

pub const TARGET: &str = "/api/v1/uploads?image=win7-office&revision=1&role=ckm";
pub const TYPES: &str = "https://iana.org/assignments/http-problem-types";

pub async fn begin(person: &Person, length: usize) -> String {
    let call = person.post(TARGET).header("Upload-Complete", "?0");
    let begun = call.header("Upload-Length", &length.to_string()).await.expecting(201);
    assert_eq!(begun.required_header("upload-complete"), "?0");
    assert_eq!(begun.required_header("upload-offset"), "0");
    begun.required_header("location").to_owned()
}

pub fn append(person: &Person, path: &str, offset: &str, complete: &str, bytes: &[u8]) -> Call {
    person
        .patch(path)
        .header("Content-Type", "application/partial-upload")
        .header("Upload-Offset", offset)
        .header("Upload-Complete", complete)
        .body(bytes.to_vec())
}

pub async fn state(person: &Person, path: &str) -> (String, String) {
    let told = person.call(&Method::HEAD, path).await.expecting(204);
    let field = |name| told.required_header(name).to_owned();
    (field("upload-offset"), field("upload-complete"))
}

/// A refusal in the form of the house that says whether the upload has ended with it.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, complete: &str) -> String {
    assert_eq!(answer.header("upload-complete"), Some(complete), "{}", answer.question);
    answer.problem(status)
}

pub async fn is_there(person: &Person, bytes: &[u8]) {
    let file = person.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == bytes, "other bytes than were sent");
}

/// Asserts that the answer is the one of a plain PUT of the file, and that the upload has ended.
#[track_caller]
pub fn is_answer_of_the_put(answer: &Answer, status: u16, bytes: &[u8]) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let file = json!({"role": "ckm", "size": bytes.len(), "digest": sample::digest(bytes)});
    assert_eq!(answer.json(), file);
    assert_eq!(answer.required_header("upload-complete"), "?1");
    assert_eq!(answer.required_header("upload-offset"), bytes.len().to_string());
    assert_eq!(answer.required_header("repr-digest"), sample::digest_field(bytes));
    assert!(answer.required_header("location").contains("/api/v1/uploads/"));
    assert!(answer.header("etag").is_some());
}

async fn a_file_arrives_in_pieces(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let bytes = ckm(1);
    for (start, end) in [(0, 100_000), (100_000, 100_000), (100_000, 100_001)] {
        let answer = append(&admin, &location, &start.to_string(), "?0", &bytes[start..end]).await;
        let answer = answer.expecting(204);
        assert_eq!(answer.required_header("upload-complete"), "?0");
        assert_eq!(answer.required_header("upload-offset"), end.to_string());
        let told = admin.call(&Method::HEAD, &location).await.expecting(204);
        assert_eq!(told.required_header("upload-offset"), end.to_string());
        assert_eq!(told.required_header("upload-complete"), "?0");
        assert_eq!(told.required_header("upload-length"), "300000");
        assert_eq!(told.required_header("cache-control"), "no-store");
    }
    let last = append(&admin, &location, "100001", "?1", &bytes[100_001..]).await;
    is_answer_of_the_put(&last, 201, &bytes);
    assert_eq!(state(&admin, &location).await, ("300000".to_owned(), "?1".to_owned()));
    is_there(&admin, &bytes).await;
    depot.comes_to_store(1).await;
}

async fn a_put_with_the_whole_file_is_a_put(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let path = file_path("win7-office", 1, "ckm");
    let put = |bytes: Vec<u8>| admin.put(&path).header("Upload-Complete", "?1").body(bytes);
    is_answer_of_the_put(&put(ckm(1)).await, 201, &ckm(1));
    let replaced = put(ckm(2)).header("Upload-Length", "300000").await;
    is_answer_of_the_put(&replaced, 200, &ckm(2));
    is_there(&admin, &ckm(2)).await;
    depot.comes_to_store(1).await;
    // The condition of a PUT holds here, too.
    let only_new = put(ckm(3)).header("If-None-Match", "*").await;
    refused(&only_new, 412, "?0");
    let tag = replaced.required_header("etag");
    put(ckm(3)).header("If-Match", tag).await.expecting(200);
}

async fn a_put_may_begin_what_patches_end(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let bytes = ckm(1);
    let path = file_path("win7-office", 1, "ckm");
    let put = |sent: usize| {
        let call = admin.put(&path).header("Upload-Complete", "?0");
        call.header("Upload-Length", "300000").body(bytes[..sent].to_vec())
    };
    for sent in [0, 120_000] {
        let begun = put(sent).await.expecting(201);
        assert_eq!(begun.required_header("upload-complete"), "?0");
        assert_eq!(begun.required_header("upload-offset"), sent.to_string());
        assert!(begun.required_header("upload-limit").contains("max-age="));
        let location = begun.required_header("location").to_owned();
        let last = append(&admin, &location, &sent.to_string(), "?1", &bytes[sent..]).await;
        is_answer_of_the_put(&last, if sent == 0 { 201 } else { 200 }, &bytes);
    }
    // Everything has come, and the client has not yet said so.
    let begun = put(300_000).await.expecting(201);
    let location = begun.required_header("location").to_owned();
    assert_eq!(state(&admin, &location).await, ("300000".to_owned(), "?0".to_owned()));
    let last = append(&admin, &location, "300000", "?1", b"").await;
    is_answer_of_the_put(&last, 200, &bytes);
}

async fn a_post_with_the_whole_file_answers_as_the_put_would(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let post = |bytes: Vec<u8>| admin.post(TARGET).header("Upload-Complete", "?1").body(bytes);
    is_answer_of_the_put(&post(ckm(1)).await, 201, &ckm(1));
    is_answer_of_the_put(&post(ckm(2)).await, 200, &ckm(2));
    is_there(&admin, &ckm(2)).await;
}

async fn an_empty_file_is_complete_when_it_is_said_to_be(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let at_once = admin.post(TARGET).header("Upload-Complete", "?1").body("").await;
    is_answer_of_the_put(&at_once, 201, b"");
    let location = begin(&admin, 0).await;
    assert_eq!(state(&admin, &location).await, ("0".to_owned(), "?0".to_owned()));
    is_answer_of_the_put(&append(&admin, &location, "0", "?1", b"").await, 200, b"");
}

async fn digests_are_checked(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let bytes = ckm(1);
    let (right, wrong) = (sample::digest_field(&bytes), sample::digest_field(b"other"));
    // Of the whole file, when it has come.
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").header("Repr-Digest", &wrong);
    let begun = begun.header("Upload-Length", "300000").await.expecting(201);
    let answer = append(&admin, begun.required_header("location"), "0", "?1", &bytes).await;
    assert_eq!(refused(&answer, 422, "?1"), "digest_mismatch");
    for field in ["Repr-Digest", "Content-Digest"] {
        let call = admin.post(TARGET).header("Upload-Complete", "?1").header(field, &wrong);
        refused(&call.body(bytes.clone()).await, 422, "?1");
    }
    let call = admin.post(TARGET).header("Upload-Complete", "?1").header("Repr-Digest", "x");
    refused(&call.body(bytes.clone()).await, 400, "?0");
    // Of one request: only its bytes are forgotten, and nothing of a request that began the upload.
    let call = admin.post(TARGET).header("Upload-Complete", "?0").header("Content-Digest", &wrong);
    let call = call.header("Upload-Length", "300000").body(bytes[..1000].to_vec());
    refused(&call.await, 422, "?0");
    nothing_is_left(&depot).await;
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").header("Repr-Digest", &right);
    let begun = begun.header("Upload-Length", "300000").await.expecting(201);
    let location = begun.required_header("location").to_owned();
    let part = |digest: &str| {
        let call = append(&admin, &location, "0", "?0", &bytes[..1000]);
        call.header("Content-Digest", digest)
    };
    assert_eq!(refused(&part(&wrong).await, 422, "?0"), "checksum_mismatch");
    assert_eq!(state(&admin, &location).await.0, "0");
    part(&sample::digest_field(&bytes[..1000])).await.expecting(204);
    let last = append(&admin, &location, "1000", "?1", &bytes[1000..]).await;
    is_answer_of_the_put(&last, 201, &bytes);
}

async fn the_lost_last_answer_is_given_again(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let first = append(&admin, &location, "0", "?1", b"0123456789").await;
    is_answer_of_the_put(&first, 201, b"0123456789");
    let again = append(&admin, &location, "10", "?1", b"").await;
    assert_eq!(again.json(), first.json());
    assert_eq!(again.required_header("upload-complete"), "?1");
}

async fn a_sealed_draft_ends_the_upload_for_good(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    append(&admin, &location, "0", "?0", b"0123456789").await.expecting(204);
    admin.put_file("win7-office", 1, "ckm", b"another").await.expecting(201);
    admin.put_file("win7-office", 1, "index", b"index").await.expecting(201);
    admin.seal("win7-office", 1).await.expecting(200);
    let late = append(&admin, &location, "10", "?1", b"").await;
    assert_eq!(late.problem(404), "upload_not_found");
    let again = admin.post(TARGET).header("Upload-Complete", "?0").header("Upload-Length", "10");
    assert_eq!(again.await.problem(409), "revision_sealed");
    is_there(&admin, b"another").await;
}

async fn limits_are_announced(database: Database) {
    let depot = Depot::on(database).setting("uploads", "max_size", "1000").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").header("Upload-Length", "1000");
    let begun = begun.await.expecting(201);
    let told = admin.call(&Method::HEAD, begun.required_header("location")).await.expecting(204);
    for answer in [&begun, &told] {
        let limit = answer.required_header("upload-limit");
        let (sizes, age) = limit.split_once(", max-age=").expect("a max-age");
        assert_eq!(sizes, "max-size=1000, min-size=0");
        let age: u64 = age.parse().expect("seconds");
        // Until the first byte; from then on 14 days after each.
        assert!((3600 - 120..=3600).contains(&age), "{age}");
    }
    let too_large =
        admin.post(TARGET).header("Upload-Complete", "?0").header("Upload-Length", "1001");
    let refusal = too_large.await;
    assert_eq!(refused(&refusal, 413, "?0"), "file_too_large");
    assert!(refusal.required_header("upload-limit").starts_with("max-size=1000"));
}

async fn no_interim_answer_is_sent(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let login = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", login.as_str()),
        ("Upload-Complete", "?1"),
        ("Upload-Draft-Interop-Version", "9"),
        ("Content-Length", "3"),
        ("Connection", "close"),
    ];
    let path = file_path("win7-office", 1, "ckm");
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", depot.server.port()))
        .await
        .expect("connect to the server");
    let request = raw::head("PUT", &path, &headers) + "abc";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

async fn what_came_before_a_newer_request_is_kept(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let mut older = open_append(&depot, &admin, &location, 300_000).await;
    older.write(&ckm(1)[..100_000]).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let (told, complete) = state(&admin, &location).await;
    let from: usize = told.parse().expect("a number");
    assert!(from > 0 && from <= 100_000 && complete == "?0", "{told} {complete}");
    // It was asked to stop: what it still sends is not taken.
    older.write(&ckm(1)[100_000..]).await;
    let last = append(&admin, &location, &told, "?1", &ckm(1)[from..]).await;
    is_answer_of_the_put(&last, 201, &ckm(1));
    is_there(&admin, &ckm(1)).await;
}

async fn the_older_request_is_told_that_it_lost(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let mut older = open_append(&depot, &admin, &location, 300_000).await;
    older.write(&ckm(1)[..100_000]).await;
    // Until it has begun nothing can end it.
    let asking = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            admin.call(&Method::HEAD, &location).await.expecting(204);
        }
    };
    let told = tokio::select! {
        told = older.read_answer("PATCH") => told.expect("an answer"),
        () = asking => unreachable!("asked for ever"),
    };
    assert_eq!(refused(&told, 409, "?0"), "upload_taken_over");
}
