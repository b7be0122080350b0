//! Files whose length nobody knows before their end: what another program writes is sent as it comes, its room
//! reserved on the way.

use std::path::Path;
use std::process::Command;

use futures_util::stream;
use reqwest::Method;
use serde_json::Value;

use crate::generated_clients::installed;
use crate::harness::actions::file_path;
use crate::harness::broken_link::Fault;
use crate::harness::command::run;
use crate::harness::raw::{self, basic};
use crate::harness::small_disk::SmallDisk;
use crate::harness::{
    Answer, Database, Depot, Person, Store, eventually, on_both_databases, sample,
};
use crate::resumable::{TARGET, append, is_answer_of_the_put, is_there, refused, state};
use crate::tus::creation;
use crate::tus_clients::{arrived_whole, setting, with_tus_js_client};
use crate::uploads::{depot_with_a_draft, nothing_is_left};

on_both_databases![
    curl_sends_what_another_program_writes,
    python_s_requests_stream_a_file,
    rust_s_reqwest_streams_a_file,
    tus_js_client_tells_the_length_at_the_end_over_a_line_that_breaks,
    a_tus_upload_is_told_its_length_with_any_piece,
    the_ietf_s_draft_ends_where_it_is_said_to,
    limits_and_digests_hold_as_ever,
    limits_hold_while_bytes_come,
    what_is_refused_makes_no_file,
    a_repeat_after_a_lost_answer_hears_that_all_is_there,
    an_upload_goes_on_after_a_kill,
];

const PATH: &str = "/api/v1/images/win7-office/revisions/1/files/ckm";

async fn nothing_is_reserved(depot: &Depot) {
    let admin = depot.admin();
    eventually("nothing is reserved", async || {
        let status = admin.get("/api/v1/status").await.expecting(200).json();
        (status["storage"]["reserved"] == 0).then_some(())
    })
    .await;
}

fn piped(depot: &Depot, file: &Path) -> Command {
    let mut shell = Command::new("sh");
    let login = depot.admin().name_and_password();
    let url = format!("{}{PATH}", depot.server.url());
    shell.args(["-c", r#"cat "$1" | curl -sS -w '\n%{http_code}' -u "$2" -T - "$3""#, "sh"]);
    shell.arg(file).args([login, url]);
    shell
}

async fn curl_sends_what_another_program_writes(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let bytes = sample::bytes(3, 30_000_001);
    let file = depot.scratch().join("win7-office.ckm");
    std::fs::write(&file, &bytes).expect("a file");
    let said = run(piped(&depot, &file)).await.successful().stdout;
    assert!(said.ends_with("\n201"), "{said}");
    assert!(said.contains(&sample::digest(&bytes)), "{said}");
    is_there(&admin, &bytes).await;
    nothing_is_reserved(&depot).await;
    depot.comes_to_store(1).await;
}

#[tokio::test]
async fn curl_sends_into_a_bucket_what_another_program_writes() {
    let depot = Depot::on(Database::Sqlite).store(Store::S3).start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let file = depot.scratch().join("win7-office.ckm");
    // Of parts of 30 MiB, as a bucket's are where the length is unknown: two and a little.
    let bytes = sample::bytes(3, 70_000_001);
    std::fs::write(&file, &bytes).expect("a file");
    let said = run(piped(&depot, &file)).await.successful().stdout;
    assert!(said.ends_with("\n201"), "{said}");
    is_there(&admin, &bytes).await;
    // What ends with a tail is joined when its end is told.
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").body(bytes.clone()).await;
    let location = begun.expecting(201).required_header("location").to_owned();
    let end = append(&admin, &location, "70000001", "?1", b"").await;
    is_answer_of_the_put(&end, 200, &bytes);
    is_there(&admin, &bytes).await;
}

async fn python_s_requests_stream_a_file(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let bytes = sample::bytes(3, 1_000_003);
    let file = depot.scratch().join("win7-office.ckm");
    std::fs::write(&file, &bytes).expect("a file");
    let login = admin.name_and_password();
    let (name, password) = login.split_once(':').expect("both");
    let url = format!("{}{PATH}", depot.server.url());
    for (how, said, there) in [("generator", "201", &bytes[..]), ("empty", "200", &[])] {
        let mut send = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python"));
        send.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/stream_upload.py"));
        send.args([how, &url, name, password]).arg(&file);
        let told = run(send).await.successful().stdout;
        assert_eq!(told.trim(), format!("chunked {said}"), "{how}");
        is_there(&admin, there).await;
    }
}

async fn rust_s_reqwest_streams_a_file(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let bytes = sample::bytes(3, 3_000_003);
    let pieces: Vec<_> = bytes.chunks(100_000).map(<[u8]>::to_vec).collect();
    let body = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let put = admin.put(PATH).body(reqwest::Body::wrap_stream(body));
    put.await.expecting(201);
    is_there(&admin, &bytes).await;
}

async fn tus_js_client_tells_the_length_at_the_end_over_a_line_that_breaks(database: Database) {
    let fault = Fault::BreaksUploads { after: 3_000_000, times: 6 };
    let (depot, link, bytes) = setting(database, fault).await;
    let options = r#"{"uploadLengthDeferred": true, "uploadSize": null, "chunkSize": 4000000}"#;
    with_tus_js_client(&depot, &link, options).await;
    arrived_whole(&depot, &link, &bytes).await;
    nothing_is_reserved(&depot).await;
}

fn tus_append(
    person: &Person,
    path: &str,
    offset: usize,
    bytes: &[u8],
) -> crate::harness::person::Call {
    let call = person.patch(path).header("Tus-Resumable", "1.0.0");
    let call = call.header("Content-Type", "application/offset+octet-stream");
    call.header("Upload-Offset", &offset.to_string()).body(bytes.to_vec())
}

async fn tus_head(person: &Person, path: &str) -> Answer {
    person.call(&Method::HEAD, path).header("Tus-Resumable", "1.0.0").await.expecting(200)
}

async fn a_tus_upload_is_told_its_length_with_any_piece(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let begun = creation(&admin).header("Upload-Defer-Length", "1").await.expecting(201);
    let location = begun.required_header("location").to_owned();
    let told = tus_head(&admin, &location).await;
    assert_eq!(told.required_header("upload-defer-length"), "1");
    assert_eq!((told.header("upload-length"), told.required_header("upload-offset")), (None, "0"));
    assert!(told.required_header("upload-metadata").contains("filename "), "as it was sent");
    let shown = admin.get(&location).await.expecting(200).json();
    assert_eq!((&shown["size"], &shown["received"]), (&Value::Null, &0.into()));
    tus_append(&admin, &location, 0, b"01234").await.expecting(204);
    assert_eq!(tus_head(&admin, &location).await.required_header("upload-defer-length"), "1");
    // Shorter than what is there, and not at the offset: neither is the file's length.
    let short = tus_append(&admin, &location, 5, b"").header("Upload-Length", "4").await;
    assert_eq!(short.problem(413), "beyond_end");
    let elsewhere = tus_append(&admin, &location, 3, b"34").header("Upload-Length", "5").await;
    assert_eq!(elsewhere.problem(409), "offset_mismatch");
    assert_eq!(tus_head(&admin, &location).await.header("upload-length"), None);
    tus_append(&admin, &location, 5, b"567").header("Upload-Length", "10").await.expecting(204);
    let told = tus_head(&admin, &location).await;
    assert_eq!(told.required_header("upload-length"), "10");
    assert_eq!(told.header("upload-defer-length"), None);
    tus_append(&admin, &location, 8, b"8").header("Upload-Length", "11").await.problem(400);
    tus_append(&admin, &location, 8, b"89").await.expecting(204);
    is_there(&admin, b"0123456789").await;
    // The end may be told when all has come.
    let begun = creation(&admin).header("Upload-Defer-Length", "1");
    let begun = begun.header("Content-Type", "application/offset+octet-stream").body("abc").await;
    let location = begun.expecting(201).required_header("location").to_owned();
    tus_append(&admin, &location, 3, b"").header("Upload-Length", "3").await.expecting(204);
    is_there(&admin, b"abc").await;
    // What says nothing, or both, begins no upload.
    creation(&admin).await.problem(411);
    creation(&admin).header("Upload-Defer-Length", "2").await.problem(400);
    let both = creation(&admin).header("Upload-Defer-Length", "1").header("Upload-Length", "3");
    both.await.problem(400);
    depot.comes_to_store(1).await;
}

async fn the_ietf_s_draft_ends_where_it_is_said_to(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").body("0123").await;
    let begun = begun.expecting(201);
    assert_eq!(begun.required_header("upload-offset"), "4");
    let location = begun.required_header("location").to_owned();
    let told = admin.call(&Method::HEAD, &location).await.expecting(204);
    assert_eq!(told.header("upload-length"), None);
    append(&admin, &location, "4", "?0", b"45").await.expecting(204);
    // The request's own length against what it says of the file.
    let contradiction = append(&admin, &location, "6", "?1", b"67").header("Upload-Length", "9");
    assert_eq!(refused(&contradiction.await, 400, "?0"), "inconsistent_upload_length");
    assert_eq!(state(&admin, &location).await, ("6".to_owned(), "?0".to_owned()));
    is_answer_of_the_put(&append(&admin, &location, "6", "?1", b"67").await, 201, b"01234567");
    // In chunks: the end of the body is the end of the file, and a body that breaks off is not.
    let login = basic(&admin.name_and_password());
    let chunked = async |method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let mut headers = vec![
            ("Authorization", login.as_str()),
            ("Transfer-Encoding", "chunked"),
            ("Upload-Complete", "?1"),
        ];
        headers.extend_from_slice(more);
        raw::request(depot.server.port(), method, path, &headers, body.as_bytes()).await
    };
    let whole = chunked("PUT", PATH, &[], "3\r\nabc\r\n0\r\n\r\n").await;
    is_answer_of_the_put(&whole, 200, b"abc");
    let begun = admin.post(TARGET).header("Upload-Complete", "?0").body("ab").await;
    let location = begun.expecting(201).required_header("location").to_owned();
    let append = [("Content-Type", "application/partial-upload"), ("Upload-Offset", "2")];
    let last = chunked("PATCH", &location, &append, "2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n").await;
    is_answer_of_the_put(&last, 200, b"abcde");
    is_there(&admin, b"abcde").await;
    depot.comes_to_store(1).await;
}

async fn limits_and_digests_hold_as_ever(database: Database) {
    let depot = Depot::on(database).setting("uploads", "max_size", "3000000").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let chunked = |bytes: &[u8]| {
        let pieces: Vec<_> = bytes.chunks(100_000).map(<[u8]>::to_vec).collect();
        let body = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        admin.put(PATH).body(reqwest::Body::wrap_stream(body))
    };
    let too_large = sample::bytes(1, 3_000_001);
    assert_eq!(chunked(&too_large).await.problem(413), "file_too_large");
    nothing_is_left(&depot).await;
    let bytes = sample::bytes(1, 3_000_000);
    let wrong = chunked(&bytes).header("Repr-Digest", &sample::digest_field(b"other"));
    assert_eq!(wrong.await.problem(422), "digest_mismatch");
    nothing_is_left(&depot).await;
    let right = chunked(&bytes).header("Repr-Digest", &sample::digest_field(&bytes));
    right.await.expecting(201);
    is_there(&admin, &bytes).await;
    // A PUT that brings no body is not an empty file.
    let login = basic(&admin.name_and_password());
    let nothing = [("Authorization", login.as_str())];
    raw::request(depot.server.port(), "PUT", PATH, &nothing, b"").await.problem(411);
    nothing_is_reserved(&depot).await;
}

async fn limits_hold_while_bytes_come(database: Database) {
    let depot = Depot::on(database)
        .setting("uploads", "max_size", "3000000")
        .setting("uploads", "image_quota", "5000000")
        .start()
        .await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let deferred = async || {
        let begun = creation(&admin).header("Upload-Defer-Length", "1").await.expecting(201);
        begun.required_header("location").to_owned()
    };
    let location = deferred().await;
    let too_large = sample::bytes(1, 3_000_001);
    let refused = tus_append(&admin, &location, 0, &too_large).await;
    assert_eq!(refused.problem(413), "file_too_large");
    assert!(refused.text().contains("3000001 bytes"), "{}", refused.text());
    // Where only the end tells, as much as fits is kept, and the session may end there.
    let pieces: Vec<_> = too_large.chunks(100_000).map(<[u8]>::to_vec).collect();
    let body = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let chunked = tus_append(&admin, &location, 0, b"").body(reqwest::Body::wrap_stream(body));
    assert_eq!(chunked.await.problem(413), "file_too_large");
    let told = tus_head(&admin, &location).await;
    let offset: u64 = told.required_header("upload-offset").parse().expect("a number");
    assert!(offset <= 3_000_000, "{offset}");
    admin.delete(&location).header("Tus-Resumable", "1.0.0").await.expecting(204);
    // The quota to its last byte.
    let put = |role: &str, bytes: Vec<u8>| {
        let path = file_path("win7-office", 1, role);
        let body = stream::iter([Ok::<_, std::io::Error>(bytes)]);
        admin.put(&path).body(reqwest::Body::wrap_stream(body))
    };
    put("ckm", sample::bytes(1, 3_000_000)).await.expecting(201);
    let over = put("index", sample::bytes(1, 2_000_001)).await;
    assert_eq!(over.problem(413), "image_quota_exceeded");
    put("index", sample::bytes(1, 2_000_000)).await.expecting(201);
}

async fn what_is_refused_makes_no_file(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for length in [3, 1 << 20] {
        let begun = creation(&admin).header("Upload-Length", &length.to_string()).await;
        let location = begun.expecting(201).required_header("location").to_owned();
        let pieces = [sample::bytes(1, length), b"x".to_vec()].map(Ok::<_, std::io::Error>);
        let more = reqwest::Body::wrap_stream(stream::iter(pieces));
        let refused = tus_append(&admin, &location, 0, b"").body(more).await;
        assert_eq!(refused.problem(413), "beyond_end");
        // Nothing of it becomes a file by being asked about.
        assert_eq!(tus_head(&admin, &location).await.required_header("upload-offset"), "0");
        admin.delete(&location).header("Tus-Resumable", "1.0.0").await.expecting(204);
    }
    nothing_is_left(&depot).await;
}

async fn a_repeat_after_a_lost_answer_hears_that_all_is_there(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let begun = creation(&admin).header("Upload-Defer-Length", "1").await.expecting(201);
    let location = begun.required_header("location").to_owned();
    tus_append(&admin, &location, 0, b"abc").await.expecting(204);
    for _ in 0..2 {
        let told = tus_append(&admin, &location, 3, b"").header("Upload-Length", "3").await;
        assert_eq!(told.expecting(204).required_header("upload-offset"), "3");
    }
    // A digest that is not compared is not recommended.
    let begun = admin
        .post(TARGET)
        .header("Upload-Complete", "?1")
        .header("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww==");
    let refused = begun.body("hello world").await;
    assert_eq!(refused.required_header("want-repr-digest"), "sha-256=10");
    assert_eq!(refused.problem(400), "digest_not_compared");
}

#[tokio::test]
async fn what_has_no_room_on_the_disk_is_507_and_leaves_nothing() {
    let disk = SmallDisk::mounted(96);
    let depot = Depot::on(Database::Sqlite)
        .data_on(disk.path())
        .setting("store", "min_free", "8 MiB")
        .start()
        .await;
    let admin = depot.admin();
    admin.create_single_image("large", "img").await;
    let path = file_path("large", admin.draft("large").await, "image");
    let piece = sample::bytes(1, 1_000_000);
    let chunked = |count: usize| {
        let piece = piece.clone();
        let pieces = (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
        admin.put(&path).body(reqwest::Body::wrap_stream(stream::iter(pieces)))
    };
    assert_eq!(chunked(200).await.problem(507), "no_room");
    depot.comes_to_store(0).await;
    nothing_is_reserved(&depot).await;
    // Nearly all of what is free is given: the last steps are as small as they have to be.
    chunked(40).await.expecting(201);
}

async fn an_upload_goes_on_after_a_kill(database: Database) {
    let (mut depot, admin) = depot_with_a_draft(database).await;
    let bytes = sample::bytes(5, 5_000_000);
    let begun =
        admin.post(TARGET).header("Upload-Complete", "?0").body(bytes[..2_000_000].to_vec());
    let location = begun.await.expecting(201).required_header("location").to_owned();
    depot.server.kill();
    depot.server.start_again().await;
    let admin = depot.admin();
    assert_eq!(state(&admin, &location).await, ("2000000".to_owned(), "?0".to_owned()));
    let last = append(&admin, &location, "2000000", "?1", &bytes[2_000_000..]).await;
    is_answer_of_the_put(&last, 201, &bytes);
    is_there(&admin, &bytes).await;
}
