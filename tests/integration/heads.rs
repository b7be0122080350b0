//! Heads of requests as real clients and proxies send them, and what RFC 9110 and RFC 9112 say of them.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::raw::{Connection, basic, head, request};
use crate::harness::{Database, Depot, eventually, sample};

const H2C: [(&str, &str); 3] = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
];

#[tokio::test]
async fn upgrade_is_ignored_and_the_connection_stays() {
    let depot = Depot::start(Database::Sqlite).await;
    let mut connection = Connection::open(depot.server.port()).await;
    for _ in 0..3 {
        connection.write(head("GET", "/livez", &H2C).as_bytes()).await;
        let answer = connection.read_answer("GET /livez").await.expect("an answer");
        assert_eq!(answer.status, 200);
        assert!(
            answer.headers.get("connection").is_none() && answer.headers.get("upgrade").is_none()
        );
    }
    // With a body, whose length counts.
    let admin = basic(&format!("admin:{ADMIN_PASSWORD}"));
    let body = r#"{"name": "win7-office", "kind": "medv"}"#;
    let length = body.len().to_string();
    let headers = [
        ("Authorization", &*admin),
        ("Content-Type", "application/json"),
        ("Content-Length", &*length),
        ("Connection", "upgrade"),
        ("Upgrade", "websocket"),
    ];
    connection.write((head("POST", "/api/v1/images", &headers) + body).as_bytes()).await;
    let made = connection.read_answer("POST /api/v1/images").await.expect("an answer");
    assert_eq!(made.status, 201);
    connection.write(head("GET", "/livez", &[]).as_bytes()).await;
    assert_eq!(connection.read_answer("GET /livez").await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_post_of_http_1_0_needs_no_length() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().create_image("win7-office").await;
    let mut curl = Command::new("curl");
    curl.args(["--http1.0", "-sS", "-w", "%{http_code}", "-o", "/dev/null", "-X", "POST"]);
    curl.args(["-u", &depot.admin().name_and_password()]);
    curl.arg(format!("{}/api/v1/images/win7-office/revisions", depot.server.url()));
    assert_eq!(run(curl).await.successful().stdout, "201");
}

#[tokio::test]
async fn what_the_parser_refuses_is_told_and_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let depot = Depot::on(Database::Sqlite)
        .setting("log", "access", &log.display().to_string())
        .start()
        .await;
    let refused = [
        "GET /no-host?a=b HTTP/1.1\r\n\r\n".to_owned(),
        head("GET", "/two-lengths", &[("Content-Length", "1"), ("Content-Length", "2")]),
        head("GET", "/no-version", &[]).replace("HTTP/1.1", "HTTP/7.3"),
        head("GET", "/bad name", &[]),
        head("GET", "/signed", &[("Content-Length", "+3")]),
    ];
    for text in &refused {
        let mut connection = Connection::open(depot.server.port()).await;
        connection.write(text.as_bytes()).await;
        let first = text.lines().next().expect("a line");
        let answer = connection.read_answer(first).await.expect(first);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{first}");
        let problem: Value = answer.json();
        assert_eq!(problem["code"], "malformed_head", "{first}");
        assert_eq!(problem["request_id"], answer.headers["x-request-id"].to_str().expect("text"));
        assert_eq!(answer.headers["connection"], "close", "{first}");
    }
    let lines = eventually("the access log has them", || async {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains(" 400 ")).map(str::to_owned).collect();
        (lines.len() == refused.len()).then_some(lines)
    })
    .await;
    assert!(lines.iter().any(|line| line.contains("/no-host a=b")), "{lines:?}");
    assert!(depot.server.log().contains("the head of a request was refused"));
}

#[tokio::test]
async fn what_comes_behind_the_last_request_is_not_answered_and_the_connection_ends() {
    let depot = Depot::start(Database::Sqlite).await;
    let mut connection = Connection::open(depot.server.port()).await;
    let last = head("GET", "/livez", &[("Connection", "close")]);
    connection.write((last + &head("GET", "/readyz", &[])).as_bytes()).await;
    let answer = connection.read_answer("GET /livez").await.expect("an answer");
    assert_eq!(answer.headers["connection"], "close");
    let begun = Instant::now();
    assert!(connection.read_answer("GET /readyz").await.is_none());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Makes a PUT with curl that waits for 100 Continue. Returns every line that arrived, and the number of bytes sent.
async fn put_with_curl(
    depot: &Depot,
    user: &str,
    path: &str,
    file: &std::path::Path,
) -> (String, u64) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-D", "-", "-o", "/dev/null", "-w", "sent=%{size_upload}"]);
    curl.args(["--expect100-timeout", "20", "-H", "Expect: 100-continue", "-u", user, "-T"]);
    curl.arg(file).arg(format!("{}{path}", depot.server.url()));
    let said = run(curl).await.stdout;
    let (lines, sent) = said.rsplit_once("sent=").expect("what was sent");
    (lines.to_owned(), sent.parse().expect("a number"))
}

#[tokio::test]
async fn a_body_is_asked_for_once_it_is_known_to_be_wanted() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_single_image("linux", "img").await;
    let revision = admin.draft("linux").await;
    let file = depot.scratch().join("linux.img");
    std::fs::write(&file, sample::bytes(1, 3_000_000)).expect("a file");
    let path = format!("/api/v1/images/linux/revisions/{revision}/files/image");
    let nobody = put_with_curl(&depot, "admin:wrong", &path, &file).await;
    assert!(nobody.0.starts_with("HTTP/1.1 401 ") && nobody.1 == 0, "{nobody:?}");
    let elsewhere = path.replace("linux", "windows");
    let elsewhere = put_with_curl(&depot, &admin.name_and_password(), &elsewhere, &file).await;
    assert!(elsewhere.0.starts_with("HTTP/1.1 404 ") && elsewhere.1 == 0, "{elsewhere:?}");
    let begun = Instant::now();
    let taken = put_with_curl(&depot, &admin.name_and_password(), &path, &file).await;
    assert!(taken.0.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), "{taken:?}");
    assert_eq!(taken.1, 3_000_000);
    // curl by itself waits for a second, and sends then.
    assert!(begun.elapsed() < Duration::from_secs(5), "asked for at once: {:?}", begun.elapsed());
    admin.seal("linux", revision).await.expecting(200);
    let sealed = put_with_curl(&depot, &admin.name_and_password(), &path, &file).await;
    assert!(sealed.0.starts_with("HTTP/1.1 409 ") && sealed.1 == 0, "{sealed:?}");
    // Who does not wait is served as well.
    let next = admin.draft("linux").await;
    let path = format!("/api/v1/images/linux/revisions/{next}/files/image");
    let authorization = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", &*authorization),
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", "5"),
        ("Expect", "100-continue"),
    ];
    let answer = request(depot.server.port(), "PUT", &path, &headers, b"bytes").await;
    assert_eq!(answer.status, 201);
}

/// Of an upload that goes on, too: its state is known before its bytes.
#[tokio::test]
async fn a_body_is_not_asked_for_where_the_upload_is_elsewhere() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_single_image("linux", "img").await;
    let revision = admin.draft("linux").await;
    let target = json!({"image": "linux", "revision": revision, "role": "image", "size": 100});
    let begun = admin.post("/api/v1/uploads").json(&target).await.expecting(201);
    let location = begun.required_header("location").to_owned();
    let login = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", login.as_str()),
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", "7"),
        ("Upload-Complete", "?0"),
        ("Content-Length", "5"),
        ("Expect", "100-continue"),
    ];
    let mut connection = Connection::open(depot.server.port()).await;
    connection.write(head("PATCH", &location, &headers).as_bytes()).await;
    let first = connection.read_first_answer("PATCH").await.expect("an answer");
    assert_eq!(first.status, 409);
}

/// Sends bytes after a body that was not wanted. They are no request, however the body ends (RFC 9112 section 9.6).
#[tokio::test]
async fn nothing_is_answered_behind_a_body_that_was_refused() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let login = basic(&admin.name_and_password());
    let headers = [
        ("Authorization", login.as_str()),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
    ];
    let path = "/api/v1/images/absent/revisions/1/files/image";
    let mut connection = Connection::open(depot.server.port()).await;
    connection.write(head("PUT", path, &headers).as_bytes()).await;
    let refused = connection.read_first_answer("PUT").await.expect("an answer");
    assert_eq!((refused.status, refused.header("connection")), (404, Some("close")));
    let body = r#"{"name": "smuggled", "kind": "single"}"#;
    let length = body.len().to_string();
    let next = [
        ("Authorization", login.as_str()),
        ("Content-Type", "application/json"),
        ("Content-Length", &length),
    ];
    let next = head("POST", "/api/v1/images", &next);
    connection.write(format!("3\r\nabc\r\n0\r\n\r\n{next}{body}").as_bytes()).await;
    assert!(connection.read_answer("POST").await.is_none());
    admin.get("/api/v1/images/smuggled").await.problem(404);
}

#[tokio::test]
async fn a_body_is_not_asked_for_in_the_middle_of_the_answer_before() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let bytes = sample::bytes(1, 20 << 20);
    admin.publish_single("large", "img", &bytes).await;
    let revision = admin.draft("large").await;
    let path = format!("/api/v1/images/large/revisions/{revision}/files/image");
    let authorization = basic(&admin.name_and_password());
    let put = head(
        "PUT",
        &path,
        &[("Authorization", &authorization), ("Content-Length", "5"), ("Expect", "100-continue")],
    );
    let mut connection = Connection::open(depot.server.port()).await;
    let get = head("GET", "/MEDVImages/large_1.img", &[]);
    connection.write((get + &put).as_bytes()).await;
    // Longer than what the system buffers.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let file = connection.read_answer("GET /MEDVImages/large_1.img").await.expect("the file");
    assert!(file.body == bytes, "the file has something of another answer in it");
    connection.write(b"bytes").await;
    let put = connection.read_answer("PUT").await.expect("an answer");
    assert_eq!(put.status, 201);
}

#[tokio::test]
async fn a_file_that_reads_like_a_refusal_is_sent_as_it_is() {
    let depot = Depot::start(Database::Sqlite).await;
    let line = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let bytes: Vec<u8> = line.iter().copied().cycle().take(line.len() * 100_000).collect();
    depot.admin().publish_single("odd", "img", &bytes).await;
    for (first, last) in [(0, bytes.len() - 1), (0, line.len() - 1), (line.len(), bytes.len() - 1)]
    {
        let range = format!("bytes={first}-{last}");
        let part = depot.anonymous().get("/MEDVImages/odd_1.img").header("Range", &range).await;
        assert!(part.expecting(206).body == bytes[first..=last], "{range}");
    }
}
