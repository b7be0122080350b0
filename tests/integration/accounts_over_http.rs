//! `user`, `token`, `certificate-mapping` and `audit` on a server: over HTTP they do what they do on the catalog, and
//! flags decide between the two.

use std::process::Command;

use serde_json::{Value, json};

use crate::daily_work::{answered, typed};
use crate::harness::command::{Finished, imagedepot, run, to_server};
use crate::harness::folder::mode;
use crate::harness::issued::certificate;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    users_are_managed_over_http,
    tokens_are_managed_over_http,
    the_audit_over_http_is_that_of_the_catalog,
];

/// Runs a command on the catalog itself, beside the address of a server that does not exist.
async fn on_catalog(depot: &Depot, line: &str) -> Finished {
    let mut command = imagedepot([]);
    command.args(line.split(' ')).arg("--data").arg(depot.server.data());
    command.env("IMAGEDEPOT_URL", format!("http://127.0.0.1:{}", free_port()));
    command.envs(depot.environment());
    run(command).await
}

fn with_new_password(line: &str, depot: &Depot, password: &str) -> Command {
    let mut command = imagedepot([]);
    command.args(line.split(' ')).env("IMAGEDEPOT_NEW_PASSWORD", password);
    to_server(command, &depot.server.url())
}

async fn users_are_managed_over_http(database: Database) {
    let depot = Depot::start(database).await;
    let add = "user add kim --role publisher --role promoter --image win7-*";
    let added = run(with_new_password(add, &depot, "the password of kim")).await.successful();
    assert_eq!(added.stdout, "kim was created\n");
    let kim = depot.user("kim", "the password of kim");
    kim.get("/api/v1/images").await.expecting(200);
    let list = typed(&depot, "user list").await.successful().stdout;
    let line = list.lines().nth(2).expect("kim's line");
    assert!(line.starts_with("kim") && line.contains("publisher, promoter"), "{list}");
    assert!(line.contains("win7-*") && list.lines().count() == 3, "{list}");
    let listed = on_catalog(&depot, "user list").await.successful().stdout;
    assert_eq!(listed, list, "the same table on the catalog");

    let passwd = with_new_password("user passwd kim", &depot, "another password");
    assert_eq!(run(passwd).await.successful().stdout, "kim has a new password\n");
    kim.get("/api/v1/whoami").await.expecting(401);
    let changed = answered(&depot, "user roles kim reader").await;
    assert_eq!(changed["roles"], json!(["reader"]));
    let changed = answered(&depot, "user images kim --all").await;
    assert_eq!(changed["images"], json!([]));
    typed(&depot, "user disable kim").await.successful();
    assert_eq!(answered(&depot, "user enable kim").await["disabled"], false);
    typed(&depot, "user delete kim").await.successful();
    let gone = typed(&depot, "user enable kmi").await;
    assert!(gone.code == 5 && gone.stderr.contains("no user named kmi"), "{}", gone.stderr);
    assert_eq!(typed(&depot, "user delete admin").await.code, 6, "the last administrator");
}

async fn tokens_are_managed_over_http(database: Database) {
    let depot = Depot::start(database).await;
    let file = depot.scratch().join("packer.token");
    let create = format!(
        "token create packer --role publisher --image win7-* --expires-in 5days --out {}",
        file.display()
    );
    let made = typed(&depot, &create).await.successful();
    assert!(!made.stdout.contains("eyJ") && made.stderr.contains("valid until"), "{}", made.stderr);
    let token = std::fs::read_to_string(&file).expect("the token");
    assert_eq!(mode(&file), 0o600);
    let me = depot.bearer(token.trim()).get("/api/v1/whoami").await.expecting(200).json();
    assert_eq!((&me["name"], &me["images"]), (&json!("token:packer"), &json!(["win7-*"])));
    let shown = answered(&depot, "token create robot --role reader").await;
    assert!(shown["token"].as_str().is_some_and(|token| token.starts_with("eyJ")), "{shown}");

    let list = typed(&depot, "token list").await.successful().stdout;
    assert!(list.contains("packer") && list.contains("valid") && !list.contains("eyJ"), "{list}");
    assert_eq!(on_catalog(&depot, "token list").await.successful().stdout, list);
    let revoked = typed(&depot, "token revoke packer").await.successful().stdout;
    assert!(revoked.ends_with("(packer) was revoked\n"), "{revoked}");
    depot.bearer(token.trim()).get("/api/v1/whoami").await.expecting(401);
    assert_eq!(typed(&depot, "token revoke packer").await.code, 5);
    let rest = answered(&depot, "token revoke --created-by admin").await;
    assert_eq!(rest["revoked"], json!([shown["id"]]));
    assert_eq!(typed(&depot, "token list").await.successful().stdout, "");
    let all = typed(&depot, "token list --all").await.successful().stdout;
    assert_eq!(all.matches("revoked").count(), 2, "{all}");
    // The name is free, and a file that is there stays.
    let again = typed(&depot, &create).await;
    assert!(again.code == 8 && again.stderr.contains("packer.token"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), token);
}

#[tokio::test]
async fn mappings_are_managed_over_http() {
    let depot = Depot::start(Database::Sqlite).await;
    let file = depot.scratch().join("alice.pem");
    std::fs::write(&file, certificate("alice").issue().pem).expect("write the certificate");
    let add =
        format!("certificate-mapping add alice --user admin --certificate {}", file.display());
    typed(&depot, &add).await.successful();
    let sales = "certificate-mapping add sales --deny --rule subject.OU=Sales* --ignore-case";
    let added = typed(&depot, sales).await.successful().stdout;
    assert_eq!(added, "sales was added (subject.OU=Sales* (any case): denied)\n");
    let list = typed(&depot, "certificate-mapping list").await.successful().stdout;
    assert!(list.contains("CN=alice sha256:"), "{list}");
    assert_eq!(on_catalog(&depot, "certificate-mapping list").await.successful().stdout, list);
    let wrong = typed(&depot, "certificate-mapping add x --deny --rule subject.XX=y").await;
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    typed(&depot, "certificate-mapping remove sales").await.successful();
    let items = answered(&depot, "certificate-mapping list").await["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1));
    // The caller's own name has another flag here.
    let mut refused = imagedepot(["certificate-mapping", "list", "--login", "admin"]);
    refused.args(["--password", "wrong", "--server", &depot.server.url()]);
    assert_eq!(run(refused).await.code, 4);
}

async fn the_audit_over_http_is_that_of_the_catalog(database: Database) {
    let depot = Depot::start(database).await;
    for name in ["one", "two", "three"] {
        depot.admin().create_image(name).await;
    }
    let verified = typed(&depot, "audit verify").await.successful().stdout;
    assert_eq!(on_catalog(&depot, "audit verify").await.successful().stdout, verified);
    let newest = verified.trim().rsplit(' ').next().expect("the newest row").to_owned();
    depot.admin().create_image("four").await;
    typed(&depot, &format!("audit verify --known {newest}")).await.successful();
    let (sequence, hash) = newest.split_once(':').expect("a sequence");
    let forged =
        format!("audit verify --known {sequence}:{}", hash.chars().rev().collect::<String>());
    let rewritten = typed(&depot, &forged).await;
    assert!(rewritten.code == 1 && rewritten.stdout.contains("rewritten"), "{}", rewritten.stdout);

    let rows = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let exported = rows(&typed(&depot, "audit export").await.successful().stdout);
    assert_eq!(exported, rows(&on_catalog(&depot, "audit export").await.successful().stdout));
    let after = format!("audit export --after {sequence}");
    assert_eq!(
        rows(&typed(&depot, &after).await.successful().stdout),
        exported[exported.len() - 1..]
    );
    let list = typed(&depot, "audit list --limit 2").await.successful().stdout;
    assert!(list.lines().nth(1).is_some_and(|line| line.contains("images/four")), "{list}");
    assert_eq!(on_catalog(&depot, "audit list --limit 2").await.successful().stdout, list);
    let filtered = "audit list --subject images/four --action image.* --since 1h";
    let list = typed(&depot, filtered).await.successful().stdout;
    assert_eq!(list.lines().count(), 2, "{list}");
    assert_eq!(on_catalog(&depot, filtered).await.successful().stdout, list);
    let no_time = on_catalog(&depot, "audit list --until 2026-13-01T00:00:00Z").await;
    assert!(no_time.code == 2 && no_time.stderr.contains("no time"), "{}", no_time.stderr);

    // A pruned record is sound, too, and begins where it says.
    on_catalog(&depot, "audit prune --keep 0s").await.successful();
    let verified = typed(&depot, "audit verify").await.successful().stdout;
    assert!(verified.contains("begins after its anchor "), "{verified}");
    assert_eq!(on_catalog(&depot, "audit verify").await.successful().stdout, verified);
}

#[tokio::test]
async fn an_altered_row_is_found_over_http() {
    use sqlx::{Connection as _, SqliteConnection};
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().create_image("one").await;
    let url = format!("sqlite:{}", depot.server.data().join("catalog.sqlite").display());
    let mut catalog = SqliteConnection::connect(&url).await.expect("the catalog");
    let alter = "update audit set caller = 'eve' where subject = 'images/one'";
    sqlx::query(alter).execute(&mut catalog).await.expect("tampering");
    let found = typed(&depot, "audit verify --output json").await;
    assert_eq!((found.code, &found.last_line()["sound"]), (1, &json!(false)), "{}", found.stdout);
    assert!(found.stdout.contains("was altered"), "{}", found.stdout);
}

#[tokio::test]
async fn it_is_said_what_works_on_the_catalog_only_and_what_contradicts_itself() {
    let depot = Depot::start(Database::Sqlite).await;
    let data = depot.server.data().display().to_string();
    let url = depot.server.url();
    for (line, words) in [
        ("token rotate-key".to_owned(), "works on the catalog only"),
        ("audit prune --keep 0s".to_owned(), "works on the catalog only"),
        (format!("user list --data {data} --server {url}"), "choose one"),
        (format!("user list --data {data} --user admin"), "credentials are for a server"),
    ] {
        let refused = typed(&depot, &format!("{line} --output json")).await;
        assert_eq!(refused.code, 2, "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{line}: {}", refused.stderr);
        assert_eq!(refused.last_line()["exit_code"], 2, "{line}");
    }
}
