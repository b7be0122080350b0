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
    another_version_is_refused_before_anything_is_done,
    every_answer_names_the_version,
    an_upload_says_its_length_at_the_start,
    the_target_stands_in_the_metadata,
    what_metadata_cannot_be_is_refused,
    bytes_begin_where_the_upload_ends,
    bytes_go_no_further_than_the_length,
    bytes_have_their_media_type,
    a_checksum_is_proven_before_the_bytes_count,
    a_checksum_that_is_none_is_refused,
    the_digest_in_the_metadata_is_checked_at_the_end,
    an_upload_says_when_it_expires,
    a_terminated_upload_is_gone,
    a_post_may_stand_for_other_methods,
    numbers_that_are_none_are_refused,
    fields_that_come_twice_are_refused,
    what_came_before_the_line_broke_is_kept,
    a_broken_creation_can_be_found_and_ended,
    the_offset_after_a_broken_line_is_known_within_a_second,
    a_chunked_body_is_appended_too,
    a_complete_upload_takes_nothing_more,
];

/// `Upload-Metadata` of keys with plain values.
fn metadata(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{key} {}", STANDARD.encode(value)).expect("write to a string");
    }
    text
}

fn target() -> String {
    let name = ("filename", "Büro.ckm");
    metadata(&[("image", "win7-office"), ("revision", "1"), ("role", "ckm"), name])
}

fn creation(person: &Person) -> Call {
    let call = person.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
    call.header("Upload-Metadata", &target())
}

async fn begin(person: &Person, length: usize) -> String {
    let begun = creation(person).header("Upload-Length", &length.to_string()).await.expecting(201);
    assert_eq!(begun.required_header("tus-resumable"), "1.0.0");
    begun.required_header("location").to_owned()
}

fn tus_head(person: &Person, path: &str) -> Call {
    person.call(&Method::HEAD, path).header("Tus-Resumable", "1.0.0")
}

fn append(person: &Person, path: &str, offset: &str, bytes: &[u8]) -> Call {
    person
        .patch(path)
        .header("Tus-Resumable", "1.0.0")
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", offset)
        .body(bytes.to_vec())
}

async fn offset(person: &Person, path: &str) -> u64 {
    let told = tus_head(person, path).await.expecting(200);
    told.required_header("upload-offset").parse().expect("a number")
}

async fn is_there(person: &Person, bytes: &[u8]) {
    let file = person.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == bytes, "other bytes than were sent");
}

/// A refusal in the form of the house that names the version all the same.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
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

async fn another_version_is_refused_before_anything_is_done(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    for version in ["0.2.2", "1.0.1", "2", "1.0.0, 0.2.2", "", "nonsense"] {
        for (method, path) in [
            (Method::POST, "/api/v1/uploads"),
            (Method::PATCH, &location),
            (Method::HEAD, &location),
            (Method::DELETE, &location),
        ] {
            let call = admin.call(&method, path).header("Tus-Resumable", version);
            let call = call.header("Content-Type", "application/offset+octet-stream");
            let call = call.header("Upload-Offset", "0").header("Upload-Length", "10");
            let answer = call.header("Upload-Metadata", &target()).await.expecting(412);
            assert_eq!(answer.required_header("tus-version"), "1.0.0");
            assert_eq!(answer.required_header("tus-resumable"), "1.0.0");
        }
    }
    assert_eq!(offset(&admin, &location).await, 0);
    assert_eq!(depot.admin().get("/api/v1/uploads").await.expecting(200).items().len(), 1);
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

async fn an_upload_says_its_length_at_the_start(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    refused(&creation(&admin).await, 411);
    refused(&creation(&admin).header("Upload-Defer-Length", "1").await, 411);
    let partial = creation(&admin).header("Upload-Concat", "partial").header("Upload-Length", "5");
    refused(&partial.await, 400);
    let huge = creation(&admin).header("Upload-Length", "99999999999999999999999999");
    refused(&huge.await, 413);
    nothing_is_left(&depot).await;
}

async fn the_target_stands_in_the_metadata(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let begin = |pairs: &[(&str, &str)]| {
        admin
            .post("/api/v1/uploads")
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", "10")
            .header("Upload-Metadata", &metadata(pairs))
    };
    let (image, revision, role) = (("image", "win7-office"), ("revision", "1"), ("role", "ckm"));
    for (pairs, status) in [
        (&[revision, role][..], 422),
        (&[image, role], 422),
        (&[image, revision], 422),
        (&[], 422),
        (&[("image", "../x"), revision, role], 422),
        (&[("image", "no-such"), revision, role], 404),
        (&[image, ("revision", "2"), role], 404),
        (&[image, ("revision", "one"), role], 422),
        (&[image, ("revision", ""), role], 422),
        (&[image, ("revision", "99999999999999999999"), role], 422),
        (&[image, revision, ("role", "floppy")], 422),
        (&[image, revision, ("role", "image")], 422),
        (&[image, revision, role, ("digest", "md5:abc")], 422),
        (&[image, revision, role, ("digest", "")], 422),
    ] {
        refused(&begin(pairs).await, status);
    }
    let none = admin.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
    refused(&none.header("Upload-Length", "10").await, 422);
    nothing_is_left(&depot).await;
}

async fn what_metadata_cannot_be_is_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for text in ["image !!!", "image d2luNy1vZmZpY2U=,image d2luNy1vZmZpY2U=", "image YQ== YQ=="] {
        let call = admin.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
        let call = call.header("Upload-Length", "10").header("Upload-Metadata", text);
        refused(&call.await, 400);
    }
    // Bytes that are no text, as a value and as the header itself.
    let not_text = format!("{},image /w==", metadata(&[("revision", "1"), ("role", "ckm")]));
    let call = admin.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
    refused(&call.header("Upload-Length", "10").header("Upload-Metadata", &not_text).await, 422);
    let login = basic(&admin.name_and_password());
    let request = head("POST", "/api/v1/uploads", &[("Authorization", &login)]);
    let mut request = request.trim_end().as_bytes().to_vec();
    request.extend(b"\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 10\r\nContent-Length: 0\r\n");
    request.extend(b"Upload-Metadata: image \xff\xfe\r\n\r\n");
    let mut connection = Connection::open(depot.server.port()).await;
    connection.write(&request).await;
    let answer = connection.read_answer("POST").await.expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text());
    nothing_is_left(&depot).await;
}

async fn bytes_begin_where_the_upload_ends(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    append(&admin, &location, "0", &ckm(1)[..1000]).await.expecting(204);
    for wrong in ["0", "999", "1001", "300000", "99999999999999999999999"] {
        let answer = append(&admin, &location, wrong, b"x").await;
        assert_eq!(refused(&answer, 409), "offset_mismatch");
        assert_eq!(answer.required_header("upload-offset"), "1000");
    }
    let missing = admin.patch(&location).header("Tus-Resumable", "1.0.0");
    let missing = missing.header("Content-Type", "application/offset+octet-stream");
    refused(&missing.body("x").await, 400);
    assert_eq!(offset(&admin, &location).await, 1000);
    append(&admin, &location, "1000", &ckm(1)[1000..]).await.expecting(204);
    is_there(&admin, &ckm(1)).await;
}

async fn bytes_go_no_further_than_the_length(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let too_long = creation(&admin).header("Content-Type", "application/offset+octet-stream");
    let too_long = too_long.header("Upload-Length", "9").body("ten bytes!");
    refused(&too_long.await, 413);
    nothing_is_left(&depot).await;
    let location = begin(&admin, 300_000).await;
    refused(&append(&admin, &location, "0", &sample::bytes(1, 300_001)).await, 413);
    let other = append(&admin, &location, "0", &ckm(1)).header("Upload-Length", "300001").await;
    refused(&other, 400);
    assert_eq!(offset(&admin, &location).await, 0);
    let same = append(&admin, &location, "0", &ckm(1)).header("Upload-Length", "300000").await;
    same.expecting(204);
    is_there(&admin, &ckm(1)).await;
}

async fn bytes_have_their_media_type(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let created_with = |media_type: &str| {
        let call = creation(&admin).header("Content-Type", media_type);
        call.header("Upload-Length", "10").body("0123456789")
    };
    let wrong = ["application/octet-stream", "text/plain", "multipart/form-data; boundary=x", "x"];
    for media_type in wrong {
        refused(&created_with(media_type).await, 415);
    }
    nothing_is_left(&depot).await;
    let location = begin(&admin, 10).await;
    for media_type in wrong {
        let call = admin.patch(&location).header("Tus-Resumable", "1.0.0");
        let call = call.header("Content-Type", media_type).header("Upload-Offset", "0");
        refused(&call.body("0123456789").await, 415);
    }
    let none = admin.patch(&location).header("Tus-Resumable", "1.0.0").header("Upload-Offset", "0");
    refused(&none.body("0123456789").await, 415);
    assert_eq!(offset(&admin, &location).await, 0);
    let call = admin.patch(&location).header("Tus-Resumable", "1.0.0").header("Upload-Offset", "0");
    let call = call.header("Content-Type", "Application/Offset+Octet-Stream; x=y");
    call.body("0123456789").await.expecting(204);
    is_there(&admin, b"0123456789").await;
}

fn sha1_of(bytes: &[u8]) -> String {
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

async fn a_checksum_that_is_none_is_refused(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let right = sha1_of(b"0123456789");
    let truncated = &right[..right.len() - 4];
    for wrong in
        ["sha1", "sha1 AAAA", "sha1 !!!", truncated, "md5 AAAA", "SHA1 AAAA", "", "crc32 AA=="]
    {
        let call = append(&admin, &location, "0", b"0123456789");
        refused(&call.header("Upload-Checksum", wrong).await, 400);
        assert_eq!(offset(&admin, &location).await, 0, "{wrong}");
    }
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
    let in_two_weeks = std::time::SystemTime::now() + std::time::Duration::from_hours(14 * 24);
    for answer in [begun, part, told] {
        let text = answer.required_header("upload-expires");
        let at = httpdate::parse_http_date(text).expect("a date as HTTP writes it");
        let off = in_two_weeks.duration_since(at).unwrap_or_default();
        assert!(off < std::time::Duration::from_mins(2), "{text}");
        assert!(at <= in_two_weeks, "{text}");
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

async fn numbers_that_are_none_are_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let wrong = ["-1", "+1", "1.5", "1e3", "0x10", "ten", "", "1 2", "1,2", "٣"];
    for number in wrong {
        let answer = creation(&admin).header("Upload-Length", number).await;
        assert_eq!(refused(&answer, 400), "malformed_upload_header", "{number}");
    }
    nothing_is_left(&depot).await;
    let location = begin(&admin, 300_000).await;
    for number in wrong {
        refused(&append(&admin, &location, number, b"x").await, 400);
        let length = append(&admin, &location, "0", b"x").header("Upload-Length", number).await;
        refused(&length, 400);
    }
    assert_eq!(offset(&admin, &location).await, 0);
}

async fn fields_that_come_twice_are_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for (name, value) in [("Upload-Length", "10"), ("Upload-Metadata", target().as_str())] {
        let call = creation(&admin).header("Upload-Length", "10");
        refused(&call.header(name, value).await, 400);
    }
    let call = creation(&admin).header("Upload-Length", "10").header("Tus-Resumable", "0.2.2");
    call.await.problem(412);
    nothing_is_left(&depot).await;
    let location = begin(&admin, 10).await;
    let call = append(&admin, &location, "0", b"0123456789").header("Upload-Offset", "0");
    refused(&call.await, 400);
    let sum = sha1_of(b"0123456789");
    let call = append(&admin, &location, "0", b"0123456789").header("Upload-Checksum", &sum);
    refused(&call.header("Upload-Checksum", &sum).await, 400);
    assert_eq!(offset(&admin, &location).await, 0);
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

async fn a_broken_creation_can_be_found_and_ended(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let target = target();
    let headers = [("Upload-Length", "300000"), ("Upload-Metadata", target.as_str())];
    broken_off(&depot, "POST", "/api/v1/uploads", &headers, &ckm(1)[..100_000]).await;
    let id = eventually("the broken upload is listed", || async {
        let items = admin.get("/api/v1/uploads").await.expecting(200).items();
        let upload = items.first().filter(|upload| upload["received"] == 100_000)?;
        upload["id"].as_str().map(str::to_owned)
    })
    .await;
    admin.delete(&format!("/api/v1/uploads/{id}")).await.expecting(204);
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
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let asked = std::time::Instant::now();
    assert_eq!(offset(&admin, &location).await, 200_000);
    assert!(asked.elapsed() < std::time::Duration::from_secs(1), "{:?}", asked.elapsed());
    append(&admin, &location, "200000", &ckm(1)[200_000..]).await.expecting(204);
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

async fn a_complete_upload_takes_nothing_more(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    append(&admin, &location, "0", b"0123456789").await.expecting(204);
    for (offset, bytes) in [("0", &b"x"[..]), ("0", b"0123456789"), ("10", b"x")] {
        let answer = append(&admin, &location, offset, bytes).await;
        assert!(answer.status >= 400 && answer.status < 500, "{}", answer.text());
    }
    assert_eq!(offset(&admin, &location).await, 10);
    is_there(&admin, b"0123456789").await;
}
