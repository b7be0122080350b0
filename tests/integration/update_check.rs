//! The answers to update checks.

use serde_json::{Value, json};

use crate::harness::actions::{ckm, index};
use crate::harness::{Answer, Database, Depot, on_both_databases, sample};

on_both_databases![
    each_situation_has_its_action_and_reason,
    an_offer_names_files_that_can_be_fetched_and_verified,
    a_client_on_a_revoked_revision_is_told_to_move,
    the_same_answer_is_a_304_until_something_changes,
    each_client_has_a_slot_of_its_own,
    too_many_checks_are_stretched_and_then_refused,
    many_checks_go_into_one_request,
    what_is_unknown_or_malformed_is_refused,
    a_channel_for_the_authenticated_challenges_everyone_else,
    an_image_of_no_right_is_not_there,
    a_name_that_nobody_was_offered_is_no_name_to_visitors,
];

fn said(answer: &Answer) -> (String, String) {
    let answer = answer.clone().expecting(200).json();
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    (text("action"), text("reason"))
}

fn pair(action: &str, reason: &str) -> (String, String) {
    (action.to_owned(), reason.to_owned())
}

async fn each_situation_has_its_action_and_reason(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let anyone = depot.anonymous();
    let ask =
        |revision: u64| anyone.check_for_update("win7-office", "production", revision, "pc-1");
    admin.create_image("win7-office").await;
    let nothing = admin.check_for_update("win7-office", "production", 0, "pc-1").await;
    assert_eq!(said(&nothing), pair("none", "nothing_assigned"));
    assert!(nothing.json()["target"].is_null());

    for seed in 1..=3 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
    admin.promote("win7-office", "production", 2).await.expecting(200);
    assert_eq!(said(&ask(0).await), pair("update", "first_install"));
    assert_eq!(said(&ask(1).await), pair("update", "newer_revision"));
    assert_eq!(said(&ask(2).await), pair("none", "up_to_date"));
    assert_eq!(ask(3).await.json()["action"], "rollback", "above what it is offered");
    admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(said(&ask(2).await), pair("rollback", "rolled_back"));
    assert_eq!(said(&ask(1).await), pair("none", "up_to_date"));
    assert_eq!(said(&ask(0).await), pair("update", "first_install"));
}

async fn a_name_that_nobody_was_offered_is_no_name_to_visitors(database: Database) {
    let depot = Depot::start(database).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let closed = json!({"name": "closed", "read": "authenticated"});
    admin.post("/api/v1/channels").json(&closed).await.expecting(201);
    admin.create_image("secret-1").await;
    admin.published_image("secret-2", "closed").await;
    let unknown = anyone.check_for_update("no-such", "production", 0, "pc-1").await;
    let without_id = |answer: &Answer| {
        let mut document = answer.json();
        document["request_id"] = json!(null);
        document
    };
    for name in ["secret-1", "secret-2"] {
        let answer = anyone.check_for_update(name, "production", 0, "pc-1").await;
        assert_eq!(answer.problem(404), "image_not_found");
        assert_eq!(without_id(&answer), without_id(&unknown), "{name} and a name that is none");
        let both = json!([{"image": name}, {"image": "no-such"}]);
        let answer = anyone.post("/api/v1/update-check").json(&both).await.expecting(200);
        let problems: Vec<_> =
            answer.items().into_iter().map(|item| item["problem"]["detail"].clone()).collect();
        assert_eq!(problems[0], problems[1]);
        let known = admin.check_for_update(name, "production", 0, "pc-1").await;
        assert_eq!(said(&known), pair("none", "nothing_assigned"));
    }
    // What everyone may read elsewhere is no secret here.
    admin.published_image("open", "test").await;
    let elsewhere = anyone.check_for_update("open", "production", 0, "pc-1").await;
    assert_eq!(said(&elsewhere), pair("none", "nothing_assigned"));
}

async fn an_offer_names_files_that_can_be_fetched_and_verified(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "test").await;
    let offer = depot.anonymous().check_for_update("win7-office", "test", 0, "pc-1").await.json();
    assert_eq!(offer["image"], "win7-office");
    assert_eq!(offer["channel"], "test");
    assert_eq!(offer["epoch"], admin.assignment("win7-office", "test").await["epoch"]);
    assert_eq!((&offer["mandatory"], &offer["deadline"]), (&json!(false), &Value::Null));
    assert_eq!(offer["target"]["revision"], 1);
    let files = offer["target"]["files"].as_array().expect("files");
    let roles: Vec<_> = files.iter().map(|file| &file["role"]).collect();
    assert_eq!(roles, ["ckm", "index"]);
    for (file, bytes) in files.iter().zip([ckm(1), index(1)]) {
        assert_eq!(
            (&file["size"], &file["digest"]),
            (&json!(bytes.len()), &json!(sample::digest(&bytes)))
        );
        let url = file["url"].as_str().expect("a URL");
        assert!(url.starts_with("/MEDVImages/test/"), "{url}");
        assert!(depot.anonymous().get(url).await.expecting(200).body == bytes, "{url}");
    }
    let current = depot.anonymous().check_for_update("win7-office", "test", 1, "pc-1").await.json();
    assert_eq!(current["current"], 1);
}

async fn a_client_on_a_revoked_revision_is_told_to_move(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    admin.revoke("win7-office", 1).await.expecting(200);
    let told = depot.anonymous().check_for_update("win7-office", "production", 1, "pc-1").await;
    assert_eq!(said(&told), pair("update", "revision_revoked"));
}

async fn the_same_answer_is_a_304_until_something_changes(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let path = "/api/v1/update-check?image=win7-office&channel=production&revision=1&client=pc-1";
    let first = depot.anonymous().get(path).await.expecting(200);
    let etag = first.required_header("etag").to_owned();
    // The seconds until the slot change all the time; the tag leaves them out.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let repeat = depot.anonymous().get(path).header("If-None-Match", &etag).await.expecting(304);
    assert_eq!(repeat.required_header("etag"), etag);
    for answer in [&first, &repeat] {
        let seconds: u64 = answer.required_header("check-after").parse().expect("seconds");
        assert!((30..=930).contains(&seconds), "{seconds}");
    }
    assert_eq!(
        first.json()["check_after_seconds"].to_string(),
        first.required_header("check-after")
    );
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    let changed = depot.anonymous().get(path).header("If-None-Match", &etag).await.expecting(200);
    assert_eq!(said(&changed), pair("update", "newer_revision"));
    assert_ne!(changed.required_header("etag"), etag);
}

async fn each_client_has_a_slot_of_its_own(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let anyone = depot.anonymous();
    let mut slots = Vec::new();
    for number in 0..200 {
        let client = format!("pc-{number}");
        let answer = anyone.check_for_update("win7-office", "production", 1, &client).await;
        let wait = answer.expecting(200).json()["check_after_seconds"].as_u64().expect("seconds");
        assert!((30..=930).contains(&wait), "{client}: {wait}");
        slots.push(wait);
    }
    slots.sort_unstable();
    let median = slots[slots.len() / 2];
    assert!((330..=630).contains(&median), "the slots are not spread: {slots:?}");
    slots.dedup();
    assert!(slots.len() > 120, "only {} different slots for 200 clients", slots.len());

    // A client that comes again a little later is sent to the same moment.
    let when = || async {
        let answer = anyone.check_for_update("win7-office", "production", 1, "pc-7").await.json();
        let wait = answer["check_after_seconds"].as_u64().expect("seconds");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        (now.expect("after 1970").as_secs() + wait) % 900
    };
    let first = when().await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let apart = (when().await + 900 - first) % 900;
    assert!(apart <= 1 || apart >= 899, "the slot moved by {apart} seconds");
}

async fn many_checks_go_into_one_request(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("win10-till", "test").await;
    let checks = json!([
        {"image": "win7-office", "channel": "production", "revision": 1, "client": "pc-1"},
        {"image": "win10-till", "channel": "test", "client": "pc-1"},
        {"image": "win10-till", "channel": "production", "revision": 0, "client": "pc-1"},
    ]);
    let answer = depot.anonymous().post("/api/v1/update-check").json(&checks).await.expecting(200);
    let answers = answer.json();
    let answers = answers.as_array().or_else(|| answers["items"].as_array()).expect("a list");
    let said: Vec<_> = answers.iter().map(|one| (&one["image"], &one["reason"])).collect();
    let expected = [
        (json!("win7-office"), json!("up_to_date")),
        (json!("win10-till"), json!("first_install")),
        (json!("win10-till"), json!("nothing_assigned")),
    ];
    assert_eq!(said, expected.each_ref().map(|(image, reason)| (image, reason)));
}

async fn what_is_unknown_or_malformed_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let anyone = depot.anonymous();
    for query in [
        "image=no-such&channel=production&client=pc-1",
        "image=win7-office&channel=no-such&client=pc-1",
    ] {
        anyone.get(&format!("/api/v1/update-check?{query}")).await.problem(404);
    }
    let impossible = "image=..%2fx&channel=production&client=pc-1";
    anyone.get(&format!("/api/v1/update-check?{impossible}")).await.problem_of(&[400, 404, 422]);
    for query in [
        "",
        "channel=production&client=pc-1",
        "image=win7-office&channel=production&client=pc-1&revision=x",
        "image=win7-office&channel=production&client=pc-1&revision=-1",
        "image=win7-office&channel=production&client=a%20b",
        "image=win7-office&channel=production&client=",
    ] {
        anyone.get(&format!("/api/v1/update-check?{query}")).await.problem_of(&[400, 422]);
    }
    let too_long = format!("image=win7-office&channel=production&client={}", "x".repeat(65));
    anyone.get(&format!("/api/v1/update-check?{too_long}")).await.problem_of(&[400, 422]);
}

async fn a_channel_for_the_authenticated_challenges_everyone_else(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let closed = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/production").json(&closed).await.expecting(200);
    let check = "/api/v1/update-check?image=win7-office&channel=production&client=pc-1";
    let client = depot.user_with_role("client").await;
    for path in [check, "/MEDVImages/win7-office_1.ckm", "/MEDVImages/channel.json"] {
        // 401 and a challenge, never 403: BITS sends credentials only when it is asked for them.
        let refused = depot.anonymous().get(path).await;
        refused.problem(401);
        assert!(refused.required_header("www-authenticate").starts_with("Basic "), "{path}");
        client.get(path).await.expecting(200);
    }
    admin.promote("win7-office", "test", 1).await.expecting(200);
    let open = "/api/v1/update-check?image=win7-office&channel=test&client=pc-1";
    depot.anonymous().get(open).await.expecting(200);
}

async fn an_image_of_no_right_is_not_there(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("secret-lab", "production").await;
    let closed = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/production").json(&closed).await.expecting(200);
    let user = json!({"name": "pc", "password": "a client's password", "roles": ["client"],
                      "images": ["win7-*"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let pc = depot.user("pc", "a client's password");
    pc.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    pc.get_tree("win7-office_1.ckm").await.expecting(200);
    pc.check_for_update("secret-lab", "production", 0, "pc-1").await.problem(404);
    pc.get_tree("secret-lab_1.ckm").await.problem(404);
}

async fn too_many_checks_are_stretched_and_then_refused(database: Database) {
    let depot = Depot::on(database)
        .setting("checks", "stretch_above", "20")
        .setting("checks", "hard_limit", "60")
        .start()
        .await;
    depot.admin().published_image("win7-office", "production").await;
    let ask = |n: usize| {
        let anyone = depot.anonymous();
        async move { anyone.check_for_update("win7-office", "production", 1, &format!("pc-{n}")).await }
    };
    let answers = futures_util::future::join_all((0..300).map(ask)).await;
    let after = |answer: &Answer| -> u64 {
        answer.required_header("check-after").parse().expect("a number of seconds")
    };
    let waits: Vec<u64> = answers.iter().filter(|answer| answer.status == 200).map(after).collect();
    // At three times the rate that the server likes, a client asks once in three periods of 900 s. On a busy machine the
    // checks come in two seconds, and the second one knows how many came in the first: 300 at most, 15 times the rate.
    assert!(waits.iter().any(|wait| *wait > 930), "{waits:?}");
    assert!(waits.iter().all(|wait| (30..=930 * 15).contains(wait)), "{waits:?}");
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty(), "300 checks at once are more than 60 in some second");
    for answer in refused {
        assert_eq!(answer.problem(503), "too_many_checks");
        let retry: u64 = answer.required_header("retry-after").parse().expect("seconds");
        assert!((30..=930).contains(&retry), "{retry}");
    }
}
