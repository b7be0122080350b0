//! Requests of tus that are wrong: each is told how, and nothing is left behind.

use reqwest::Method;

use crate::harness::actions::ckm;
use crate::harness::raw::{Connection, basic, head};
use crate::harness::{Database, on_both_databases, sample};
use crate::tus::{append, begin, creation, is_there, metadata, offset, refused, sha1_of, target};
use crate::uploads::{depot_with_a_draft, nothing_is_left};

on_both_databases![
    another_version_is_refused_before_anything_is_done,
    an_upload_says_its_length_or_that_it_comes_later,
    the_target_stands_in_the_metadata,
    what_metadata_cannot_be_is_refused,
    bytes_begin_where_the_upload_ends,
    bytes_go_no_further_than_the_length,
    bytes_have_their_media_type,
    a_checksum_that_is_none_is_refused,
    numbers_that_are_none_are_refused,
    fields_that_come_twice_are_refused,
    a_complete_upload_takes_nothing_more,
];

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

async fn an_upload_says_its_length_or_that_it_comes_later(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    refused(&creation(&admin).await, 411);
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
