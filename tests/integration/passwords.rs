//! Passwords: which are taken, who is out at once, and hashes that become stronger.

use std::process::Command;

use serde_json::json;

use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    what_everybody_tries_is_no_password,
    who_is_disabled_is_out_at_once,
    roles_and_images_are_set_on_the_command_line,
    a_hash_of_less_effort_is_replaced_at_a_log_in,
];

async fn what_everybody_tries_is_no_password(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for password in ["short", "password", "Password1!", "packerin", "Packerin2024", "12345678"] {
        let user = json!({"name": "packerin", "password": password, "roles": ["reader"]});
        let refused = admin.post("/api/v1/users").json(&user).await;
        assert_eq!(refused.problem(422), "invalid_value", "{password}");
    }
    let change = json!({"password": "qwertyuiop"});
    admin.patch("/api/v1/users/admin").json(&change).await.problem(422);
    let refused = user_command(&depot, &["passwd", "admin"], "admin123!\n").await;
    assert!(refused.code != 0 && refused.stderr.contains("name"), "{}", refused.stderr);
}

async fn user_command(
    depot: &Depot,
    arguments: &[&str],
    input: &str,
) -> crate::harness::command::Finished {
    let mut command = imagedepot(["user"]);
    command.args(arguments).arg("--data").arg(depot.server.data());
    command.envs(depot.environment());
    let file = depot.scratch().join("standard-input");
    std::fs::write(&file, input).expect("write the input");
    command.stdin(std::fs::File::open(&file).expect("the input"));
    run(command).await
}

async fn who_is_disabled_is_out_at_once(database: Database) {
    let depot = Depot::start(database).await;
    let reader = depot.user_with_role("reader").await;
    // Remembered: the next log-ins run no check.
    reader.get("/api/v1/images").await.expecting(200);
    let disabled = json!({"disabled": true});
    depot.admin().patch("/api/v1/users/reader").json(&disabled).await.expecting(200);
    assert_eq!(reader.get("/api/v1/images").await.problem(401), "credentials_wrong");
    user_command(&depot, &["enable", "reader"], "").await.successful();
    eventually("the user is in again", || async {
        (reader.get("/api/v1/images").await.status == 200).then_some(())
    })
    .await;
    user_command(&depot, &["disable", "reader"], "").await.successful();
    eventually("the user is out again", || async {
        (reader.get("/api/v1/images").await.status == 401).then_some(())
    })
    .await;
    let refused = user_command(&depot, &["disable", "admin"], "").await;
    assert_ne!(refused.code, 0, "the last administrator stays");
}

async fn roles_and_images_are_set_on_the_command_line(database: Database) {
    let depot = Depot::start(database).await;
    depot.user_with_role("reader").await;
    user_command(&depot, &["roles", "reader", "publisher", "promoter"], "").await.successful();
    assert_ne!(user_command(&depot, &["images", "reader", "lab-?"], "").await.code, 0);
    user_command(&depot, &["images", "reader", "win7-*"], "").await.successful();
    let user = depot.admin().get("/api/v1/users/reader").await.expecting(200).json();
    assert_eq!(user["roles"], json!(["publisher", "promoter"]));
    assert_eq!(user["images"], json!(["win7-*"]));
    user_command(&depot, &["images", "reader", "--all"], "").await.successful();
    let user = depot.admin().get("/api/v1/users/reader").await.expecting(200).json();
    assert_eq!(user["images"], json!([]));
    assert_ne!(user_command(&depot, &["images", "reader"], "").await.code, 0);
}

/// Argon2id with 8 MiB and one pass, of `an old password`.
const OLD_PASSWORD: &str = "an old password";
const OLD_HASH: &str = "$argon2id$v=19$m=8192,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$sZqKaSqZXdId+GLrMSEjbbugw3hfVCB3fld1WVLVr70";

/// One statement on the catalog, past the server; what it answers.
async fn sql(depot: &Depot, statement: &str) -> String {
    let url = depot.environment().into_iter().find(|(name, _)| name == "IMAGEDEPOT__CATALOG__URL");
    let mut command = if let Some((_, url)) = url {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--command",
            statement,
        ]);
        psql.arg(url);
        psql
    } else {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                      rows = c.execute(sys.argv[2]).fetchall(); c.commit(); \
                      print('\\n'.join(str(row[0]) for row in rows))";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(depot.server.data().join("catalog.sqlite")).arg(statement);
        python
    };
    command.stdin(std::process::Stdio::null());
    run(command).await.successful().stdout.trim().to_owned()
}

async fn a_hash_of_less_effort_is_replaced_at_a_log_in(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.user_with_role("reader").await;
    depot.server.stop().await;
    let set = format!("update account set password_hash = '{OLD_HASH}' where name = 'reader'");
    sql(&depot, &set).await;
    depot.server.start_again().await;
    let reader = depot.user("reader", OLD_PASSWORD);
    let stored = "select password_hash from account where name = 'reader'";
    depot.user("reader", "a wrong password").get("/api/v1/whoami").await.problem(401);
    assert_eq!(sql(&depot, stored).await, OLD_HASH, "a wrong password changes nothing");
    let tag = |answer: &crate::harness::Answer| answer.required_header("etag").to_owned();
    let before = tag(&depot.admin().get("/api/v1/users/reader").await);
    reader.get("/api/v1/whoami").await.expecting(200);
    let renewed = eventually("the hash is replaced", || async {
        let hash = sql(&depot, stored).await;
        (hash != OLD_HASH).then_some(hash)
    })
    .await;
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
    reader.get("/api/v1/whoami").await.expecting(200);
    assert_eq!(tag(&depot.admin().get("/api/v1/users/reader").await), before);
    depot.server.restart().await;
    reader.get("/api/v1/whoami").await.expecting(200);
    let audit = depot.admin().get("/api/v1/audit").await.expecting(200);
    assert!(audit.text().contains("user.renew_hash") && !audit.text().contains("argon2"));
}
