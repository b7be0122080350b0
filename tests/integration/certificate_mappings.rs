//! Certificate mappings are managed: by the API, on the command line, and with the users that they lead to.

use serde_json::{Value, json};

use crate::harness::command::{imagedepot, run};
use crate::harness::issued::certificate;
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_mapping_is_made_shown_and_deleted,
    mappings_are_listed_in_the_order_in_which_they_are_asked,
    what_is_no_mapping_is_refused_with_its_reason,
    a_user_whom_certificates_are_mapped_to_stays,
    mappings_are_managed_on_the_command_line,
];

const PATH: &str = "/api/v1/certificate-mappings";

fn one(name: &str) -> String {
    format!("{PATH}/{name}")
}

async fn by_rule(admin: &Person, name: &str, position: Option<u64>) -> Answer {
    let rules = json!([{"field": "subject", "attribute": "OU", "match": "Sales*"}]);
    let mut mapping = json!({"name": name, "user": "admin", "rules": rules});
    if let Some(position) = position {
        mapping["position"] = json!(position);
    }
    admin.post(PATH).json(&mapping).await
}

async fn a_mapping_is_made_shown_and_deleted(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let issued = certificate("alice").issue();
    let mapping = json!({"name": "Alice-1", "user": "admin", "certificate": issued.pem});
    let made = admin.post(PATH).json(&mapping).await.expecting(201);
    assert_eq!(made.required_header("location"), one("Alice-1"));
    let shown = admin.get(&one("alice-1")).await.expecting(200);
    let body = shown.json();
    assert_eq!(body, made.json());
    assert_eq!((&body["user"], &body["deny"]), (&json!("admin"), &json!(false)));
    assert_eq!((&body["subject"], &body["issuer"]), (&json!("CN=alice"), &json!("CN=alice")));
    let pem = body["certificate"].as_str().expect("PEM").replace('\n', "");
    assert_eq!(pem, issued.pem.replace(['\r', '\n'], ""));
    let tag = shown.required_header("etag").to_owned();
    let other = admin.delete(&one("Alice-1")).header("If-Match", "\"other\"").await;
    assert_eq!(other.problem(412), "precondition_failed");
    admin.delete(&one("Alice-1")).header("If-Match", &tag).await.expecting(204);
    assert_eq!(admin.get(&one("Alice-1")).await.problem(404), "certificate_mapping_not_found");
    assert_eq!(admin.delete(&one("Alice-1")).await.problem(404), "certificate_mapping_not_found");
    let audit = admin.get("/api/v1/audit?limit=2").await.expecting(200).items();
    assert_eq!(audit[0]["action"], "certificate_mapping.delete");
    assert_eq!(audit[1]["action"], "certificate_mapping.create");
    assert_eq!(audit[1]["subject"], "certificate-mappings/Alice-1");
    assert_eq!(audit[1]["after"]["fingerprint"], body["fingerprint"]);
    assert_eq!(audit[0]["before"], audit[1]["after"]);
}

async fn mappings_are_listed_in_the_order_in_which_they_are_asked(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (name, position) in [("b", None), ("c", None), ("a", Some(1)), ("d", Some(3))] {
        let made = by_rule(&admin, name, position).await.expecting(201).json();
        assert!(position.is_none_or(|position| made["position"] == position), "{made}");
    }
    let pem = certificate("alice").issue().pem;
    let own = json!({"name": "z", "user": "admin", "certificate": pem});
    admin.post(PATH).json(&own).await.expecting(201);
    assert_eq!(listed(&admin).await, ["z -", "a 1", "b 2", "d 3", "c 4"]);
    admin.delete(&one("b")).await.expecting(204);
    assert_eq!(listed(&admin).await, ["z -", "a 1", "d 2", "c 3"]);
    // Only places where there is something before or behind.
    for position in [0, 5] {
        let refused = by_rule(&admin, "e", Some(position)).await;
        assert_eq!(refused.problem(422), "invalid_value");
    }
    by_rule(&admin, "e", Some(4)).await.expecting(201);
}

/// Name and position of each, page by page.
async fn listed(admin: &Person) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?limit=2{cursor}")).await.expecting(200);
        for mapping in page.items() {
            let position = mapping["position"].as_i64().map_or("-".to_owned(), |n| n.to_string());
            found.push(format!("{} {position}", mapping["name"].as_str().expect("a name")));
        }
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn what_is_no_mapping_is_refused_with_its_reason(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let issued = certificate("alice").issue();
    let (pem, key) = (issued.pem, issued.key);
    let rule = |rule: Value| json!({"user": "admin", "rules": [rule]});
    let cn = |pattern: &str| json!({"field": "subject", "attribute": "CN", "match": pattern});
    let damaged = pem.replacen("MII", "MIJ", 1);
    for (mut mapping, reason) in [
        (json!({"user": "admin"}), "give either"),
        (json!({"user": "admin", "certificate": pem, "rules": [cn("x")]}), "give either"),
        (json!({"user": "admin", "rules": []}), "1 to 20"),
        (json!({"rules": [cn("x")]}), "name the user"),
        (json!({"user": "nobody", "rules": [cn("x")]}), "no user nobody"),
        (json!({"user": "admin", "certificate": pem, "position": 1}), "position"),
        (json!({"user": "admin", "certificate": format!("{pem}{pem}")}), "several"),
        (json!({"user": "admin", "certificate": key}), "a private key must stay"),
        (json!({"user": "admin", "certificate": format!("{pem}{key}")}), "a private key must stay"),
        (json!({"user": "admin", "certificate": damaged}), "malformed"),
        (json!({"user": "admin", "certificate": &pem[..200]}), "does not end"),
        (json!({"user": "admin", "certificate": ""}), "no certificate in it"),
        (rule(cn("")), "1 to 256"),
        (rule(json!({"field": "subject", "attribute": "dns", "match": "x"})), "object identifier"),
        (rule(json!({"field": "san", "attribute": "CN", "match": "x"})), "dns, email"),
        (rule(json!({"field": "serial", "attribute": "CN", "match": "x"})), "serial"),
        (rule(json!({"field": "subject", "attribute": "CN"})), "match"),
        (
            rule(json!({"field": "subject", "attribute": "CN", "match": "x", "regex": true})),
            "regex",
        ),
        (json!({"user": "admin", "rules": [cn("x")], "allow": true}), "allow"),
    ] {
        mapping["name"] = json!("m");
        let refused = admin.post(PATH).json(&mapping).await;
        assert_eq!(refused.problem(422), "invalid_value", "{mapping}");
        let detail = refused.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(reason), "{mapping}: {detail}");
        assert!(!detail.contains(key.lines().nth(1).expect("its second line")), "{detail}");
    }
    let mut bad_name = rule(cn("x"));
    bad_name["name"] = json!("a/b");
    assert_eq!(admin.post(PATH).json(&bad_name).await.problem(422), "invalid_value");
    assert_eq!(admin.get(PATH).await.expecting(200).items(), [Value::Null; 0]);
    // Names are unique, and so is what a certificate stands for.
    let mapping = json!({"name": "m", "user": "admin", "certificate": pem});
    admin.post(PATH).json(&mapping).await.expecting(201);
    assert_eq!(by_rule(&admin, "M", None).await.problem(409), "name_taken");
    let again = json!({"name": "n", "user": "admin", "certificate": pem});
    let refused = admin.post(PATH).json(&again).await;
    assert_eq!(refused.problem(409), "certificate_mapped");
    assert!(refused.text().contains("the mapping m;"), "{}", refused.text());
}

async fn a_user_whom_certificates_are_mapped_to_stays(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    depot.user_with_role("client").await;
    let rules = json!([{"field": "subject", "attribute": "CN", "match": "*"}]);
    for (name, deny) in [("lets-in", false), ("refuses", true)] {
        let mapping = json!({"name": name, "user": "client", "deny": deny, "rules": rules});
        admin.post(PATH).json(&mapping).await.expecting(201);
    }
    let refused = admin.delete("/api/v1/users/client").await;
    assert_eq!(refused.problem(409), "user_mapped");
    let text = refused.text();
    assert!(text.contains("lets-in") && !text.contains("refuses"), "{text}");
    admin.delete(&one("lets-in")).await.expecting(204);
    let before = admin.get(&one("refuses")).await.expecting(200);
    assert_eq!(before.json()["user"], "client");
    admin.delete("/api/v1/users/client").await.expecting(204);
    // What refuses goes on to, whomever it was written for.
    let after = admin.get(&one("refuses")).await.expecting(200);
    assert_eq!((&after.json()["user"], &after.json()["deny"]), (&json!(null), &json!(true)));
    assert_ne!(before.required_header("etag"), after.required_header("etag"));
}

async fn mappings_are_managed_on_the_command_line(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = depot.scratch().join("alice.pem");
    std::fs::write(&file, certificate("alice").issue().pem).expect("write the certificate");
    let file = file.display().to_string();
    let command = |words: &[&str]| {
        let mut command = imagedepot(["certificate-mapping"]);
        command.args(words).arg("--data").arg(depot.server.data()).envs(depot.environment());
        run(command)
    };
    command(&["add", "alice", "--user", "admin", "--certificate", &file]).await.successful();
    let sales = ["add", "sales", "--user", "admin", "--rule", "subject.OU=Sales*", "--ignore-case"];
    command(&sales).await.successful();
    let lost = [
        "add",
        "lost",
        "--deny",
        "--rule",
        "subject.CN=lost",
        "--rule",
        "san.dns=*",
        "--position",
        "1",
    ];
    command(&lost).await.successful();
    let shown = command(&["list"]).await.successful().stdout;
    let lines: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["MAPPING", "POSITION", "USER", "CERTIFICATES"]);
    assert_eq!(lines[1][..4], ["alice", "-", "admin", "CN=alice"]);
    assert!(lines[1][4].starts_with("sha256:"), "{shown}");
    assert_eq!(lines[2], ["lost", "1", "denied", "subject.CN=lost", "and", "san.dns=*"]);
    assert_eq!(lines[3], ["sales", "2", "admin", "subject.OU=Sales*", "(any", "case)"]);
    let listed = admin.get(PATH).await.expecting(200).items();
    assert_eq!(listed[2]["rules"][0]["case_sensitive"], false);
    command(&["remove", "alice"]).await.successful();
    eventually("the server's list follows", || async {
        (admin.get(PATH).await.items().len() == 2).then_some(())
    })
    .await;
    for wrong in [
        &["add", "x", "--user", "admin"][..],
        &["add", "x", "--rule", "subject.CN=x"],
        &["add", "x", "--user", "nobody", "--rule", "subject.CN=x"],
        &["add", "x", "--user", "admin", "--rule", "CN=x"],
        &["add", "x", "--user", "admin", "--certificate", "/no/such.pem"],
        &["remove", "x"],
    ] {
        let refused = command(wrong).await;
        assert!(refused.code > 0 && !refused.stderr.is_empty(), "{wrong:?}");
    }
}
