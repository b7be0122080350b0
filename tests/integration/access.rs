//! Authentication and authorisation: the recognised caller, and what that caller may do.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path, revision_path};
use crate::harness::command::{imagedepot, run};
use crate::harness::{Answer, Database, Depot, eventually, on_both_databases};

on_both_databases![
    a_wrong_password_is_challenged_and_a_right_one_is_not,
    malformed_credentials_are_challenged,
    the_first_start_makes_an_admin_whose_password_only_the_owner_reads,
    the_admin_s_password_may_come_from_a_file,
    a_password_set_on_the_command_line_counts_within_a_second,
    a_client_reads_the_tree_and_nothing_else,
    a_reader_reads_everything_and_changes_nothing,
    a_publisher_fills_and_promotes_to_test_only,
    a_promoter_promotes_anywhere_and_uploads_nothing,
    rights_on_some_images_hide_the_others,
    a_deleted_user_is_out_at_once,
    nobody_sees_a_password_again,
];

fn assert_challenged(answer: &Answer) {
    answer.problem(401);
    let challenge = answer.required_header("www-authenticate");
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
}

async fn a_wrong_password_is_challenged_and_a_right_one_is_not(database: Database) {
    let depot = Depot::start(database).await;
    let me = depot.admin().get("/api/v1/whoami").await.expecting(200).json();
    assert_eq!((&me["name"], &me["roles"]), (&json!("admin"), &json!(["admin"])));
    assert_challenged(&depot.user("admin", "wrong").get("/api/v1/whoami").await);
    assert_challenged(&depot.user("nobody", "wrong").get("/api/v1/whoami").await);
    assert_challenged(&depot.anonymous().get("/api/v1/images").await);
    // Wrong credentials are wrong where none are needed, too: the caller believes to be somebody.
    depot.admin().published_image("win7-office", "production").await;
    assert_challenged(&depot.user("admin", "wrong").get("/MEDVImages/win7-office_1.ckm").await);
}

async fn malformed_credentials_are_challenged(database: Database) {
    let depot = Depot::start(database).await;
    for value in
        ["Basic", "Basic ", "Basic !!!", "Basic YWRtaW4=", "Bearer x", "Nonsense", "Basic /w=="]
    {
        let answer = depot.anonymous().get("/api/v1/whoami").header("Authorization", value).await;
        answer.problem_of(&[400, 401]);
    }
}

async fn the_first_start_makes_an_admin_whose_password_only_the_owner_reads(database: Database) {
    let setup = Depot::on(database).environment("IMAGEDEPOT_ADMIN_PASSWORD", None);
    let mut depot = setup.start().await;
    let secret = std::fs::read_dir(depot.server.data())
        .expect("the data folder")
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().contains("password"))
        .expect("a file with the first password in the data folder");
    let mode = secret.metadata().expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let password = std::fs::read_to_string(secret.path()).expect("the password");
    let password = password.trim();
    assert!(password.len() >= 16, "{} characters are too few", password.len());
    depot.user("admin", password).get("/api/v1/users").await.expecting(200);
    assert_eq!(depot.server.log().matches(password).count(), 1, "printed once");
    depot.server.restart().await;
    depot.user("admin", password).get("/api/v1/users").await.expecting(200);
    assert_eq!(depot.server.log().matches(password).count(), 1, "printed at the first start only");
}

async fn the_admin_s_password_may_come_from_a_file(database: Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "kept in a file\n").expect("write the password");
    let depot = Depot::on(database)
        .environment("IMAGEDEPOT_ADMIN_PASSWORD", None)
        .environment("IMAGEDEPOT_ADMIN_PASSWORD_FILE", file.to_str())
        .start()
        .await;
    depot.user("admin", "kept in a file").get("/api/v1/whoami").await.expecting(200);
    assert!(!depot.server.log().contains("kept in a file"), "a given password is not printed");
}

/// `imagedepot user …` on the same catalog as the server, with `input` on its standard input.
async fn user_command<const N: usize>(depot: &Depot, arguments: [&str; N], input: &str) {
    let mut command = imagedepot(["user"]);
    command.args(arguments).arg("--data").arg(depot.server.data());
    command.envs(depot.environment());
    let file = depot.scratch().join("standard-input");
    std::fs::write(&file, input).expect("write the input");
    command.stdin(std::fs::File::open(&file).expect("the input"));
    run(command).await.successful();
}

async fn a_password_set_on_the_command_line_counts_within_a_second(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().get("/api/v1/whoami").await.expecting(200);
    user_command(&depot, ["passwd", "admin"], "another long password\n").await;
    // A change from the command line reaches a running server within a second, and ends what the
    // server remembers of the old password.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let new = depot.user("admin", "another long password");
    new.get("/api/v1/whoami").await.expecting(200);
    assert_challenged(&depot.admin().get("/api/v1/whoami").await);
}

async fn a_client_reads_the_tree_and_nothing_else(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let client = depot.user_with_role("client").await;
    client.get_tree("win7-office_1.ckm").await.expecting(200);
    client.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    for path in ["/api/v1/images", "/api/v1/channels", "/api/v1/users", "/api/v1/publications"] {
        client.get(path).await.problem(403);
    }
}

async fn a_reader_reads_everything_and_changes_nothing(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let reader = depot.user_with_role("reader").await;
    for path in [
        "/api/v1/images",
        "/api/v1/images/win7-office",
        "/api/v1/images/win7-office/revisions/1/files/ckm",
        "/api/v1/channels",
        "/api/v1/images/win7-office/channels",
        "/api/v1/images/win7-office/promotions",
        "/api/v1/publications",
    ] {
        reader.get(path).await.expecting(200);
    }
    reader.get("/api/v1/users").await.problem(403);
    reader.promote("win7-office", "test", 1).await.problem(403);
    reader.roll_back("win7-office", "production").await.problem(403);
    reader.post("/api/v1/publications/reconcile").await.problem(403);
    let image = json!({"name": "another", "kind": "medv"});
    reader.post("/api/v1/images").json(&image).await.problem(403);
}

async fn a_publisher_fills_and_promotes_to_test_only(database: Database) {
    let depot = Depot::start(database).await;
    let publisher = depot.user_with_role("publisher").await;
    publisher.create_image("win7-office").await;
    publisher.ready_revision("win7-office", 1).await;
    publisher.promote("win7-office", "test", 1).await.expecting(200);
    publisher.promote("win7-office", "production", 1).await.problem(403);
    publisher.revoke("win7-office", 1).await.problem(403);
    publisher.delete(&revision_path("win7-office", 1)).await.problem_of(&[403, 409]);
    let own = publisher.draft("win7-office").await;
    publisher.delete(&revision_path("win7-office", own)).await.expecting(204);
    let others = depot.admin().draft("win7-office").await;
    publisher.delete(&revision_path("win7-office", others)).await.problem(403);
    publisher.get("/api/v1/users").await.problem(403);
    let open = json!({"promoters": ["publisher"]});
    depot.admin().patch("/api/v1/channels/production").json(&open).await.expecting(200);
    publisher.promote("win7-office", "production", 1).await.expecting(200);
}

async fn a_promoter_promotes_anywhere_and_uploads_nothing(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    admin.ready_revision("win7-office", 2).await;
    let draft = admin.draft("win7-office").await;
    let promoter = depot.user_with_role("promoter").await;
    for revision in [1, 2] {
        promoter.promote("win7-office", "production", revision).await.expecting(200);
    }
    promoter.roll_back("win7-office", "production").await.expecting(200);
    promoter.revoke("win7-office", 2).await.expecting(200);
    promoter.put_file("win7-office", draft, "ckm", &ckm(1)).await.problem(403);
    promoter.post("/api/v1/images/win7-office/revisions").await.problem(403);
    promoter.delete("/api/v1/images/win7-office").await.problem(403);
    assert!(admin.revision("win7-office", draft).await["files"] == json!([]));
}

async fn rights_on_some_images_hide_the_others(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    admin.published_image("secret-lab", "test").await;
    let user = json!({"name": "office", "password": "the office's password",
                      "roles": ["publisher"], "images": ["win7-*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let office = depot.user("office", "the office's password");
    let list = office.get("/api/v1/images").await.expecting(200).items();
    let names: Vec<_> = list.iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["win7-office"]);
    // Nor does a page end at one of the others, whose name its cursor would carry.
    let page = office.get("/api/v1/images?limit=1").await.expecting(200).json();
    assert_eq!(page["items"][0]["name"], "win7-office");
    assert_eq!(page["next_cursor"], Value::Null);
    // "Not there" and "not yours" are one answer.
    let hidden = office.get("/api/v1/images/secret-lab").await;
    let absent = office.get("/api/v1/images/no-such-lab").await;
    assert_eq!(hidden.problem(404), absent.problem(404));
    office.get(&file_path("secret-lab", 1, "ckm")).await.problem(404);
    office.post("/api/v1/images/secret-lab/revisions").await.problem(404);
    office.draft("win7-office").await;
    let foreign = json!({"name": "other-lab", "kind": "medv"});
    office.post("/api/v1/images").json(&foreign).await.problem(403);
}

async fn a_deleted_user_is_out_at_once(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let reader = depot.user_with_role("reader").await;
    reader.get("/api/v1/images").await.expecting(200);
    admin.delete("/api/v1/users/reader").await.expecting(204);
    eventually("the deleted user is out", || async {
        (reader.get("/api/v1/images").await.status == 401).then_some(())
    })
    .await;
    // The last one who can let others in stays.
    admin.delete("/api/v1/users/admin").await.problem(409);
    let fewer = json!({"roles": ["reader"]});
    admin.patch("/api/v1/users/admin").json(&fewer).await.problem(409);
    admin.get("/api/v1/users").await.expecting(200);
}

async fn nobody_sees_a_password_again(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let user = json!({"name": "kim", "password": "a very special word", "roles": ["reader"]});
    let made = admin.post("/api/v1/users").json(&user).await.expecting(201);
    let list = admin.get("/api/v1/users").await.expecting(200);
    let one = admin.get("/api/v1/users/kim").await.expecting(200);
    for answer in [&made, &list, &one] {
        let text = answer.text();
        assert!(!text.contains("special") && !text.contains("argon2"), "{text}");
    }
    for short in ["", "short"] {
        let user = json!({"name": "lee", "password": short, "roles": ["reader"]});
        admin.post("/api/v1/users").json(&user).await.problem(422);
    }
    let unknown: Value = json!({"name": "lee", "password": "long enough, too", "roles": ["king"]});
    admin.post("/api/v1/users").json(&unknown).await.problem(422);
    let mut search = Command::new("grep");
    search.args(["-r", "--binary-files=text", "-l", "a very special word"]).arg(depot.scratch());
    assert_eq!(run(search).await.stdout, "", "the password stands in a file");
}
