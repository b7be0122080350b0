//! Mirrors at other sites: each tells what it has, and a reader sees how far each of them is.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::harness::command::{imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_mirror_tells_how_far_it_is_and_a_reader_sees_it,
    a_mirror_is_behind_after_a_promotion_and_current_when_it_tells_the_new_sequence,
    a_channel_that_is_not_there_is_recorded_like_any_other,
    who_may_tell_read_and_delete,
    what_a_mirror_may_not_tell_is_refused_by_the_fields_name,
    a_name_is_one_without_regard_to_case,
    the_list_is_read_in_pages_and_by_pattern,
    a_mirror_that_was_recorded_survives_a_kill,
    a_backup_leaves_mirrors_out_and_they_tell_it_again,
    beyond_the_limit_the_mirror_that_was_silent_for_the_longest_time_goes,
];

fn path(name: &str) -> String {
    format!("/api/v1/mirrors/{name}")
}

async fn tell(person: &Person, name: &str, channels: Value) -> Answer {
    let told = json!({"version": "0.1.0", "kind": "copy", "channels": channels, "bytes": 5000});
    person.put(&path(name)).json(&told).await
}

/// A mirror of the channel `production` that has this sequence.
async fn tell_sequence(person: &Person, name: &str, sequence: i64) -> Answer {
    tell(person, name, json!([{"channel": "production", "sequence": sequence}])).await
}

async fn mirrors(person: &Person, query: &str) -> Vec<Value> {
    person.get(&format!("/api/v1/mirrors{query}")).await.expecting(200).items()
}

/// The names of the mirrors in a list, in its order.
async fn names(person: &Person, query: &str) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().expect("a name").to_owned();
    mirrors(person, query).await.iter().map(name).collect()
}

/// The sequence of the channel `production`.
async fn sequence(admin: &Person) -> i64 {
    let channel = admin.get("/api/v1/channels/production").await.expecting(200).json();
    channel["sequence"].as_i64().expect("a sequence")
}

async fn a_mirror_tells_how_far_it_is_and_a_reader_sees_it(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let (mirror, reader) =
        (depot.user_with_role("client").await, depot.user_with_role("reader").await);
    let now = sequence(&admin).await;
    let told = json!({"kind": "on_demand", "channels": [], "bytes": 0});
    let first = mirror.put(&path("Berlin-2")).json(&told).await.expecting(201).json();
    assert_eq!(first["version"], Value::Null);
    let told = json!({
        "version": "0.2.0", "kind": "copy", "bytes": 5000, "bytes_missing": 300,
        "channels": [{"channel": "production", "sequence": now}, {"channel": "Test", "sequence": 0}],
        "error": format!("  no\troom\n{}", "x".repeat(2000)),
    });
    let answer = mirror.put(&path("Berlin-2")).json(&told).await.expecting(200).json();
    let seen = mirrors(&reader, "").await;
    assert_eq!(json!(seen), json!([answer]));
    let fields = ["name", "kind", "version", "bytes", "bytes_missing", "reported_by"];
    let shown: Vec<_> = fields.iter().map(|field| answer[*field].clone()).collect();
    assert_eq!(json!(shown), json!(["Berlin-2", "copy", "0.2.0", 5000, 300, "client"]));
    let production = json!({"channel": "production", "sequence": now, "channel_sequence": now,
                            "is_current": true, "current_at": answer["reported_at"]});
    assert_eq!(answer["channels"][0], production);
    assert_eq!(answer["channels"][1]["channel"], "Test");
    let error = answer["error"].as_str().expect("an error");
    assert!(error.starts_with("no room x") && error.len() < 1000, "{error}");
    // It is well again, and a report says all that there is.
    tell_sequence(&mirror, "Berlin-2", now).await.expecting(200);
    let seen = mirrors(&reader, "").await;
    assert_eq!((&seen[0]["error"], &seen[0]["bytes_missing"]), (&Value::Null, &json!(0)));
    assert_eq!(seen[0]["channels"].as_array().map(Vec::len), Some(1));
    let audit = admin.get("/api/v1/audit?limit=500").await.expecting(200).text();
    assert!(!audit.contains("mirrors/"), "what is told every minute is not in the audit");
}

async fn a_mirror_is_behind_after_a_promotion_and_current_when_it_tells_the_new_sequence(
    database: Database,
) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let mirror = depot.user_with_role("client").await;
    let old = sequence(&admin).await;
    let told = tell_sequence(&mirror, "berlin", old).await.expecting(201).json();
    let current_at = told["channels"][0]["current_at"].clone();
    let state = async || {
        let seen = mirrors(&admin, "").await;
        let channel = &seen[0]["channels"][0];
        json!([channel["sequence"], channel["channel_sequence"], channel["is_current"]])
    };
    assert_eq!(state().await, json!([old, old, true]));

    let revision = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", revision).await.expecting(200);
    let new = sequence(&admin).await;
    assert!(new > old);
    assert_eq!(state().await, json!([old, new, false]), "without a word of the mirror");
    let told = tell_sequence(&mirror, "berlin", old).await.expecting(200).json();
    assert_eq!(told["channels"][0]["is_current"], false);
    assert_eq!(told["channels"][0]["current_at"], current_at, "when it was current last");
    tell_sequence(&mirror, "berlin", new).await.expecting(200);
    assert_eq!(state().await, json!([new, new, true]));
    // A sequence that the channel never had is that of another catalog.
    tell_sequence(&mirror, "berlin", new + 1).await.expecting(200);
    assert_eq!(state().await, json!([new + 1, new, false]));
}

async fn a_channel_that_is_not_there_is_recorded_like_any_other(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.post("/api/v1/channels").json(&json!({"name": "lab"})).await.expecting(201);
    let shown = admin.get("/api/v1/channels/lab").await.expecting(200).json();
    let held = json!([{"channel": "lab", "sequence": shown["sequence"]}]);
    let told = tell(&admin, "berlin", held.clone()).await.expecting(201).json();
    assert_eq!(told["channels"][0]["is_current"], true);
    admin.delete("/api/v1/channels/lab").await.expecting(204);
    for answer in [mirrors(&admin, "").await.remove(0), tell(&admin, "berlin", held).await.json()] {
        let channel = &answer["channels"][0];
        let state = json!([channel["channel_sequence"], channel["is_current"]]);
        assert_eq!(state, json!([null, false]), "{answer}");
        assert_eq!(channel["current_at"], told["reported_at"]);
    }
}

async fn who_may_tell_read_and_delete(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, client) = (depot.admin(), depot.user_with_role("client").await);
    let reader = depot.user_with_role("reader").await;
    let refused = tell_sequence(&depot.anonymous(), "berlin", 1).await;
    assert_eq!(refused.problem(401), "credentials_required");
    tell_sequence(&client, "berlin", 1).await.expecting(201);
    assert_eq!(client.get("/api/v1/mirrors").await.problem(403), "forbidden");
    assert_eq!(depot.anonymous().get("/api/v1/mirrors").await.problem(401), "credentials_required");
    for person in [&client, &reader] {
        assert_eq!(person.delete(&path("berlin")).await.problem(403), "forbidden");
    }
    // A mirror has the images of others, too.
    let token = json!({"name": "office", "roles": ["admin"], "images": ["win7-*"]});
    let made = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let limited = depot.bearer(made["token"].as_str().expect("a token"));
    for answer in [
        tell_sequence(&limited, "berlin", 1).await,
        limited.get("/api/v1/mirrors").await,
        limited.delete(&path("berlin")).await,
    ] {
        assert_eq!(answer.problem(403), "forbidden");
    }
    assert_eq!(names(&reader, "").await, ["berlin"]);

    assert_eq!(admin.delete(&path("hamburg")).await.problem(404), "mirror_not_found");
    admin.delete(&path("Berlin")).await.expecting(204);
    assert_eq!(admin.delete(&path("berlin")).await.problem(404), "mirror_not_found");
    assert_eq!(names(&reader, "").await, [""; 0]);
    let rows = admin.get("/api/v1/audit").await.expecting(200).items();
    let deleted: Vec<_> = rows.iter().filter(|row| row["action"] == "mirror.delete").collect();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0]["subject"], "mirrors/berlin");
    assert_eq!(deleted[0]["before"]["reported_by"], "client");
    // It comes back with its next report.
    tell_sequence(&client, "berlin", 1).await.expecting(201);
}

async fn what_a_mirror_may_not_tell_is_refused_by_the_fields_name(database: Database) {
    let depot = Depot::start(database).await;
    let client = depot.user_with_role("client").await;
    let fine = json!({"kind": "copy", "channels": [], "bytes": 1});
    let with = |field: &str, value: Value| {
        let mut told = fine.clone();
        told[field] = value;
        told
    };
    let without = |field: &str| {
        let mut told = fine.clone();
        told.as_object_mut().expect("an object").remove(field);
        told
    };
    let channel = |name: &str, sequence: i64| json!({"channel": name, "sequence": sequence});
    let many: Vec<_> = (0..101).map(|n| channel(&format!("c-{n}"), 1)).collect();
    for (told, words) in [
        (without("kind"), "kind"),
        (without("channels"), "channels"),
        (without("bytes"), "bytes"),
        (with("kind", json!("proxy")), "on_demand"),
        (with("bytes", json!(-1)), "bytes:"),
        (with("bytes", json!(1_u64 << 53)), "bytes:"),
        (with("bytes_missing", json!(-1)), "bytes_missing:"),
        (with("version", json!("")), "version:"),
        (with("version", json!("1\n2")), "version:"),
        (with("version", json!("1".repeat(65))), "version:"),
        (with("channels", json!([channel("production", -1)])), "sequence:"),
        (with("channels", json!([channel("a", 1), channel("A", 2)])), "channels: names A twice"),
        (with("channels", json!(many)), "channels:"),
        (with("channels", json!([channel("../x", 1)])), "a channel's name"),
        (with("channels", json!([{"channel": "production"}])), "sequence"),
        (with("channels", json!([{"channel": "a", "sequence": 1, "epoch": 2}])), "epoch"),
        (with("name", json!("berlin")), "name"),
        (with("error", json!("a\u{0}b")), "NUL"),
    ] {
        let answer = client.put(&path("berlin")).json(&told).await;
        assert_eq!(answer.problem(422), "invalid_value", "{told}");
        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(words), "{told}: {detail}");
    }
    for name in ["a%20b", "%C3%A4", "a:b", &"x".repeat(65)] {
        let answer = client.put(&path(name)).json(&fine).await;
        assert_eq!(answer.problem(422), "invalid_value", "{name}");
        assert!(answer.text().contains("a mirror's name must have"), "{}", answer.text());
    }
    let answer = client.put(&path("berlin")).body("{").header("Content-Type", "application/json");
    assert_eq!(answer.await.problem(400), "malformed_json");
    assert_eq!(client.put(&path("berlin")).body("a=b").await.problem(415), "json_expected");
    let answer = client.put(&path("berlin")).json(&with("error", json!("x".repeat(40_000)))).await;
    assert_eq!(answer.problem(413), "body_too_large");
    assert_eq!(names(&depot.admin(), "").await, [""; 0]);
    for name in ["a.", "_", "-x", &"x".repeat(64)] {
        client.put(&path(name)).json(&fine).await.expecting(201);
    }
}

async fn a_name_is_one_without_regard_to_case(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    tell_sequence(&admin, "Berlin", 1).await.expecting(201);
    tell_sequence(&admin, "BERLIN", 2).await.expecting(200);
    let seen = mirrors(&admin, "").await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (&seen[0]["name"], &seen[0]["channels"][0]["sequence"]),
        (&json!("BERLIN"), &json!(2))
    );
}

async fn the_list_is_read_in_pages_and_by_pattern(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut expected = Vec::new();
    for number in 10..25 {
        // In the order of bytes, whatever the database's language says of hyphens.
        let name = if number % 2 == 0 { format!("a-{number}") } else { format!("A.{number}") };
        tell_sequence(&admin, &name, 1).await.expecting(201);
        expected.push(name);
    }
    expected.sort_by_key(|name| name.to_lowercase());
    tell_sequence(&admin, "b_1", 1).await.expecting(201);
    tell_sequence(&admin, "b-1", 1).await.expecting(201);
    let (mut read, mut path) = (Vec::new(), "/api/v1/mirrors?limit=4&q=a*".to_owned());
    loop {
        let page = admin.get(&path).await.expecting(200);
        assert!(page.items().len() <= 4);
        read.extend(page.items().iter().map(|item| item["name"].as_str().expect("it").to_owned()));
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        path = format!("/api/v1/mirrors?limit=4&q=a*&cursor={cursor}");
    }
    assert_eq!(read, expected);
    for (query, expected) in [
        ("?q=b_*", vec!["b_1"]),
        ("?q=B-1", vec!["b-1"]),
        ("?q=b", vec![]),
        ("?q=*-1", vec!["b-1"]),
        ("?q=*-1*&limit=1", vec!["a-10"]),
    ] {
        assert_eq!(names(&admin, query).await, expected, "{query}");
    }
    for query in ["?q=", "?q=%00*", "?q=a%20b"] {
        let refused = admin.get(&format!("/api/v1/mirrors{query}")).await;
        assert_eq!(refused.problem(400), "bad_query", "{query}");
    }
    let refused = admin.get("/api/v1/mirrors?channel=test").await;
    assert_eq!(refused.problem(400), "unknown_parameter");
    admin.get("/api/v1/mirrors?cursor=abc").await.problem(400);
}

async fn a_mirror_that_was_recorded_survives_a_kill(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let now = sequence(&admin).await;
    for number in 0..20 {
        let held = if number < 5 { now - 1 } else { now };
        tell_sequence(&admin, &format!("site-{number}"), held).await.expecting(201);
    }
    let before = mirrors(&admin, "").await;
    depot.server.kill();
    depot.server.start_again().await;
    assert_eq!(mirrors(&depot.admin(), "").await, before);
    eventually("the metrics say how many are behind", || async {
        let text = depot.admin().get("/metrics").await.expecting(200).text();
        let told = ["imagedepot_mirrors 20", "imagedepot_mirrors_behind 5"];
        told.iter().all(|told| text.lines().any(|line| line == *told)).then_some(())
    })
    .await;
}

async fn a_backup_leaves_mirrors_out_and_they_tell_it_again(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    tell_sequence(&admin, "only-in-the-record", sequence(&admin).await).await.expecting(201);
    let place = depot.scratch().join("backup");
    let mut command = imagedepot(["backup", "--to"]);
    command.arg(&place).arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(command).await.successful();
    let catalogs = place.join("catalogs");
    let is_rows = |name: &String| Path::new(name).extension().is_some_and(|end| end == "jsonl");
    let rows = files_below(&catalogs).into_keys().find(is_rows);
    let rows = std::fs::read_to_string(catalogs.join(rows.expect("rows"))).expect("the rows");
    assert!(rows.contains("win7-office") && !rows.contains("only-in-the-record"));

    let from = place.display().to_string();
    let restored = Depot::on(database).after(&["restore", "--from", &from]).start().await;
    let admin = restored.admin();
    assert_eq!(names(&admin, "").await, [""; 0]);
    tell_sequence(&admin, "only-in-the-record", sequence(&admin).await).await.expecting(201);
}

/// Has the record filled with mirrors that told something long ago, the first of them last.
async fn fill_record(depot: &Depot, database: Database, count: u32) {
    let time = match database {
        Database::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f+00:00', '2020-01-01', -n || ' seconds')",
        Database::Postgres => "timestamptz '2020-01-01T00:00:00Z' - make_interval(secs => n)",
    };
    let sql = AssertSqlSafe(format!(
        "with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < {count}) \
         insert into mirror (name_key, name, kind, channels, bytes, bytes_missing, reported_by, reported_at) \
         select 'old-' || n, 'old-' || n, 'copy', '[]', 0, 0, 'somebody', {time} from numbers"
    ));
    let done = match database {
        Database::Sqlite => {
            let path = depot.server.data().join("catalog.sqlite");
            let url = format!("sqlite:{}", path.display());
            let mut catalog = SqliteConnection::connect(&url).await.expect("the catalog");
            sqlx::query(sql).execute(&mut catalog).await.map(|done| done.rows_affected())
        }
        Database::Postgres => {
            let url = depot.catalog().url();
            let mut catalog = PgConnection::connect(&url).await.expect("the catalog");
            sqlx::query(sql).execute(&mut catalog).await.map(|done| done.rows_affected())
        }
    };
    assert_eq!(done.expect("the rows"), u64::from(count));
}

async fn beyond_the_limit_the_mirror_that_was_silent_for_the_longest_time_goes(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    fill_record(&depot, database, 9_999).await;
    tell_sequence(&admin, "first", 1).await.expecting(201);
    tell_sequence(&admin, "old-9999", 1).await.expecting(200);
    assert_eq!(names(&admin, "?q=old-999*&limit=500").await.len(), 11, "none has gone");
    for name in ["second", "third"] {
        tell_sequence(&admin, name, 1).await.expecting(201);
    }
    let kept = ["old-999", "old-9990", "old-9991", "old-9992", "old-9993", "old-9994", "old-9995"];
    let kept: Vec<_> = kept.into_iter().chain(["old-9996", "old-9999"]).collect();
    assert_eq!(names(&admin, "?q=old-999*&limit=500").await, kept);
    assert_eq!(names(&admin, "?q=*d").await, ["second", "third"]);
    assert_eq!(names(&admin, "?q=first").await, ["first"]);
}
