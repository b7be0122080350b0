//! Requests of the IETF's resumable uploads that are wrong: each is told how, and nothing is left behind.

use reqwest::Method;

use crate::harness::actions::{ckm, file_path};
use crate::harness::raw::{self, basic};
use crate::harness::{Answer, Database, on_both_databases};
use crate::resumable::{
    TARGET, TYPES, append, begin, is_answer_of_the_put, is_there, refused, state,
};
use crate::uploads::{depot_with_a_draft, nothing_is_left};

on_both_databases![
    chunks_have_the_length_that_was_said_beside,
    lengths_that_contradict_each_other_are_refused,
    bytes_begin_where_the_upload_ends,
    a_field_of_another_type_is_ignored,
    bytes_have_their_media_type,
    a_complete_upload_takes_nothing_more,
    the_target_is_named_in_the_query,
];

#[track_caller]
fn is_inconsistent(answer: &Answer) {
    assert_eq!(refused(answer, 400, "?0"), "inconsistent_upload_length");
    assert_eq!(answer.json()["type"], format!("{TYPES}#inconsistent-upload-length"));
}

async fn chunks_have_the_length_that_was_said_beside(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let path = file_path("win7-office", 1, "ckm");
    let login = basic(&admin.name_and_password());
    let chunked = async |more: &[(&str, &str)], body: &str| {
        let mut headers = vec![
            ("Authorization", login.as_str()),
            ("Transfer-Encoding", "chunked"),
            ("Upload-Complete", "?1"),
        ];
        headers.extend_from_slice(more);
        raw::request(depot.server.port(), "PUT", &path, &headers, body.as_bytes()).await
    };
    let said = [("Upload-Length", "3")];
    is_answer_of_the_put(&chunked(&said, "3\r\nabc\r\n0\r\n\r\n").await, 201, b"abc");
    is_inconsistent(&chunked(&said, "2\r\nab\r\n0\r\n\r\n").await);
    is_inconsistent(&chunked(&said, "4\r\nabcd\r\n0\r\n\r\n").await);
    is_there(&admin, b"abc").await;
}

async fn lengths_that_contradict_each_other_are_refused(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for (complete, length) in [("?1", "5"), ("?1", "11"), ("?0", "9")] {
        let call = admin.post(TARGET).header("Upload-Complete", complete);
        is_inconsistent(&call.header("Upload-Length", length).body("0123456789").await);
    }
    nothing_is_left(&depot).await;
    let location = begin(&admin, 10).await;
    append(&admin, &location, "0", "?0", b"01234").await.expecting(204);
    for (complete, length, bytes) in [
        ("?1", None, &b"5678"[..]),
        ("?1", None, b""),
        ("?1", None, b"567890"),
        ("?0", None, b"567890"),
        ("?0", Some("11"), b"56"),
        ("?1", Some("9"), b"5678"),
    ] {
        let mut call = append(&admin, &location, "5", complete, bytes);
        if let Some(length) = length {
            call = call.header("Upload-Length", length);
        }
        is_inconsistent(&call.await);
        assert_eq!(state(&admin, &location).await, ("5".to_owned(), "?0".to_owned()));
    }
    let last = append(&admin, &location, "5", "?1", b"56789").header("Upload-Length", "10").await;
    is_answer_of_the_put(&last, 201, b"0123456789");
}

async fn bytes_begin_where_the_upload_ends(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    append(&admin, &location, "0", "?0", &ckm(1)[..1000]).await.expecting(204);
    for (offset, complete, bytes) in [
        (0, "?0", 1),
        (999, "?0", 1),
        (1001, "?0", 0),
        (2000, "?1", 299_000),
        (300_000, "?1", 0),
        (999_999_999_999_999_u64, "?0", 1),
    ] {
        let call = append(&admin, &location, &offset.to_string(), complete, &ckm(1)[..bytes]);
        let answer = call.await;
        refused(&answer, 409, "?0");
        assert_eq!(answer.required_header("upload-offset"), "1000");
        let problem = answer.json();
        assert_eq!(problem["type"], format!("{TYPES}#mismatching-upload-offset"));
        assert_eq!(problem["expected-offset"], 1000);
        assert_eq!(problem["provided-offset"], offset);
    }
    assert_eq!(state(&admin, &location).await, ("1000".to_owned(), "?0".to_owned()));
}

async fn a_field_of_another_type_is_ignored(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for length in ["-1", "1.0", "\"10\"", "ten", "1e3", "9999999999999999", "10, 10", ""] {
        let call = admin.post(TARGET).header("Upload-Complete", "?0");
        let begun = call.header("Upload-Length", length).await.expecting(201);
        let location = begun.required_header("location");
        let told = admin.call(&Method::HEAD, location).await.expecting(204);
        assert_eq!(told.header("upload-length"), None, "{length}");
        admin.delete(location).await.expecting(204);
    }
    for complete in ["1", "true", "?2", "?", "", "?0, ?1", "\"?0\""] {
        // Without the field this is the JSON form.
        let call = admin.post(TARGET).header("Upload-Complete", complete);
        call.header("Upload-Length", "10").body("0123456789").await.problem(415);
    }
    let twice = admin.post(TARGET).header("Upload-Complete", "?0").header("Upload-Complete", "?0");
    twice.header("Upload-Length", "10").await.problem(415);
    nothing_is_left(&depot).await;
    let location = begin(&admin, 10).await;
    for offset in ["-1", "0.0", "zero", "", "0, 0", "1000000000000000", "\"0\""] {
        let answer = append(&admin, &location, offset, "?0", b"01234").await;
        assert_eq!(refused(&answer, 400, "?0"), "malformed_upload_header");
    }
    for complete in ["1", "true", "?2", "", "?0, ?0"] {
        refused(&append(&admin, &location, "0", complete, b"01234").await, 400, "?0");
    }
    let twice = append(&admin, &location, "0", "?0", b"01234").header("Upload-Offset", "0").await;
    refused(&twice, 400, "?0");
    // Parameters say nothing, and are no reason to ignore a field.
    let fine = append(&admin, &location, "0;a=b", "?0;c", b"01234").await;
    fine.expecting(204);
    assert_eq!(state(&admin, &location).await, ("5".to_owned(), "?0".to_owned()));
}

async fn bytes_have_their_media_type(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    let patch = |media_type: Option<&str>| {
        let call =
            admin.patch(&location).header("Upload-Complete", "?0").header("Upload-Offset", "0");
        media_type
            .into_iter()
            .fold(call.body("01234"), |call, media_type| call.header("Content-Type", media_type))
    };
    let wrong = ["application/offset+octet-stream", "text/plain", "x"];
    for media_type in wrong {
        assert_eq!(refused(&patch(Some(media_type)).await, 415, "?0"), "partial_upload_expected");
    }
    patch(Some("Application/Partial-Upload")).await.expecting(204);
    // What clients that are generated for Rust send.
    let untyped = admin.patch(&location).header("Upload-Complete", "?0");
    untyped.header("Upload-Offset", "5").body("56").await.expecting(204);
    for media_type in ["multipart/form-data; boundary=x", "image/png"] {
        let call = admin.post(TARGET).header("Upload-Complete", "?1");
        refused(&call.header("Content-Type", media_type).body("{}").await, 415, "?0");
    }
    let coded =
        admin.post(TARGET).header("Upload-Complete", "?1").header("Content-Encoding", "gzip");
    refused(&coded.body("x").await, 415, "?0");
}

async fn a_complete_upload_takes_nothing_more(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    append(&admin, &location, "0", "?1", b"0123456789").await.expecting(201);
    is_inconsistent(&append(&admin, &location, "10", "?0", b"x").await);
    is_inconsistent(&append(&admin, &location, "10", "?1", b"x").await);
    let nothing = append(&admin, &location, "10", "?0", b"").await;
    refused(&nothing, 409, "?0");
    assert_eq!(nothing.json()["type"], format!("{TYPES}#completed-upload"));
    let elsewhere = append(&admin, &location, "0", "?1", b"0123456789").await;
    refused(&elsewhere, 409, "?0");
    assert_eq!(elsewhere.required_header("upload-offset"), "10");
    is_there(&admin, b"0123456789").await;
}

async fn the_target_is_named_in_the_query(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    for (query, status) in [
        ("", 400),
        ("?image=win7-office&revision=1", 400),
        ("?image=win7-office&revision=one&role=ckm", 400),
        ("?image=win7-office&revision=1&role=floppy", 400),
        ("?image=..&revision=1&role=ckm", 400),
        ("?image=no-such&revision=1&role=ckm", 404),
        ("?image=win7-office&revision=2&role=ckm", 404),
        ("?image=win7-office&revision=1&role=image", 422),
    ] {
        let call = admin.post(&format!("/api/v1/uploads{query}")).header("Upload-Complete", "?0");
        refused(&call.header("Upload-Length", "10").await, status, "?0");
    }
    nothing_is_left(&depot).await;
}
