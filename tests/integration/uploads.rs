//! Uploads begun with JSON, continued by either protocol; who may see and do what.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path};
use crate::harness::raw::{Connection, basic, head};
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases, sample};

on_both_databases![
    an_upload_begun_with_json_is_filled_by_the_draft,
    an_upload_begun_with_json_is_filled_by_tus,
    either_protocol_goes_on_where_the_other_stopped,
    an_empty_file_is_there_at_once,
    a_new_upload_says_all_that_it_has_to,
    what_cannot_become_a_file_is_refused_at_the_start,
    the_digest_named_at_the_start_is_checked_at_the_end,
    the_condition_named_at_the_start_holds_until_the_end,
    bytes_can_be_appended_on_a_condition,
    bytes_with_a_content_coding_are_refused,
    the_writer_of_a_cancelled_upload_is_told_to_look,
    a_cancelled_upload_leaves_nothing,
    a_cancelled_upload_that_is_complete_leaves_its_file,
    looking_on_does_not_stop_the_writer,
    a_repeated_key_begins_one_upload,
    options_say_what_is_offered,
    other_methods_are_told_the_right_ones,
    links_are_absolute_where_the_server_knows_its_name,
];

/// `win7-office` with a draft.
pub async fn depot_with_a_draft(database: Database) -> (Depot, Person) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    (depot, admin)
}

/// `win7-office` with a draft of a publisher's.
pub async fn depot_with_a_publisher_s_draft(database: Database) -> (Depot, Person, Person) {
    let depot = Depot::start(database).await;
    let (admin, publisher) = (depot.admin(), depot.user_with_role("publisher").await);
    publisher.create_image("win7-office").await;
    publisher.draft("win7-office").await;
    (depot, admin, publisher)
}

/// The body that begins an upload of the draft's `ckm`.
pub fn new_upload(size: usize) -> Value {
    json!({"image": "win7-office", "revision": 1, "role": "ckm", "size": size})
}

pub async fn begin(person: &Person, size: usize) -> String {
    let begun = person.post("/api/v1/uploads").json(&new_upload(size)).await.expecting(201);
    begun.required_header("location").to_owned()
}

/// Appends as the IETF's draft has it.
pub async fn append(
    person: &Person,
    path: &str,
    offset: usize,
    bytes: &[u8],
    last: bool,
) -> Answer {
    person
        .patch(path)
        .header("Content-Type", "application/partial-upload")
        .header("Upload-Complete", if last { "?1" } else { "?0" })
        .header("Upload-Offset", &offset.to_string())
        .body(bytes.to_vec())
        .await
}

/// Nothing of an upload is to be found, in the folder or in the API.
pub async fn nothing_is_left(depot: &Depot) {
    assert_eq!(depot.admin().get("/api/v1/uploads").await.expecting(200).items(), [] as [Value; 0]);
    depot.comes_to_store(0).await;
    let revision = depot.admin().revision("win7-office", 1).await;
    assert_eq!((&revision["state"], &revision["files"]), (&json!("draft"), &json!([])));
}

async fn an_upload_begun_with_json_is_filled_by_the_draft(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let begun = admin.post("/api/v1/uploads").json(&new_upload(300_000)).await.expecting(201);
    let location = begun.required_header("location").to_owned();
    let told = begun.json();
    assert_eq!(location, format!("/api/v1/uploads/{}", told["id"].as_str().expect("an id")));
    for (field, value) in [
        ("image", json!("win7-office")),
        ("revision", json!(1)),
        ("role", json!("ckm")),
        ("size", json!(300_000)),
        ("received", json!(0)),
        ("state", json!("receiving")),
        ("protocol", json!("json")),
        ("digest", Value::Null),
        ("created_by", json!("admin")),
    ] {
        assert_eq!(told[field], value, "{field} in {told}");
    }
    append(&admin, &location, 0, &ckm(1)[..100_000], false).await.expecting(204);
    let shown = admin.get(&location).await.expecting(200);
    assert_eq!(shown.json()["received"], 100_000);
    let known = shown.required_header("etag");
    admin.get(&location).header("If-None-Match", known).await.expecting(304);
    append(&admin, &location, 100_000, &ckm(1)[100_000..], true).await.expecting(201);
    let shown = admin.get(&location).await.expecting(200).json();
    assert_eq!((&shown["state"], &shown["expires_at"]), (&json!("complete"), &Value::Null));
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == ckm(1), "other bytes than were sent");
}

async fn an_upload_begun_with_json_is_filled_by_tus(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    tus_append(&admin, &location, 0, &ckm(1)).await.expecting(204);
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == ckm(1), "other bytes than were sent");
}

pub async fn tus_append(person: &Person, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    person
        .patch(path)
        .header("Tus-Resumable", "1.0.0")
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", &offset.to_string())
        .body(bytes.to_vec())
        .await
}

async fn either_protocol_goes_on_where_the_other_stopped(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let bytes = ckm(1);
    append(&admin, &location, 0, &bytes[..50_000], false).await.expecting(204);
    tus_append(&admin, &location, 50_000, &bytes[50_000..150_000]).await.expecting(204);
    let told = admin.call(&Method::HEAD, &location).await.expecting(204);
    assert_eq!(told.required_header("upload-offset"), "150000");
    append(&admin, &location, 150_000, &bytes[150_000..299_999], false).await.expecting(204);
    tus_append(&admin, &location, 299_999, &bytes[299_999..]).await.expecting(204);
    let told = admin.call(&Method::HEAD, &location).await.expecting(204);
    assert_eq!(told.required_header("upload-complete"), "?1");
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == bytes, "other bytes than were sent");
}

async fn an_empty_file_is_there_at_once(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let begun = admin.post("/api/v1/uploads").json(&new_upload(0)).await.expecting(201);
    assert_eq!(begun.json()["state"], "complete");
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert_eq!(file.body.len(), 0);
}

async fn a_new_upload_says_all_that_it_has_to(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let refused = |body: Value, status: u16| {
        let call = admin.post("/api/v1/uploads").json(&body);
        async move { call.await.problem(status) }
    };
    for field in ["image", "revision", "role", "size"] {
        let mut body = new_upload(10);
        body.as_object_mut().expect("an object").remove(field);
        refused(body, 422).await;
    }
    for (field, value) in [
        ("image", json!("../etc")),
        ("revision", json!("one")),
        ("role", json!("floppy")),
        ("size", json!(-1)),
        ("size", json!(1.5)),
        ("size", json!("10")),
        ("digest", json!("md5:abc")),
        ("digest", json!("sha256:abc")),
        ("no_such_field", json!(1)),
    ] {
        let mut body = new_upload(10);
        body[field] = value;
        refused(body, 422).await;
    }
    let text = admin.post("/api/v1/uploads").header("Content-Type", "text/plain").body("x").await;
    text.problem(415);
    admin.post("/api/v1/uploads").await.problem(415);
    let broken = admin.post("/api/v1/uploads").header("Content-Type", "application/json");
    broken.body("{").await.problem(400);
    nothing_is_left(&depot).await;
}

async fn what_cannot_become_a_file_is_refused_at_the_start(database: Database) {
    let depot =
        Depot::on(database).setting("uploads", "max_size", "4000000000000000").start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    for (field, value, status) in [
        ("image", json!("no-such"), 404),
        ("revision", json!(2), 404),
        ("revision", json!(-1), 404),
        ("role", json!("image"), 422),
        ("size", json!(u64::MAX), 413),
        ("size", json!(4_000_000_000_000_001_u64), 413),
        ("size", json!(3_000_000_000_000_000_u64), 507),
    ] {
        let mut body = new_upload(10);
        body[field] = value;
        admin.post("/api/v1/uploads").json(&body).await.problem(status);
    }
    nothing_is_left(&depot).await;
    admin.ready_revision("win7-office", 1).await;
    let mut sealed = new_upload(10);
    sealed["revision"] = json!(2);
    let refused = admin.post("/api/v1/uploads").json(&sealed).await;
    assert_eq!(refused.problem(409), "revision_sealed");
    // Replacing is refused to one who says that there must be nothing yet.
    admin.put_file("win7-office", 1, "ckm", b"first").await.expecting(201);
    let only_new = admin.post("/api/v1/uploads").header("If-None-Match", "*");
    only_new.json(&new_upload(10)).await.problem(412);
}

async fn the_digest_named_at_the_start_is_checked_at_the_end(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let begin = |digest: String| {
        let mut body = new_upload(300_000);
        body["digest"] = json!(digest);
        let call = admin.post("/api/v1/uploads").json(&body);
        async move { call.await.expecting(201).required_header("location").to_owned() }
    };
    let wrong = begin(sample::digest(&ckm(2))).await;
    let refused = append(&admin, &wrong, 0, &ckm(1), true).await;
    assert_eq!(refused.problem(422), "digest_mismatch");
    admin.get(&wrong).await.problem(404);
    nothing_is_left(&depot).await;
    let right = begin(sample::digest(&ckm(1))).await;
    append(&admin, &right, 0, &ckm(1), true).await.expecting(201);
}

async fn the_condition_named_at_the_start_holds_until_the_end(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let first = admin.put_file("win7-office", 1, "ckm", b"first").await.expecting(201);
    let tag = first.required_header("etag").to_owned();
    let begun = admin.post("/api/v1/uploads").header("If-Match", &tag).json(&new_upload(6)).await;
    let location = begun.expecting(201).required_header("location").to_owned();
    append(&admin, &location, 0, b"thi", false).await.expecting(204);
    admin.put_file("win7-office", 1, "ckm", b"second").await.expecting(200);
    append(&admin, &location, 3, b"rd!", true).await.problem(412);
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert_eq!(&file.body[..], b"second");
}

async fn bytes_can_be_appended_on_a_condition(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 6).await;
    let tag = admin.get(&location).await.required_header("etag").to_owned();
    let append = |tag: &str| {
        let call = admin.patch(&location).header("Content-Type", "application/partial-upload");
        let call = call.header("Upload-Complete", "?0").header("Upload-Offset", "0");
        call.header("If-Match", tag).body(b"abc".to_vec())
    };
    append("\"another\"").await.problem(412);
    assert_eq!(admin.get(&location).await.json()["received"], 0);
    append(&tag).await.expecting(204);
}

async fn bytes_with_a_content_coding_are_refused(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 3).await;
    let draft = admin.patch(&location).header("Content-Type", "application/partial-upload");
    let draft = draft.header("Upload-Complete", "?1").header("Upload-Offset", "0");
    let tus = admin.patch(&location).header("Content-Type", "application/offset+octet-stream");
    let tus = tus.header("Tus-Resumable", "1.0.0").header("Upload-Offset", "0");
    for call in [draft, tus] {
        // Two lines are one list, of which not only the first counts.
        let coded = call.header("Content-Encoding", "identity").header("Content-Encoding", "gzip");
        assert_eq!(coded.body(b"abc".to_vec()).await.problem(415), "content_coding_refused");
    }
    assert_eq!(admin.get(&location).await.json()["received"], 0);
}

async fn the_writer_of_a_cancelled_upload_is_told_to_look(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let login = basic(&admin.name_and_password());
    let mut writer = Connection::open(depot.server.port()).await;
    let headers = [
        ("Authorization", login.as_str()),
        ("Content-Type", "application/partial-upload"),
        ("Upload-Complete", "?1"),
        ("Upload-Offset", "0"),
        ("Content-Length", "300000"),
    ];
    writer.write(head("PATCH", &location, &headers).as_bytes()).await;
    writer.write(&ckm(1)[..1000]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    admin.delete(&location).await.expecting(204);
    let answer = writer.read_answer("the interrupted PATCH").await.expect("an answer");
    assert_eq!(answer.problem(409), "upload_taken_over");
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("ask for the offset"), "{detail}");
    admin.call(&Method::HEAD, &location).await.expecting(404);
    nothing_is_left(&depot).await;
}

async fn a_cancelled_upload_leaves_nothing(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    append(&admin, &location, 0, &ckm(1)[..200_000], false).await.expecting(204);
    admin.delete(&location).await.expecting(204);
    for _ in 0..2 {
        append(&admin, &location, 200_000, &ckm(1)[200_000..], true).await.problem(404);
        admin.delete(&location).await.problem(404);
    }
    nothing_is_left(&depot).await;
}

async fn a_cancelled_upload_that_is_complete_leaves_its_file(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    append(&admin, &location, 0, &ckm(1), true).await.expecting(201);
    admin.delete(&location).await.expecting(204);
    admin.get(&location).await.problem(404);
    let file = admin.get(&file_path("win7-office", 1, "ckm")).await.expecting(200);
    assert!(file.body == ckm(1), "other bytes than were sent");
    depot.comes_to_store(1).await;
}

/// A PATCH of the IETF's draft whose body stays open: its connection.
pub async fn open_append(
    depot: &Depot,
    person: &Person,
    location: &str,
    size: usize,
) -> Connection {
    let (login, length) = (basic(&person.name_and_password()), size.to_string());
    let headers = [
        ("Authorization", login.as_str()),
        ("Content-Type", "application/partial-upload"),
        ("Content-Length", length.as_str()),
        ("Upload-Complete", "?1"),
        ("Upload-Offset", "0"),
    ];
    let mut connection = Connection::open(depot.server.port()).await;
    connection.write(head("PATCH", location, &headers).as_bytes()).await;
    connection
}

async fn looking_on_does_not_stop_the_writer(database: Database) {
    let (depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 300_000).await;
    let mut writer = open_append(&depot, &admin, &location, 300_000).await;
    writer.write(&ckm(1)[..150_000]).await;
    for _ in 0..3 {
        admin.get(&location).await.expecting(200);
        admin.get("/api/v1/uploads").await.expecting(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    writer.write(&ckm(1)[150_000..]).await;
    let answer = writer.read_answer("PATCH").await.expect("an answer").expecting(201);
    assert_eq!(answer.required_header("upload-complete"), "?1");
}

async fn a_repeated_key_begins_one_upload(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let begin = |size| {
        admin.post("/api/v1/uploads").header("Idempotency-Key", "once").json(&new_upload(size))
    };
    let first = begin(10).await.expecting(201);
    let again = begin(10).await.expecting(201);
    assert_eq!(first.required_header("location"), again.required_header("location"));
    begin(11).await.problem(409);
    // Headers say as much as a body: another one is another request.
    let begin = |length: &str| {
        let query = "image=win7-office&revision=1&role=ckm";
        let call = admin.post(&format!("/api/v1/uploads?{query}"));
        call.header("Idempotency-Key", "draft")
            .header("Upload-Complete", "?0")
            .header("Upload-Length", length)
    };
    let first = begin("10").await.expecting(201);
    let again = begin("10").await.expecting(201);
    for header in ["location", "upload-complete", "upload-offset", "upload-limit"] {
        assert_eq!(first.required_header(header), again.required_header(header), "{header}");
    }
    begin("11").await.problem(409);
    assert_eq!(admin.get("/api/v1/uploads").await.expecting(200).items().len(), 2);
}

async fn options_say_what_is_offered(database: Database) {
    let depot = Depot::on(database).setting("uploads", "max_size", "123456789").start().await;
    let anyone = depot.anonymous();
    for (path, methods) in [
        ("/api/v1/uploads", &["GET", "POST"][..]),
        (
            "/api/v1/uploads/0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e",
            &["GET", "HEAD", "PATCH", "DELETE"],
        ),
    ] {
        // The version in a request is ignored here: OPTIONS is how a client learns of it.
        for version in ["1.0.0", "0.2.2"] {
            let call = anyone.call(&Method::OPTIONS, path).header("Tus-Resumable", version);
            let answer = call.await.expecting(204);
            for (header, value) in [
                ("tus-version", "1.0.0"),
                ("tus-resumable", "1.0.0"),
                (
                    "tus-extension",
                    "creation,creation-defer-length,creation-with-upload,checksum,expiration,termination",
                ),
                ("tus-checksum-algorithm", "sha1,sha256"),
                ("tus-max-size", "123456789"),
                ("upload-limit", "max-size=123456789, min-size=0"),
            ] {
                assert_eq!(answer.required_header(header), value, "{header} of {path}");
            }
            let accepted = answer.required_header("accept-patch");
            assert!(accepted.contains("application/partial-upload"), "{accepted}");
            let allow: Vec<_> = answer.required_header("allow").split(", ").collect();
            assert!(methods.iter().all(|method| allow.contains(method)), "{path}: {allow:?}");
        }
    }
    let file =
        anyone.call(&Method::OPTIONS, &file_path("win7-office", 1, "ckm")).await.expecting(204);
    assert_eq!(file.required_header("upload-limit"), "max-size=123456789, min-size=0");
    assert!(file.required_header("allow").contains("PUT"));
}

async fn other_methods_are_told_the_right_ones(database: Database) {
    let (_depot, admin) = depot_with_a_draft(database).await;
    let location = begin(&admin, 10).await;
    for (method, path) in [
        (Method::PUT, &location),
        (Method::POST, &location),
        (Method::DELETE, &"/api/v1/uploads".to_owned()),
    ] {
        let refused = admin.call(&method, path).await;
        refused.problem(405);
        let allow = refused.required_header("allow");
        assert!(!allow.split(", ").any(|allowed| allowed == method.as_str()), "{method}: {allow}");
    }
    // A page of the list can be asked about as any other.
    admin.call(&Method::HEAD, "/api/v1/uploads").await.expecting(200);
}

async fn links_are_absolute_where_the_server_knows_its_name(database: Database) {
    let setup =
        Depot::on(database).setting("server", "public_url", "https://images.example.com/depot");
    let depot = setup.start().await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let location = begin(&admin, 10).await;
    assert!(location.starts_with("https://images.example.com/depot/api/v1/uploads/"), "{location}");
    eventually("the upload is listed", || async {
        let items = admin.get("/api/v1/uploads").await.expecting(200).items();
        items
            .first()
            .filter(|upload| location.ends_with(upload["id"].as_str().unwrap_or("?")))
            .cloned()
    })
    .await;
}
