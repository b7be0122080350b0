//! API tokens: how they are made, what they open, how they end.

use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use std::future::IntoFuture as _;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path};
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};
use crate::uploads::{begin, depot_with_a_publisher_s_draft};

on_both_databases![
    a_token_is_shown_once_and_good_until_it_is_revoked,
    a_token_opens_what_it_was_made_for_and_nothing_else,
    a_token_expires_by_itself,
    a_token_s_life_is_bounded,
    nobody_gives_a_token_more_images_than_it_has,
    a_token_and_a_user_of_one_name_are_two_callers,
    a_name_is_one_living_token_s,
    a_token_is_kept_nowhere,
    the_use_of_a_token_is_noted_once_an_hour,
];

pub const TOKENS: &str = "/api/v1/tokens";

/// Makes a token and hands out its id and itself.
pub async fn make(maker: &Person, new: &Value) -> (String, String) {
    let made = maker.post(TOKENS).json(new).await.expecting(201).json();
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    (text("id"), text("token"))
}

/// A 401 that says as RFC 6750 has it that it is about the token, and names the other ways in, too.
#[track_caller]
pub fn assert_refused(answer: &Answer, code: &str) {
    assert_eq!(answer.problem(401), code, "{}", answer.text());
    let challenges: Vec<_> = answer
        .headers
        .get_all("www-authenticate")
        .iter()
        .map(|value| value.to_str().expect("plain text"))
        .collect();
    let [basic, bearer] = challenges.as_slice() else { panic!("{challenges:?}") };
    assert!(basic.starts_with("Basic realm="), "{basic}");
    assert!(
        bearer.starts_with("Bearer ") && bearer.contains("error=\"invalid_token\""),
        "{bearer}"
    );
}

/// `imagedepot token …` on the same catalog as the server.
pub async fn token_command<const N: usize>(depot: &Depot, arguments: [&str; N]) -> Finished {
    let mut command = imagedepot(["token"]);
    command.args(arguments).arg("--data").arg(depot.server.data());
    command.envs(depot.environment());
    run(command).await
}

async fn a_token_is_shown_once_and_good_until_it_is_revoked(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let new = json!({"name": "packer", "roles": ["reader"]});
    let made = admin.post(TOKENS).json(&new).await.expecting(201);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let (id, text) = (made.json()["id"].clone(), made.json()["token"].clone());
    let (id, text) = (id.as_str().expect("an id"), text.as_str().expect("a token"));
    let path = format!("{TOKENS}/{id}");
    assert_eq!(made.required_header("location"), path);
    let shown = admin.get(&path).await.expecting(200);
    admin.get(&path).header("If-None-Match", shown.required_header("etag")).await.expecting(304);
    let packer = depot.bearer(text);
    let me = packer.get("/api/v1/whoami").await.expecting(200).json();
    assert_eq!((&me["name"], &me["roles"]), (&json!("token:packer"), &json!(["reader"])));
    assert_eq!((&me["way_in"], &me["token"]), (&json!("bearer"), &json!(id)));

    let list = admin.get(TOKENS).await.expecting(200);
    for answer in [&list, &shown] {
        assert!(!answer.text().contains("eyJ"), "{}", answer.text());
    }
    assert_eq!(list.items().len(), 1);
    assert_eq!(shown.json()["created_by"], "admin");

    admin.delete(&path).header("If-Match", "\"another\"").await.problem(412);
    packer.get("/api/v1/images").await.expecting(200);
    admin.delete(&path).await.expecting(204);
    assert_refused(&packer.get("/api/v1/images").await, "token_invalid");
    assert_eq!(admin.get(&path).await.problem(410), "token_revoked");
    admin.delete(&path).await.problem(410);
    assert_eq!(admin.get(TOKENS).await.items().len(), 0);
    let all = admin.get(&format!("{TOKENS}?revoked=true")).await.items();
    assert!(all.len() == 1 && all[0]["revoked_at"].is_string(), "{all:?}");
    let audit = admin.get("/api/v1/audit").await.expecting(200).items();
    for action in ["token.create", "token.revoke"] {
        let found = audit.iter().find(|row| row["action"] == action).expect("an audit row");
        assert_eq!(found["subject"], format!("tokens/{id}"));
    }
}

async fn a_token_opens_what_it_was_made_for_and_nothing_else(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let locked = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/production").json(&locked).await.expecting(200);
    admin.published_image("win7-office", "production").await;
    admin.published_image("secret-lab", "production").await;
    let new = json!({"name": "office", "roles": ["publisher"], "images": ["win7-*"]});
    let office = depot.bearer(&make(&admin, &new).await.1);
    let list = office.get("/api/v1/images").await.expecting(200).items();
    assert!(list.len() == 1 && list[0]["name"] == "win7-office", "{list:?}");
    office.get("/api/v1/images/secret-lab").await.problem(404);
    office.get(&file_path("secret-lab", 1, "ckm")).await.problem(404);
    office.post("/api/v1/images").json(&json!({"name": "x", "kind": "medv"})).await.problem(403);
    // In the tree as well, in the pieces in which BITS fetches.
    let piece = office.get("/MEDVImages/win7-office_1.ckm").header("Range", "bytes=5-99");
    assert_eq!(piece.await.expecting(206).body, ckm(1)[5..100]);
    office.get("/MEDVImages/secret-lab_1.ckm").await.expecting(404);
    depot.anonymous().get("/MEDVImages/win7-office_1.ckm").await.expecting(401);
    // A publisher's rights and no administrator's.
    let draft = office.draft("win7-office").await;
    office.put_file("win7-office", draft, "ckm", &ckm(2)).await.expecting(201);
    for path in ["/api/v1/users", TOKENS, "/api/v1/audit"] {
        office.get(path).await.problem(403);
    }
    office.post(TOKENS).json(&new).await.problem(403);
    office.promote("win7-office", "production", 1).await.problem(403);
    let audit = admin.get("/api/v1/audit").await.items();
    let created = audit.iter().find(|row| row["action"] == "revision.create").expect("a row");
    assert_eq!(created["caller"], "token:office");
}

/// On PostgreSQL: servers do not share an SQLite file.
#[tokio::test]
async fn a_token_is_known_and_void_on_every_replica_within_two_seconds() {
    let depot = Depot::start(Database::Postgres).await;
    let replica = depot.replica("replica").await;
    let admin = depot.admin();
    let (id, text) = make(&admin, &json!({"name": "packer", "roles": ["reader"]})).await;
    let there = Person::with_token(&replica.url(), &text);
    within_two_seconds(|| async { there.get("/api/v1/images").await.status == 200 }).await;
    admin.delete(&format!("{TOKENS}/{id}")).await.expecting(204);
    within_two_seconds(|| async { there.get("/api/v1/images").await.status == 401 }).await;
    assert_refused(&there.get("/api/v1/images").await, "token_invalid");
    // Keys that are made by a command reach both, too.
    let (_, text) = make(&admin, &json!({"name": "packer", "roles": ["reader"]})).await;
    let there = Person::with_token(&replica.url(), &text);
    within_two_seconds(|| async { there.get("/api/v1/images").await.status == 200 }).await;
    token_command(&depot, ["rotate-key", "--retire"]).await.successful();
    within_two_seconds(|| async { there.get("/api/v1/images").await.status == 401 }).await;
}

async fn within_two_seconds<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !holds().await {
        assert!(Instant::now() < deadline, "it takes longer than two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

async fn a_token_expires_by_itself(database: Database) {
    let depot = Depot::start(database).await;
    let expires_at = now() + TimeDelta::seconds(3);
    let new = json!({"name": "packer", "roles": ["reader"], "expires_at": expires_at});
    let (_, text) = make(&depot.admin(), &new).await;
    let packer = depot.bearer(&text);
    packer.get("/api/v1/images").await.expecting(200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_refused(&packer.get("/api/v1/images").await, "token_expired");
    let list = depot.admin().get(TOKENS).await.items();
    assert_eq!(
        list.len(),
        1,
        "an expired token is shown, so that its holder's name is not a riddle"
    );
}

async fn a_token_s_life_is_bounded(database: Database) {
    let depot = Depot::on(database)
        .setting("access__tokens", "lifetime", "2days")
        .setting("access__tokens", "longest_lifetime", "10days")
        .start()
        .await;
    let admin = depot.admin();
    let until = |days: i64| {
        let expires_at = now() + TimeDelta::days(days);
        json!({"name": format!("until-{days}"), "roles": ["reader"], "expires_at": expires_at})
    };
    for days in [11, 100_000, 0, -1] {
        assert_eq!(admin.post(TOKENS).json(&until(days)).await.problem(422), "invalid_value");
    }
    admin.post(TOKENS).json(&until(9)).await.expecting(201);
    let new = json!({"name": "packer", "roles": ["reader"]});
    let made = admin.post(TOKENS).json(&new).await.expecting(201).json();
    let time = |field: &str| {
        let text = made[field].as_str().expect("a time");
        DateTime::parse_from_rfc3339(text).expect("RFC 3339")
    };
    let life = time("expires_at") - time("created_at");
    assert!((life - TimeDelta::days(2)).abs() <= TimeDelta::seconds(1), "{life}");
    for wrong in [
        json!({"name": "x", "roles": []}),
        json!({"name": "a:b", "roles": ["reader"]}),
        json!({"name": "x", "roles": ["king"]}),
        json!({"name": "x", "roles": ["reader"], "images": ["a/b"]}),
        json!({"name": "x", "roles": ["reader"], "token": "mine"}),
        json!({"name": "x"}),
    ] {
        admin.post(TOKENS).json(&wrong).await.problem(422);
    }
    admin.get(&format!("{TOKENS}/no-id")).await.problem(404);
    admin.get(&format!("{TOKENS}/0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6f")).await.problem(404);
}

async fn nobody_gives_a_token_more_images_than_it_has(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let user = json!({"name": "lead", "password": "the lead's password", "roles": ["admin"],
                      "images": ["win7-*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let lead = depot.user("lead", "the lead's password");
    let (all, _) = make(&admin, &json!({"name": "all", "roles": ["reader"]})).await;
    for images in [json!([]), json!(["*"]), json!(["win7*"]), json!(["win7-x", "lab"])] {
        let wide = json!({"name": "wide", "roles": ["reader"], "images": images});
        assert_eq!(lead.post(TOKENS).json(&wide).await.problem(403), "forbidden");
    }
    lead.post(TOKENS).json(&json!({"name": "wide", "roles": ["reader"]})).await.problem(403);
    let narrow = json!({"name": "narrow", "roles": ["admin"], "images": ["win7-o*"]});
    let (_, text) = make(&lead, &narrow).await;
    // The same holds for what a token makes.
    let child = json!({"name": "child", "roles": ["reader"], "images": ["win7-*"]});
    depot.bearer(&text).post(TOKENS).json(&child).await.problem(403);
    let brief =
        json!({"name": "brief", "roles": ["admin"], "expires_at": now() + TimeDelta::hours(1)});
    let (_, text) = make(&admin, &brief).await;
    let outliving =
        json!({"name": "b", "roles": ["reader"], "expires_at": now() + TimeDelta::hours(2)});
    depot.bearer(&text).post(TOKENS).json(&outliving).await.problem(422);
    let (id, _) = make(&depot.bearer(&text), &json!({"name": "b", "roles": ["reader"]})).await;
    let ends = admin.get(&format!("{TOKENS}/{id}")).await.json()["expires_at"].clone();
    let list = admin.get(TOKENS).await.items();
    let brief = list.iter().find(|token| token["name"] == "brief").expect("the maker");
    assert_eq!(ends, brief["expires_at"]);
    // Others' tokens are none of its business.
    let seen = lead.get(TOKENS).await.expecting(200).items();
    assert!(seen.len() == 1 && seen[0]["name"] == "narrow", "{seen:?}");
    lead.get(&format!("{TOKENS}/{all}")).await.problem(404);
    lead.delete(&format!("{TOKENS}/{all}")).await.problem(404);
    assert_eq!(admin.get(TOKENS).await.items().len(), 4);
}

async fn a_token_and_a_user_of_one_name_are_two_callers(database: Database) {
    let (depot, admin, user) = depot_with_a_publisher_s_draft(database).await;
    let new = json!({"name": "publisher", "roles": ["publisher"]});
    let token = depot.bearer(&make(&admin, &new).await.1);
    let location = begin(&user, 300_000).await;
    user.get(&location).await.expecting(200);
    token.get(&location).await.problem(404);
    token.delete(&location).await.problem(404);
    // A draft of one is not the other's to delete.
    let draft = user.draft("win7-office").await;
    let path = format!("/api/v1/images/win7-office/revisions/{draft}");
    token.delete(&path).await.problem(403);
    user.delete(&path).await.expecting(204);
    // Nor does a repeat by one get the other's answer.
    let post = |person: &Person| {
        person.post("/api/v1/images/win7-office/revisions").header("Idempotency-Key", "1")
    };
    let first = post(&user).await.expecting(201);
    let second = post(&token).await.expecting(201);
    assert_ne!(first.json()["number"], second.json()["number"]);
    assert_eq!(post(&token).await.json()["number"], second.json()["number"]);
    assert_eq!(second.json()["created_by"], "token:publisher");
}

async fn a_name_is_one_living_token_s(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let new = json!({"name": "packer", "roles": ["publisher"]});
    let (id, _) = make(&admin, &new).await;
    let taken = json!({"name": "PACKER", "roles": ["reader"]});
    assert_eq!(admin.post(TOKENS).json(&taken).await.problem(409), "name_taken");
    admin.delete(&format!("{TOKENS}/{id}")).await.expecting(204);
    make(&admin, &new).await;
    // Of many at once one gets the name, and all keys are one.
    let racing = json!({"name": "racing", "roles": ["reader"]});
    let calls = (0..8).map(|_| admin.post(TOKENS).json(&racing).into_future());
    let answers = futures_util::future::join_all(calls).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)));
    let keys = depot.anonymous().get("/api/v1/keys").await.json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
}

async fn a_token_is_kept_nowhere(database: Database) {
    let access_log = tempfile::NamedTempFile::new().expect("a file");
    let depot = Depot::on(database)
        .setting("log", "level", "trace")
        .setting("log", "access", &access_log.path().display().to_string())
        .start()
        .await;
    let admin = depot.admin();
    let new = json!({"name": "packer", "roles": ["publisher"]});
    let post = || admin.post(TOKENS).header("Idempotency-Key", "once").json(&new);
    let text = post().await.expecting(201).json()["token"].as_str().expect("a token").to_owned();
    // A repeat makes no second one, and learns why it sees none.
    assert_eq!(post().await.problem(409), "idempotency_unanswered");
    assert_eq!(admin.get(TOKENS).await.items().len(), 1);
    let packer = depot.bearer(&text);
    packer.create_image("win7-office").await;
    packer.get("/api/v1/users").await.problem(403);
    depot.bearer(&format!("{text}x")).get("/api/v1/whoami").await.problem(401);
    let signature = text.rsplit('.').next().expect("a signature");
    assert!(!depot.server.log().contains(signature), "the log has the token");
    let audit = admin.get("/api/v1/audit").await.expecting(200);
    assert!(!String::from_utf8_lossy(&audit.body).contains(signature));
    let mut search = Command::new("grep");
    search.args(["-r", "--binary-files=text", "-l", signature]);
    search.arg(depot.scratch()).arg(access_log.path());
    assert_eq!(run(search).await.stdout, "", "the token stands in a file");
    if let Some((_, url)) =
        depot.environment().iter().find(|(name, _)| name == "IMAGEDEPOT__CATALOG__URL")
    {
        let mut dump = Command::new("sh");
        dump.args(["-c", "pg_dump --inserts \"$0\" | grep -c -F -- \"$1\"", url, signature]);
        assert_eq!(run(dump).await.stdout.trim(), "0", "the token stands in the database");
    }
}

async fn the_use_of_a_token_is_noted_once_an_hour(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let (id, text) = make(&admin, &json!({"name": "packer", "roles": ["reader"]})).await;
    let path = format!("{TOKENS}/{id}");
    let used = async || admin.get(&path).await.expecting(200).json()["last_used_at"].clone();
    assert_eq!(used().await, Value::Null);
    depot.bearer(&text).get("/api/v1/images").await.expecting(200);
    let first =
        eventually("its use is noted", || async { Some(used().await).filter(Value::is_string) })
            .await;
    for _ in 0..20 {
        depot.bearer(&text).get("/api/v1/images").await.expecting(200);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(used().await, first);
}
