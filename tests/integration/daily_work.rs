//! Daily work on the command line, on the real server: images, revisions, channels, promotions, checks, uploads and the
//! status, as tables for people and JSON for scripts.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::actions::{assignment_path, ckm};
use crate::harness::command::{
    Finished, as_admin, imagedepot, run, to_server, without_own_settings,
};
use crate::harness::project::program;
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    images_are_managed_from_a_terminal,
    revisions_are_managed_from_a_terminal,
    channels_are_managed_from_a_terminal,
    a_revision_is_promoted_rolled_back_and_withdrawn,
    a_rollout_is_changed_stopped_and_explained,
    clients_on_record_are_listed_shown_and_deleted,
];

/// Runs a command as it is typed, as `admin`. `~` stands for a space within a word.
pub async fn typed(depot: &Depot, line: &str) -> Finished {
    let mut command = imagedepot([]);
    command.args(line.split(' ').map(|word| word.replace('~', " ")));
    run(to_server(command, &depot.server.url())).await
}

/// The same for a script, which reads the document.
pub async fn answered(depot: &Depot, line: &str) -> Value {
    typed(depot, &format!("{line} --output json")).await.successful().last_line()
}

/// The lines that a person reads, by their words.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

async fn images_are_managed_from_a_terminal(database: Database) {
    let depot = Depot::start(database).await;
    assert_eq!(typed(&depot, "image list").await.successful().stdout, "", "there is none");
    let create = "image create win7-lab --kind single --extension vhdx --description Lab~PCs \
                  --label owner=kim --label site=north --keep-revisions 3";
    let made = typed(&depot, create).await.successful().stdout;
    assert_eq!(made, "win7-lab was created\n");
    depot.admin().published_image("win7-office", "production").await;

    let list = typed(&depot, "image list").await.successful().stdout;
    let lines = rows(&list);
    assert_eq!(lines[0][..3], ["IMAGE", "KIND", "EXTENSION"]);
    assert_eq!(lines[1][..5], ["win7-lab", "single", "vhdx", "owner=kim,", "site=north"]);
    assert_eq!((lines.len(), lines[2][0]), (3, "win7-office"));
    let items = answered(&depot, "image list").await["items"].clone();
    assert_eq!(items, json!(depot.admin().get("/api/v1/images").await.items()));
    assert_eq!(answered(&depot, "image list --limit 1").await["items"], json!([items[0]]));

    // The other labels stay.
    let set = "image set win7-lab --label site=south --remove-label owner --keep-revisions all";
    let changed = answered(&depot, set).await;
    assert_eq!(changed["labels"], json!({"site": "south"}));
    assert_eq!(
        (&changed["keep_revisions"], &changed["description"]),
        (&Value::Null, &json!("Lab PCs"))
    );
    let shown = typed(&depot, "image show win7-office").await.successful().stdout;
    assert!(shown.contains("kind") && shown.contains("medv"), "{shown}");
    assert!(shown.contains("CHANNEL") && shown.contains("production"), "{shown}");
    let shown = answered(&depot, "image show win7-office").await;
    assert_eq!(shown["channels"][0]["revision"], 1);

    let tried = typed(&depot, "image delete win7-lab --dry-run").await.successful().stdout;
    assert_eq!(tried, "win7-lab could be deleted\n");
    depot.admin().get("/api/v1/images/win7-lab").await.expecting(200);
    typed(&depot, "image delete win7-lab").await.successful();
    depot.admin().get("/api/v1/images/win7-lab").await.expecting(404);
}

async fn revisions_are_managed_from_a_terminal(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=3 {
        admin.ready_revision("win7-office", seed).await;
    }
    let list = typed(&depot, "revision list win7-office").await.successful().stdout;
    let lines = rows(&list);
    assert_eq!((lines.len(), lines[1][0], lines[3][0]), (4, "3", "1"), "newest first: {list}");
    assert_eq!(lines[1][1..3], ["ready", "no"]);

    typed(&depot, "revision set win7-office 2 --notes January~patches --label build=4711")
        .await
        .successful();
    let shown = typed(&depot, "revision show win7-office 2").await.successful().stdout;
    for words in ["January patches", "build=4711", "ckm", "sha256:"] {
        assert!(shown.contains(words), "{shown}");
    }
    let shown = answered(&depot, "revision show win7-office 2").await;
    assert_eq!(shown, admin.revision("win7-office", 2).await);

    typed(&depot, "revision protect win7-office 2").await.successful();
    let refused = typed(&depot, "revision delete win7-office 2").await;
    assert!(
        refused.code == 6 && refused.stderr.contains("revision_protected"),
        "{}",
        refused.stderr
    );
    typed(&depot, "revision protect win7-office 2 --off").await.successful();
    typed(&depot, "revision delete win7-office 2 --dry-run").await.successful();
    assert_eq!(admin.revision("win7-office", 2).await["state"], "ready");
    typed(&depot, "revision delete win7-office 2").await.successful();
    assert_eq!(typed(&depot, "revision show win7-office 2").await.code, 5, "410");

    admin.promote("win7-office", "test", 1).await.expecting(200);
    admin.promote("win7-office", "test", 3).await.expecting(200);
    assert_eq!(typed(&depot, "revision revoke win7-office 3").await.code, 6, "it is assigned");
    let tried = answered(&depot, "revision revoke win7-office 3 --rollback --dry-run").await;
    assert_eq!(tried["number"], 3);
    assert_eq!(admin.assignment("win7-office", "test").await["revision"], 3);
    let revoked = typed(&depot, "revision revoke win7-office 3 --rollback").await.successful();
    assert_eq!(revoked.stdout, "win7-office revision 3 is revoked\n");
    assert_eq!(admin.assignment("win7-office", "test").await["revision"], 1);
    typed(&depot, "revision revoke win7-office 1 --withdraw").await.successful();
    admin.get(&assignment_path("win7-office", "test")).await.expecting(404);
}

async fn channels_are_managed_from_a_terminal(database: Database) {
    let depot = Depot::start(database).await;
    let create = "channel create pilot --promoter publisher --requires-channel test --keep-old 0";
    typed(&depot, create).await.successful();
    let list = typed(&depot, "channel list").await.successful().stdout;
    let lines = rows(&list);
    assert_eq!(lines[1][..6], ["pilot", "pilot", "everyone", "0", "publisher", "test"]);
    assert_eq!(lines[2][..2], ["production", "-"], "the root of the tree");

    let set = "channel set pilot --read authenticated --no-promoters --no-requires-channel";
    let changed = answered(&depot, set).await;
    assert_eq!((&changed["read"], &changed["promoters"]), (&json!("authenticated"), &json!([])));
    assert_eq!((&changed["requires_channel"], &changed["keep_old"]), (&Value::Null, &json!(0)));
    let shown = typed(&depot, "channel show pilot").await.successful().stdout;
    assert!(shown.starts_with("name") && shown.contains("authenticated"), "{shown}");

    depot.admin().published_image("win7-office", "pilot").await;
    assert_eq!(typed(&depot, "channel delete pilot").await.code, 6, "an image is promoted to it");
    typed(&depot, "channel delete pilot --withdraw").await.successful();
    depot.admin().get("/api/v1/channels/pilot").await.expecting(404);
}

async fn a_revision_is_promoted_rolled_back_and_withdrawn(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    let tried = typed(&depot, "promote win7-office 1 production --dry-run").await.successful();
    assert!(
        tried.stdout.contains("would be assigned to production (complete, 100 %"),
        "{}",
        tried.stdout
    );
    admin.get(&assignment_path("win7-office", "production")).await.expecting(404);
    let promote = "promote win7-office 1 production --percent 100 --mandatory --deadline 7days \
                   --note First";
    let promoted = typed(&depot, promote).await.successful().stdout;
    let expected = "win7-office revision 1 is assigned to production (complete, 100 %, epoch 1)\n";
    assert_eq!(promoted, expected);
    let assignment = admin.assignment("win7-office", "production").await;
    assert_eq!((&assignment["mandatory"], &assignment["note"]), (&json!(true), &json!("First")));
    assert!(assignment["deadline"].is_string(), "{assignment}");

    let again = answered(&depot, "promote win7-office 1 production").await;
    assert_eq!(again["epoch"], 1, "nothing differs");
    let again = answered(&depot, "promote win7-office 1 production --again").await;
    assert_eq!(again["epoch"], 2);
    let next = depot.scratch().join("rollout.json");
    std::fs::write(&next, r#"{"percent": 100}"#).expect("write the rollout");
    let next = format!("promote win7-office 2 production --rollout {}", next.display());
    typed(&depot, &next).await.successful();
    let shown = typed(&depot, "rollout show win7-office production").await.successful().stdout;
    assert!(shown.contains("Rollout\n") && shown.contains("percent"), "{shown}");

    let rolled = typed(&depot, "rollback win7-office production --dry-run").await.successful();
    assert!(rolled.stdout.contains("revision 1 would be assigned"), "{}", rolled.stdout);
    let rolled =
        answered(&depot, "rollback win7-office production --note printing~is~broken").await;
    assert_eq!((&rolled["revision"], &rolled["note"]), (&json!(1), &json!("printing is broken")));
    let gone = typed(&depot, "withdraw win7-office production --now").await.successful().stdout;
    assert_eq!(gone, "win7-office is withdrawn from production (epoch 5)\n");
    assert_eq!(typed(&depot, "withdraw win7-office production").await.code, 5, "nothing there");
    assert_history(&depot).await;
}

async fn assert_history(depot: &Depot) {
    depot.admin().promote("win7-office", "test", 1).await.expecting(200);
    let history =
        typed(depot, "history win7-office --channel Production").await.successful().stdout;
    let lines = rows(&history);
    let kinds: Vec<_> = lines[1..].iter().map(|line| (line[4], line[5])).collect();
    assert_eq!(
        kinds,
        [
            ("withdraw", "-"),
            ("rollback", "1"),
            ("promote", "2"),
            ("promote", "1"),
            ("promote", "1")
        ]
    );
    let entries = answered(depot, "history win7-office --limit 1").await["items"].clone();
    assert_eq!((&entries[0]["channel"], &entries[1]), (&json!("test"), &Value::Null));
}

async fn a_rollout_is_changed_stopped_and_explained(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.ready_revision("win7-office", 2).await;
    let promote = "promote win7-office 2 production --percent 0 --canary PC-0815";
    let promoted = typed(&depot, promote).await.successful().stdout;
    let expected = "win7-office revision 2 is assigned to production (rolling, 0 %, epoch 2)\n";
    assert_eq!(promoted, expected);
    let canary = answered(&depot, "check win7-office --revision 1 --client pc-0815").await;
    assert_eq!((&canary["action"], &canary["reason"]), (&json!("update"), &json!("canary")));
    let explain = "check win7-office --revision 1 --client pc-1 --explain";
    let explained = typed(&depot, explain).await.successful().stdout;
    for words in ["held_by_rollout", "bucket", "RULE", "canary", "percentage", "decided"] {
        assert!(explained.contains(words), "{words}: {explained}");
    }

    let set = "rollout set win7-office production --percent 12.5 --note more";
    let changed = typed(&depot, set).await.successful().stdout;
    assert_eq!(changed, "win7-office revision 2 is rolled out in production (rolling, 12.5 %)\n");
    let paused = typed(&depot, "rollout pause win7-office production").await.successful().stdout;
    assert!(
        paused.starts_with("win7-office revision 2 is paused in production (paused"),
        "{paused}"
    );
    let told = answered(&depot, "check win7-office --revision 1 --client pc-0815").await;
    assert_eq!(told["reason"], "paused");
    let shown = typed(&depot, "rollout show win7-office production").await.successful().stdout;
    assert!(
        shown.contains("state") && shown.contains("paused") && shown.contains("more"),
        "{shown}"
    );
    typed(&depot, "rollout resume win7-office production --note mended").await.successful();
    let halt = r#"rollout set win7-office production --rollout {"halted":true}"#;
    let halted = typed(&depot, halt).await.successful().stdout;
    assert!(halted.contains("(halted"), "{halted}");
    let resumed = answered(&depot, "rollout resume win7-office production").await;
    assert_eq!((&resumed["rollout"]["state"], &resumed["epoch"]), (&json!("rolling"), &json!(2)));
    assert_eq!(resumed["note"], "mended");

    // A deadline before the first window is allowed, and hardly meant.
    let windows = r#"{"windows":[{"days":["mon"],"from":"02:00","to":"03:00","zone":"UTC"}]}"#;
    let odd =
        format!("rollout set win7-office production --dry-run --deadline 1s --rollout {windows}");
    let tried = typed(&depot, &odd).await.successful().stdout;
    assert!(tried.contains("would be rolled out") && tried.contains("warning: "), "{tried}");
    let wrong = r#"rollout set win7-office production --rollout {"percent":5,"steps":[]}"#;
    assert_eq!(typed(&depot, wrong).await.code, 2, "422");
    assert_eq!(admin.assignment("win7-office", "production").await["rollout"]["percent"], 12.5);
}

async fn clients_on_record_are_listed_shown_and_deleted(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    for client in ["PC-1", "PC-2", "lab-1"] {
        let group = if client.starts_with("lab") { "&group=lab" } else { "" };
        let check = format!("/api/v1/update-check?image=win7-office&client={client}{group}");
        admin.get(&check).await.expecting(200);
    }
    eventually("they are on record", || async {
        let items = answered(&depot, "client list").await["items"].clone();
        (items.as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    let report = json!({
        "image": "win7-office", "channel": "production", "revision": 1,
        "status": "failed", "error": "no room",
    });
    admin.post("/api/v1/clients/PC-2/reports").json(&report).await.expecting(204);
    let list = typed(&depot, "client list").await.successful().stdout;
    for words in ["first_install", "failed", "lab-1", "127.0.0.1"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let lab = typed(&depot, "client list --group lab --seen-after 1h").await.successful().stdout;
    assert!(lab.contains("lab-1") && !lab.contains("PC-1"), "{lab}");
    let some = answered(&depot, "client list --matching PC-* --limit 1").await["items"].clone();
    assert_eq!((&some[0]["client"], some.as_array().map(Vec::len)), (&json!("PC-1"), Some(1)));
    let shown = typed(&depot, "client show pc-2").await.successful().stdout;
    assert!(shown.contains("PC-2") && shown.contains("no room"), "{shown}");
    let progress = typed(&depot, "rollout show win7-office production").await.successful().stdout;
    assert!(progress.contains("Progress") && progress.contains("failed"), "{progress}");

    let tried = typed(&depot, "client delete --matching PC-* --dry-run").await.successful().stdout;
    assert_eq!(tried, "2 clients would be deleted from the record\n");
    typed(&depot, "client delete lab-1").await.successful();
    typed(&depot, "client delete --matching PC-*").await.successful();
    assert_eq!(typed(&depot, "client list").await.successful().stdout, "");
    assert_eq!(typed(&depot, "client show PC-1").await.code, 5);
}

#[tokio::test]
async fn a_promotion_that_waits_for_approval_is_told() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "test").await;
    typed(&depot, "channel set production --approvals 1").await.successful();
    let asked = typed(&depot, "promote win7-office 1 production").await.successful().stdout;
    assert!(asked.contains("offers the same of win7-office as before"), "{asked}");
    assert!(asked.contains("revision 1 waits for approval"), "{asked}");

    // The one who asked may not approve; another promoter may, and may take it back while others are missing.
    assert_eq!(typed(&depot, "approve win7-office production").await.code, 4);
    let promoter = depot.user_with_role("promoter").await;
    typed(&depot, "channel set production --approvals 2").await.successful();
    typed(&depot, "promote win7-office 1 production").await.successful();
    let other = async |line: &str| {
        let mut command = imagedepot([]);
        command.args(line.split(' '));
        command.env("IMAGEDEPOT_URL", depot.server.url());
        command
            .env("IMAGEDEPOT_USER", "promoter")
            .env("IMAGEDEPOT_PASSWORD", "password of the promoter");
        run(command).await
    };
    let approved = other("approve win7-office production").await.successful().stdout;
    assert!(approved.contains("approved by: promoter"), "{approved}");
    let back = other("approve win7-office production --take-back").await.successful().stdout;
    assert_eq!(back, "your approval for win7-office in production is taken back\n");
    let path = "/api/v1/images/win7-office/channels/production";
    promoter.get(path).await.problem(404);
    typed(&depot, "channel set production --approvals 1").await.successful();
    typed(&depot, "promote win7-office 1 production").await.successful();
    let approved = other("approve win7-office production").await.successful().stdout;
    assert!(approved.starts_with("win7-office revision 1 is assigned to production"), "{approved}");
    let nothing = other("approve win7-office production").await;
    assert!(nothing.stderr.contains("nothing"), "{}", nothing.stderr);
}

#[tokio::test]
async fn clients_are_pinned_from_a_terminal() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    let set = format!("pin set win7-office production PC-0815 {second} --note old~printer");
    let pinned = typed(&depot, &set).await.successful().stdout;
    assert_eq!(pinned, "PC-0815 is offered revision 2\n");
    let answer = answered(&depot, "check win7-office --client pc-0815").await;
    assert_eq!((&answer["reason"], &answer["target"]["revision"]), (&json!("pinned"), &json!(2)));
    let list = typed(&depot, "pin list win7-office production").await.successful().stdout;
    let lines = rows(&list);
    assert_eq!(
        (lines[0][..2].to_vec(), lines[1][..2].to_vec()),
        (vec!["CLIENT", "REVISION"], vec!["PC-0815", "2"])
    );
    assert!(list.contains("old printer"), "{list}");
    let shown = answered(&depot, "pin show win7-office production pc-0815").await;
    assert_eq!((&shown["client"], &shown["revision"]), (&json!("PC-0815"), &json!(2)));
    let gone = typed(&depot, "pin delete win7-office production PC-0815").await.successful().stdout;
    assert_eq!(gone, "PC-0815 follows production again\n");
    assert_eq!(typed(&depot, "pin show win7-office production PC-0815").await.code, 5);
    assert_eq!(typed(&depot, "pin set win7-office production PC-0815 9").await.code, 5);
}

#[tokio::test]
async fn a_check_tells_what_a_client_is_told() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let text = typed(&depot, "check win7-office --client PC-0815").await.successful().stdout;
    for words in ["first_install", "/MEDVImages/win7-office_1.ckm", "check after seconds"] {
        assert!(text.contains(words), "{text}");
    }
    let answer = answered(&depot, "check win7-office --revision 1").await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("none"), &json!("up_to_date")));
    // No credentials are needed where everyone may read.
    let mut anonymous = imagedepot(["check", "win7-office", "--output", "json"]);
    anonymous.env("IMAGEDEPOT_URL", depot.server.url());
    let answer = run(anonymous).await.successful().last_line();
    assert_eq!(answer["target"]["files"][0]["size"], ckm(1).len());
    let at = typed(&depot, "check win7-office --at 7days").await;
    assert!(at.code == 2 && at.stderr.contains("--explain"), "{}", at.stderr);
}

#[tokio::test]
async fn uploads_are_listed_and_cancelled() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let new = json!({"image": "win7-office", "revision": 1, "role": "ckm", "size": 4096});
    let begun = admin.post("/api/v1/uploads").json(&new).await.expecting(201).json();
    let id = begun["id"].as_str().expect("an id");
    let list = typed(&depot, "upload list").await.successful().stdout;
    let lines = rows(&list);
    assert_eq!(lines[1][..8], [id, "win7-office", "1", "ckm", "0", "B", "4.00", "KiB"]);
    let items = answered(&depot, "upload list").await["items"].clone();
    assert_eq!(items[0], begun);
    typed(&depot, &format!("upload cancel {id}")).await.successful();
    assert!(admin.get("/api/v1/uploads").await.items().is_empty());
    assert_eq!(typed(&depot, &format!("upload cancel {id}")).await.code, 5);
}

#[tokio::test]
async fn the_status_is_told_at_a_glance() {
    let depot = Depot::start(Database::Sqlite).await;
    let text = typed(&depot, "status").await.successful().stdout;
    assert!(text.starts_with(&format!("server         {}", depot.server.url())), "{text}");
    for words in ["ready          yes", "degraded       -", "0 open, 0 B received"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(answered(&depot, "status").await["ready"], true);
}

#[tokio::test]
async fn a_refusal_ends_with_its_exit_code_and_its_problem() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    depot.user_with_role("reader").await;
    let before = depot.admin().assignment("win7-office", "production").await;
    for (line, exit, code) in [
        ("image show win7-offce", 5, "image_not_found"),
        ("promote win7-office 7 test", 5, "revision_not_found"),
        ("promote win7-office 1 prodction", 5, "channel_not_found"),
        ("rollback win7-office production", 6, "nothing_to_roll_back_to"),
        ("image create win7-office --kind medv", 6, "name_taken"),
        ("image set win7-office --keep-revisions 0", 2, "invalid_value"),
        ("image show win7-office --user nobody --password wrong", 4, "credentials_wrong"),
        ("withdraw win7-office test", 5, "nothing_assigned"),
    ] {
        let refused = typed(&depot, &format!("{line} --output json")).await;
        assert_eq!(refused.code, exit, "{line}: {}", refused.stderr);
        let problem = refused.last_line();
        assert_eq!(
            (&problem["code"], &problem["exit_code"]),
            (&json!(code), &json!(exit)),
            "{line}"
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{line}: {}", refused.stderr);
    }
    let mut withdraw = imagedepot(["withdraw", "win7-office", "production"]);
    withdraw.args(["--server", &depot.server.url(), "--user", "reader"]);
    withdraw.args(["--password", "password of the reader"]);
    assert_eq!(run(withdraw).await.code, 4);
    assert_eq!(depot.admin().assignment("win7-office", "production").await, before);
    let nothing = typed(&depot, "image set win7-office").await;
    assert!(
        nothing.code == 2 && nothing.stderr.contains("nothing to change"),
        "{}",
        nothing.stderr
    );
}

#[tokio::test]
async fn a_table_fits_the_terminal_and_is_whole_in_a_pipe() {
    let depot = Depot::start(Database::Sqlite).await;
    let long = "an image with a description that no terminal of eighty columns has room for";
    let new = json!({"name": "win7-office", "kind": "medv", "description": long});
    depot.admin().post("/api/v1/images").json(&new).await.expecting(201);
    let piped = run(as_admin(&depot.server.url(), ["image", "list"])).await.successful().stdout;
    assert!(piped.lines().count() == 2 && piped.contains(long), "{piped}");
    let mut terminal = Command::new("script");
    without_own_settings(&mut terminal);
    let command = format!("stty cols 80; {} image list", program());
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let shown = run(to_server(terminal, &depot.server.url())).await.successful().stdout;
    let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(widest <= Some(80) && shown.lines().count() > 2, "{widest:?}: {shown}");
    for word in long.split(' ').chain(["win7-office"]) {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
