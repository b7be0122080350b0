//! Secrets stay secret: not in the log at its most talkative, not in the audit, not in any answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::command::{imagedepot, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::person::Call;
use crate::harness::raw::basic;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![no_secret_is_written_down_or_sent_back];

/// Every secret of the test has it in its text.
const MARK: &str = "xyzzy";

/// Encodes credentials as an `Authorization` header would contain them if it was written down whole.
fn encoded(name_and_password: &str) -> String {
    STANDARD.encode(name_and_password)
}

async fn no_secret_is_written_down_or_sent_back(database: Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let access_log = folder.path().join("access.log");
    let setup = Depot::on(database).setting("log", "level", "trace").setting(
        "log",
        "access",
        &access_log.display().to_string(),
    );
    let mut depot = setup.start().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let user = |password: &str| json!({"name": "kim", "password": password, "roles": ["reader"]});
    let with = |value: &str| anyone.get("/api/v1/whoami").header("Authorization", value);
    let users = || admin.post("/api/v1/users");
    let json = |call: Call, body: &str| {
        call.header("Content-Type", "application/json").body(body.to_owned())
    };
    let calls = [
        users().header("Idempotency-Key", "one").json(&user("the first xyzzy")),
        users().json(&user("xyzzy")),
        users().json(&json!({"name": "lee", "password": {"xyzzy": 1}, "roles": ["reader"]})),
        users().json(&json!({"name": "lee", "password": ["xyzzy xyzzy"], "roles": ["reader"]})),
        users().json(&json!({"name": "lee", "password": "long xyzzy", "roles": ["king"]})),
        json(users(), r#"{"name": "lee", "password": "long xyzzy", "roles": [}"#),
        json(users(), r#"{"name": "lee", "password": "long xyzzy"#),
        json(users(), r#"{"password": "long xyzzy"}"#),
        admin.patch("/api/v1/users/kim").json(&json!({"password": "the second xyzzy"})),
        admin.patch("/api/v1/users/nobody").json(&json!({"password": "the third xyzzy"})),
        with(&basic("kim:the second xyzzy")),
        with(&basic("kim:a wrong xyzzy")),
        with(&basic("nobody:some xyzzy")),
        with("Bearer xyzzy.xyzzy.xyzzy"),
        with("Negotiate xyzzyxyzzy=="),
        with("Digest username=\"kim\", response=\"xyzzy\""),
        with("xyzzy"),
        with("Basic xyzzy"),
        with(&format!("Basic {}", encoded("no colon xyzzy"))),
        with(&basic("kim:the second xyzzy")).header("Authorization", "Bearer xyzzy"),
        admin.get("/api/v1/users"),
        admin.get("/api/v1/users/kim"),
    ];
    for call in calls {
        let answer = call.await;
        let told = format!("{}\n{:?}", String::from_utf8_lossy(&answer.body), answer.headers);
        assert_silent(&answer.question, &told);
    }
    let audit = admin.get("/api/v1/audit").await.expecting(200);
    assert_silent("the audit", &String::from_utf8_lossy(&audit.body));
    let log = depot.server.log();
    assert!(log.contains("TRACE"), "the log is not at its most talkative");
    assert_silent("the log", &log);
    depot.server.stop().await;
    let lines = std::fs::read_to_string(&access_log).expect("the access log");
    assert!(lines.contains("/api/v1/whoami"));
    assert_silent("the access log", &lines);
}

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    let encoded = [
        encoded("kim:the second xyzzy"),
        encoded("kim:a wrong xyzzy"),
        encoded("nobody:some xyzzy"),
        encoded("no colon xyzzy"),
        encoded(&format!("admin:{ADMIN_PASSWORD}")),
        ADMIN_PASSWORD.to_owned(),
        "$argon2".to_owned(),
        MARK.to_owned(),
    ];
    for secret in encoded {
        let line = text.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{what} has {secret}: {}", line.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_database_s_password_is_not_told_when_it_cannot_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    for url in ["postgres://someone:xyzzy@127.0.0.1:1/x", "mysql://someone:xyzzy@127.0.0.1:1/x"] {
        for command in ["migrate", "serve", "check-config"] {
            let mut program = imagedepot([command]);
            program.arg("--data").arg(folder.path().join("data"));
            program.env("IMAGEDEPOT__CATALOG__URL", url).env("IMAGEDEPOT__LOG__LEVEL", "trace");
            if command == "check-config" && url.starts_with("postgres") {
                continue;
            }
            let refused = run(program).await;
            assert!(refused.code > 0, "{command} {url}");
            assert_silent(command, &(refused.stdout + &refused.stderr));
        }
    }
}
