//! The record of changes: it tells who did what from where, and shows when somebody has tampered with it.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::{Database, Depot, eventually, on_both_databases, sample};

on_both_databases![
    a_change_tells_who_made_it_and_from_where,
    long_texts_over_and_over_leave_short_rows,
    a_pruned_record_can_still_be_verified,
    an_anchor_that_nobody_recorded_is_found,
    a_record_that_was_tampered_with_is_not_pruned,
    the_sweep_keeps_what_the_settings_keep,
    a_backup_carries_where_a_pruned_record_begins,
    an_untouched_record_is_sound_while_others_write,
    every_kind_of_tampering_is_found,
    a_record_written_anew_is_found_by_what_was_noted_before,
    the_export_is_the_whole_record_in_its_order,
    rows_from_before_the_chain_get_their_places_at_the_next_start,
    refused_log_ins_are_on_record,
    a_stop_takes_no_refused_log_in_along,
];

async fn depot_with_changes(database: Database) -> Depot {
    let depot = Depot::start(database).await;
    for name in ["one", "two", "three", "four"] {
        depot.admin().create_image(name).await;
    }
    depot
}

async fn audit(depot: &Depot, arguments: &[&str]) -> Finished {
    let mut command = imagedepot(["audit"]);
    command.args(arguments).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(command).await
}

/// Does something to the catalog that no program of ours does.
async fn tamper(depot: &Depot, statements: &[&'static str]) {
    let url = depot.environment().into_iter().find(|(name, _)| name.ends_with("CATALOG__URL"));
    for statement in statements {
        if let Some((_, url)) = url.as_ref().filter(|(_, url)| url.starts_with("postgres")) {
            let mut catalog = PgConnection::connect(url).await.expect("the catalog");
            sqlx::query(*statement).execute(&mut catalog).await.expect("tampering");
        } else {
            let url = format!("sqlite:{}", depot.server.data().join("catalog.sqlite").display());
            let mut catalog = SqliteConnection::connect(&url).await.expect("the catalog");
            sqlx::query(*statement).execute(&mut catalog).await.expect("tampering");
        }
    }
}

async fn a_change_tells_who_made_it_and_from_where(database: Database) {
    let depot = depot_with_changes(database).await;
    let rows = depot.admin().get("/api/v1/audit").await.expecting(200).items();
    let row = rows.iter().find(|row| row["subject"] == "images/one").expect("a row");
    assert_eq!((&row["caller"], &row["client_address"]), (&json!("admin"), &json!("127.0.0.1")));
    assert_eq!(row["hash"].as_str().map(str::len), Some(64));
    // What it was and what it is, and nothing of what the change left alone.
    let change = json!({"keep_old": 2});
    depot.admin().patch("/api/v1/channels/production").json(&change).await.expecting(200);
    depot.admin().delete("/api/v1/images/one").await.expecting(204);
    let rows = depot.admin().get("/api/v1/audit?limit=2").await.expecting(200).items();
    let of = |action: &str| rows.iter().find(|row| row["action"] == action).expect("a row");
    let (before, after) = (&of("channel.change")["before"], &of("channel.change")["after"]);
    assert_eq!((&before["read"], &after["read"]), (&Value::Null, &Value::Null));
    assert_eq!((&before["keep_old"], &after["keep_old"]), (&json!(1), &json!(2)));
    assert_eq!(of("image.delete")["before"]["kind"], "medv");
    assert_eq!(of("image.delete")["after"], Value::Null);
}

async fn long_texts_over_and_over_leave_short_rows(database: Database) {
    let depot = depot_with_changes(database).await;
    for text in ["a", "b", "c"] {
        let labels: serde_json::Map<_, _> =
            (0..20).map(|n| (format!("{text}-{n}"), json!(text.repeat(200)))).collect();
        let change = json!({"description": text.repeat(5000), "labels": labels});
        depot.admin().patch("/api/v1/images/one").json(&change).await.expecting(200);
    }
    let rows = depot.admin().get("/api/v1/audit?limit=3").await.expecting(200).items();
    for row in &rows {
        assert!(row.to_string().len() <= 4096, "{} bytes", row.to_string().len());
    }
    let (before, after) = (&rows[0]["before"]["description"], &rows[0]["after"]["description"]);
    assert_eq!((&before["bytes"], &after["bytes"]), (&json!(5000), &json!(5000)));
    let digest = sample::digest("c".repeat(5000).as_bytes());
    assert_eq!(after["sha256"], digest.trim_start_matches("sha256:"));
    audit(&depot, &["verify"]).await.successful();
}

async fn pruned(depot: &Depot) -> Value {
    let rows = depot.admin().get("/api/v1/audit?limit=500").await.expecting(200).items();
    rows.into_iter().find(|row| row["action"] == "audit.prune").expect("a row that tells of it")
}

async fn a_pruned_record_can_still_be_verified(database: Database) {
    let depot = depot_with_changes(database).await;
    let known = newest(&audit(&depot, &["verify"]).await.successful());
    let rows = depot.admin().get("/api/v1/audit?limit=500").await.items();
    let time = rows[1]["at"].as_str().expect("its time").to_owned();
    let said = audit(&depot, &["prune", "--before", &time, "--dry-run"]).await.successful();
    let going = rows.len() - 2;
    assert!(said.stdout.starts_with(&format!("{going} rows would be deleted")), "{}", said.stdout);
    let there = |rows: &[Value]| rows.iter().filter(|row| row["action"] != "audit.prune").count();
    assert_eq!(there(&depot.admin().get("/api/v1/audit?limit=500").await.items()), rows.len());
    audit(&depot, &["prune", "--before", &time]).await.successful();
    assert_eq!(there(&depot.admin().get("/api/v1/audit?limit=500").await.items()), 2);
    let row = pruned(&depot).await;
    assert_eq!((&row["caller"], &row["subject"]), (&json!("system:command-line"), &json!("audit")));
    assert_eq!(row["after"]["rows"], going);
    assert_eq!(row["after"]["hash"], rows[2]["hash"]);
    let verified = audit(&depot, &["verify", "--known", &known]).await.successful().stdout;
    assert!(verified.contains(&format!("begins after its anchor {going}:")), "{verified}");
    // Changes go on, and so does pruning.
    depot.admin().create_image("later").await;
    audit(&depot, &["verify"]).await.successful();
    audit(&depot, &["prune", "--keep", "0s"]).await.successful();
    let last = audit(&depot, &["verify"]).await.successful();
    assert!(last.stdout.contains("\n1 rows; "), "{}", last.stdout);
    // What has gone proves nothing any more.
    let refused = audit(&depot, &["verify", "--known", &known]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("was pruned"), "{}", refused.stdout);
    let of_it = format!("{}:{}", row["after"]["sequence"], row["after"]["hash"]).replace('"', "");
    assert_eq!(audit(&depot, &["verify", "--known", &of_it]).await.code, 1);
    assert_ne!(audit(&depot, &["prune"]).await.code, 0, "it is not told what is to go");
}

async fn an_anchor_that_nobody_recorded_is_found(database: Database) {
    let depot = depot_with_changes(database).await;
    let forged = [
        "insert into audit_head (id, sequence, hash) select 2, sequence, hash from audit where sequence = 3",
        "delete from audit where sequence <= 3",
    ];
    tamper(&depot, &forged).await;
    let verified = audit(&depot, &["verify"]).await;
    assert_eq!(verified.code, 1);
    assert!(verified.stdout.contains("no audit.prune row records that"), "{}", verified.stdout);
}

async fn a_record_that_was_tampered_with_is_not_pruned(database: Database) {
    let depot = depot_with_changes(database).await;
    tamper(&depot, &["update audit set caller = 'eve' where sequence = 3"]).await;
    let refused = audit(&depot, &["prune", "--keep", "0s"]).await;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("after row 2"), "{}", refused.stderr);
    let verified = audit(&depot, &["verify"]).await;
    assert!(verified.stdout.contains("row 3 "), "{}", verified.stdout);
}

async fn the_sweep_keeps_what_the_settings_keep(database: Database) {
    let mut depot = Depot::on(database).setting("audit", "keep", "2s").start().await;
    depot.admin().create_image("one").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    // The first sweep is at once.
    depot.server.restart().await;
    eventually("the oldest rows have gone", || async {
        let rows = depot.admin().get("/api/v1/audit?limit=500").await.expecting(200).items();
        let actions: Vec<_> = rows.iter().map(|row| row["action"].clone()).collect();
        (!actions.contains(&json!("image.create")) && actions.contains(&json!("audit.prune")))
            .then_some(())
    })
    .await;
    assert_eq!(pruned(&depot).await["caller"], "system:sweep");
    audit(&depot, &["verify"]).await.successful();
}

async fn a_backup_carries_where_a_pruned_record_begins(database: Database) {
    let depot = depot_with_changes(database).await;
    audit(&depot, &["prune", "--keep", "0s"]).await.successful();
    let (place, data) = (depot.scratch().join("backup"), depot.scratch().join("restored"));
    let mut backup = imagedepot(["backup", "--to"]);
    backup.arg(&place).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(backup).await.successful();
    let mut restore = imagedepot(["restore", "--from"]);
    restore.arg(&place).arg("--data").arg(&data);
    run(restore).await.successful();
    let mut verify = imagedepot(["audit", "verify", "--data"]);
    verify.arg(&data);
    let verified = run(verify).await.successful();
    assert!(verified.stdout.contains("begins after its anchor "), "{}", verified.stdout);
}

/// SEQUENCE:HASH as `verify` tells it.
fn newest(verified: &Finished) -> String {
    verified.stdout.trim().rsplit(' ').next().expect("the newest row").to_owned()
}

async fn an_untouched_record_is_sound_while_others_write(database: Database) {
    let depot = depot_with_changes(database).await;
    let writing = async {
        for number in 0..20 {
            depot.admin().create_image(&format!("more-{number}")).await;
        }
    };
    let verifying = async {
        for _ in 0..5 {
            audit(&depot, &["verify"]).await.successful();
        }
    };
    tokio::join!(writing, verifying);
    let verified = audit(&depot, &["verify"]).await.successful().stdout;
    let rows = depot.admin().get("/api/v1/audit?limit=500").await.expecting(200).items().len();
    assert!(verified.contains(&format!("{rows} rows")), "{verified}");
}

async fn every_kind_of_tampering_is_found(database: Database) {
    const TAMPERING: [(&[&str], &str); 7] = [
        (
            &["insert into audit (id, at, caller, action, subject) \
               select subject_id, at, 'eve', action, subject from audit, \
               (select id as subject_id from image) as other where sequence = 3 limit 1"],
            "1 rows are not part",
        ),
        (&["update audit set caller = 'eve' where sequence = 3"], "row 3 "),
        (&["update audit set state_after = null where sequence = 3"], "row 3 "),
        (&["delete from audit where sequence = 3"], "rows 3 to 3 "),
        (
            &[
                "update audit set sequence = 1003 where sequence = 3",
                "update audit set sequence = 3 where sequence = 4",
                "update audit set sequence = 4 where sequence = 1003",
            ],
            "row 3 ",
        ),
        (&["delete from audit where sequence = (select max(sequence) from audit)"], "are missing"),
        (&["delete from audit_head"], "no record of the newest"),
    ];
    for (statements, finding) in TAMPERING {
        let depot = depot_with_changes(database).await;
        audit(&depot, &["verify"]).await.successful();
        tamper(&depot, statements).await;
        let verified = audit(&depot, &["verify"]).await;
        assert_eq!(verified.code, 1, "{statements:?}");
        assert!(verified.stdout.contains(finding), "{statements:?}: {}", verified.stdout);
    }
}

async fn a_record_written_anew_is_found_by_what_was_noted_before(database: Database) {
    let depot = depot_with_changes(database).await;
    let known = newest(&audit(&depot, &["verify"]).await.successful());
    depot.admin().create_image("later").await;
    audit(&depot, &["verify", "--known", &known]).await.successful();
    let (sequence, _) = known.split_once(':').expect("SEQUENCE:HASH");
    let another = format!("{sequence}:{}", "0".repeat(64));
    assert_eq!(audit(&depot, &["verify", "--known", &another]).await.code, 1);
    assert_eq!(audit(&depot, &["verify", "--known", "nonsense"]).await.code, 1);
}

async fn the_export_is_the_whole_record_in_its_order(database: Database) {
    let depot = depot_with_changes(database).await;
    let exported = audit(&depot, &["export"]).await.successful().stdout;
    let exported: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut listed = depot.admin().get("/api/v1/audit?limit=500").await.expecting(200).items();
    listed.reverse();
    assert_eq!(exported, listed);
    let rest = audit(&depot, &["export", "--after", "2"]).await.successful().stdout;
    assert_eq!(rest.lines().count(), exported.len() - 2);
}

async fn rows_from_before_the_chain_get_their_places_at_the_next_start(database: Database) {
    let mut depot = depot_with_changes(database).await;
    let before = depot.admin().get("/api/v1/audit").await.expecting(200).items();
    let as_before = [
        "update audit set sequence = null, hash = null",
        "update audit_head set sequence = 0, hash = ''",
    ];
    tamper(&depot, &as_before).await;
    depot.server.restart().await;
    audit(&depot, &["verify"]).await.successful();
    let after = depot.admin().get("/api/v1/audit").await.expecting(200).items();
    let sequences =
        |rows: &[Value]| rows.iter().map(|row| row["sequence"].as_i64()).collect::<Vec<_>>();
    assert_eq!(sequences(&after), sequences(&before));
    tamper(&depot, &["update audit set caller = 'eve' where sequence = 2"]).await;
    assert_eq!(audit(&depot, &["verify"]).await.code, 1);
}

/// Rows of refused log-ins by caller and reason, with how often; equal ones of different seconds are added up.
async fn refused(depot: &Depot) -> Vec<(String, String, u64)> {
    let rows = depot.admin().get("/api/v1/audit?limit=500").await.expecting(200).items();
    let mut found: Vec<(String, String, u64)> = Vec::new();
    for row in rows.iter().filter(|row| row["action"] == "login.refuse") {
        assert_eq!(row["client_address"], "127.0.0.1");
        assert!(row["request_id"].is_string(), "{row}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (caller, reason) = (text(&row["caller"]), text(&row["after"]["reason"]));
        let times = row["after"]["times"].as_u64().expect("a count");
        match found.iter_mut().find(|(who, why, _)| (who, why) == (&caller, &reason)) {
            Some((_, _, count)) => *count += times,
            None => found.push((caller, reason, times)),
        }
    }
    found.sort();
    found
}

async fn refuse_some(depot: &Depot) {
    for _ in 0..3 {
        depot.user("admin", "a wrong word").get("/api/v1/whoami").await.problem(401);
    }
    // A password in the wrong field is nobody's name, and is not kept.
    depot.user("my secret word", "").get("/api/v1/whoami").await.problem(401);
    depot.bearer("no.such.token").get("/api/v1/whoami").await.problem(401);
    // Nothing was tried.
    depot.anonymous().get("/api/v1/whoami").await.problem(401);
}

fn expected() -> Vec<(String, String, u64)> {
    [
        ("(unknown)", "credentials_wrong", 1),
        ("(unknown)", "token_invalid", 1),
        ("admin", "credentials_wrong", 3),
    ]
    .map(|(who, why, times)| (who.to_owned(), why.to_owned(), times))
    .to_vec()
}

async fn refused_log_ins_are_on_record(database: Database) {
    let depot = depot_with_changes(database).await;
    refuse_some(&depot).await;
    // One of each kind at once, the others of that kind with the next row of it.
    eventually("each kind is on record", || async {
        let found = refused(&depot).await;
        (found.len() == 3 && found.iter().all(|(_, _, times)| *times > 0)).then_some(())
    })
    .await;
    assert!(!depot.server.log().contains("my secret word"), "it stands in the log");
    let refused = depot.user("admin", "wrong").get("/api/v1/whoami").await;
    let id = refused.required_header("x-request-id").to_owned();
    assert!(depot.server.log().contains(&id), "a problem's id finds the line in the log");
    audit(&depot, &["verify"]).await.successful();
}

async fn a_stop_takes_no_refused_log_in_along(database: Database) {
    let mut depot = depot_with_changes(database).await;
    refuse_some(&depot).await;
    depot.server.restart().await;
    assert_eq!(refused(&depot).await, expected());
}
