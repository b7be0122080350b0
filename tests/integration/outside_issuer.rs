//! JWTs of an outside OpenID Connect issuer, a real one: taken, refused, and what happens while it is away or
//! changes its keys.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::issuer::{AUDIENCE, Issuer};
use crate::harness::{Answer, Database, Depot, eventually, on_both_databases};
use crate::tokens::assert_refused;

on_both_databases![programs_of_an_outside_issuer_come_with_its_tokens];

fn settings(issuer: &Issuer, more: &str) -> String {
    format!(
        "[access.oidc]\nissuer = '{}'\naudience = '{AUDIENCE}'\nroles_claim = 'depot.groups'\n\
         algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA']\n{more}\n\
         [[access.oidc.grant]]\nvalue = 'depot-publishers'\nroles = ['publisher']\n\
         [[access.oidc.grant]]\nvalue = 'depot-office'\nroles = ['reader', 'admin']\nimages = ['win7-*']\n",
        issuer.url()
    )
}

/// A depot and an issuer that it knows.
async fn setting(database: Database, more: &str) -> (Depot, Issuer, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut issuer = Issuer::in_folder(folder.path());
    issuer.start().await;
    let depot = Depot::on(database).settings_file(&settings(&issuer, more)).start().await;
    (depot, issuer, folder)
}

async fn whoami(depot: &Depot, token: &str) -> Answer {
    depot.bearer(token).get("/api/v1/whoami").await
}

async fn programs_of_an_outside_issuer_come_with_its_tokens(database: Database) {
    let (depot, issuer, _folder) = setting(database, "").await;
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let client = format!("packer-{algorithm}");
        let token = issuer.token(&client, AUDIENCE).await;
        let me = whoami(&depot, &token).await.expecting(200).json();
        assert_eq!(me["name"], format!("oidc:{client}"));
        assert_eq!((&me["roles"], &me["way_in"]), (&json!(["publisher"]), &json!("bearer")));
        assert_eq!((&me["images"], &me["token"]), (&json!([]), &Value::Null));
    }
    let packer = depot.bearer(&issuer.token("packer-RS256", AUDIENCE).await);
    packer.create_image("win7-office").await;
    packer.create_image("secret-lab").await;
    packer.draft("win7-office").await;
    let audit = depot.admin().get("/api/v1/audit").await.items();
    assert_eq!(audit[0]["caller"], "oidc:packer-RS256");
    packer.get("/api/v1/users").await.problem(403);
    let office = depot.bearer(&issuer.token("office-RS256", AUDIENCE).await);
    office.get("/api/v1/images/win7-office").await.expecting(200);
    office.get("/api/v1/images/secret-lab").await.problem(404);
    // A good token that gives nothing is known here and may do nothing, not even where all that is asked for
    // is to be somebody.
    let locked = json!({"read": "authenticated"});
    depot.admin().patch("/api/v1/channels/production").json(&locked).await.expecting(200);
    let stranger = depot.bearer(&issuer.token("stranger-RS256", AUDIENCE).await);
    assert_eq!(stranger.get("/api/v1/whoami").await.problem(403), "token_without_grant");
    stranger.get("/MEDVImages/channel.json").await.problem(403);
}

#[tokio::test]
async fn a_name_at_the_issuer_is_no_user_here() {
    let (depot, issuer, _folder) = setting(Database::Sqlite, "").await;
    let user = json!({"name": "packer-RS256", "password": "a password of its own", "roles": ["publisher"]});
    depot.admin().post("/api/v1/users").json(&user).await.expecting(201);
    let user = depot.user("packer-RS256", "a password of its own");
    user.create_image("win7-office").await;
    let draft = user.draft("win7-office").await;
    let outsider = depot.bearer(&issuer.token("packer-RS256", AUDIENCE).await);
    let path = format!("/api/v1/images/win7-office/revisions/{draft}");
    outsider.delete(&path).await.problem(403);
    user.delete(&path).await.expecting(204);
}

/// Returns the claims of a valid token of the issuer, with the changes.
fn claims(issuer: &Issuer, changes: &Value) -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let mut claims = json!({
        "iss": issuer.url(), "aud": AUDIENCE, "sub": "mallory", "iat": now, "exp": now + 600,
        "depot": {"groups": ["depot-publishers"]},
    });
    for (name, value) in changes.as_object().expect("changes") {
        match value {
            Value::Null => claims.as_object_mut().expect("claims").remove(name),
            value => claims.as_object_mut().expect("claims").insert(name.clone(), value.clone()),
        };
    }
    claims.to_string()
}

const HEAD: &str = r#"{"alg":"RS256","typ":"at+jwt","kid":"KID"}"#;

#[tokio::test]
async fn tokens_of_the_issuer_that_are_not_for_here_or_not_now_are_refused() {
    let (depot, issuer, _folder) = setting(Database::Sqlite, "").await;
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    // The forgery itself is good, or the refusals below would prove nothing.
    for good in
        [json!({}), json!({"aud": ["x", AUDIENCE]}), json!({"exp": now - 20}), json!({"nbf": now})]
    {
        let token = issuer.forge(HEAD, &claims(&issuer, &good), "RS256").await;
        whoami(&depot, &token).await.expecting(200);
    }
    for (change, code) in [
        (json!({"exp": now - 120}), "token_expired"),
        (json!({"exp": null}), "token_invalid"),
        (json!({"exp": "tomorrow"}), "token_invalid"),
        (json!({"exp": -1}), "token_invalid"),
        (json!({"nbf": now + 300}), "token_invalid"),
        (json!({"nbf": "later"}), "token_invalid"),
        (json!({"aud": "urn:example:another"}), "token_invalid"),
        (json!({"aud": []}), "token_invalid"),
        (json!({"aud": null}), "token_invalid"),
        (json!({"iss": "https://login.example.com"}), "token_invalid"),
        (json!({"iss": format!("{}/", issuer.url())}), "token_invalid"),
        (json!({"iss": null}), "token_invalid"),
        (json!({"sub": null}), "token_invalid"),
        (json!({"sub": ""}), "token_invalid"),
        (json!({"sub": "mallory\nadmin"}), "token_invalid"),
        (json!({"sub": "a b"}), "token_invalid"),
        (json!({"sub": "x".repeat(300)}), "token_invalid"),
        (json!({"sub": ["admin"]}), "token_invalid"),
        (json!({"padding": "x".repeat(20_000)}), "token_invalid"),
    ] {
        let token = issuer.forge(HEAD, &claims(&issuer, &change), "RS256").await;
        let answer = whoami(&depot, &token).await;
        assert!(answer.status == 401, "{change}: {}", answer.text());
        assert_refused(&answer, code);
    }
    for none in [json!({"depot": null}), json!({"depot": {"groups": ["Depot-Publishers"]}})] {
        let token = issuer.forge(HEAD, &claims(&issuer, &none), "RS256").await;
        assert_eq!(whoami(&depot, &token).await.problem(403), "token_without_grant");
    }
    // A claim that stands twice: which of the two would count?
    let plain = claims(&issuer, &json!({}));
    for twice in [
        plain.replacen('{', r#"{"sub":"admin","#, 1),
        plain.replacen('{', r#"{"exp":99999999999,"#, 1),
        plain.replacen('{', r#"{"depot":{"groups":["depot-office"]},"#, 1),
        plain.replace(r#""groups":"#, r#""groups":["depot-office"],"groups":"#),
    ] {
        let token = issuer.forge(HEAD, &twice, "RS256").await;
        assert_refused(&whoami(&depot, &token).await, "token_invalid");
    }
}

#[tokio::test]
async fn no_head_talks_the_server_into_another_key_or_algorithm() {
    let (depot, issuer, _folder) = setting(Database::Sqlite, "").await;
    let plain = claims(&issuer, &json!({}));
    let good = issuer.forge(HEAD, &plain, "RS256").await;
    whoami(&depot, &good).await.expecting(200);
    let public = issuer.public_keys().await;
    let rsa = public.iter().find(|key| key["alg"] == "RS256").expect("an RSA key");
    // An attacker's own key, offered in the head itself.
    for head in [
        json!({"alg": "RS256", "kid": "KID", "typ": "logout+jwt"}),
        json!({"alg": "RS256", "kid": "KID", "typ": "dpop+jwt"}),
        json!({"alg": "RS256", "kid": "KID", "crit": ["exp"]}),
        json!({"alg": "PS256", "kid": "KID"}),
        json!({"alg": "RS512", "kid": "KID"}),
        json!({"alg": "ES256", "kid": "KID"}),
        json!({"alg": "none", "kid": "KID"}),
        json!({"alg": "HS256", "kid": "KID"}),
        json!({"alg": "RS256", "kid": "another"}),
        json!({"alg": "RS256", "kid": "../keys", "jku": "http://127.0.0.1:9/keys"}),
        json!({"alg": "RS256", "kid": "another", "jwk": rsa}),
        json!({"alg": "RS256", "kid": "x".repeat(1000)}),
        json!({"alg": "RS256", "kid": 7}),
        json!({"alg": "RS256", "kid": "KID", "typ": "imagedepot-token+jwt"}),
        json!({"kid": "KID"}),
    ] {
        let token = issuer.forge(&head.to_string(), &plain, "RS256").await;
        let answer = whoami(&depot, &token).await;
        let is_unknown = head["kid"].as_str().is_some_and(|kid| kid != "KID");
        if is_unknown && answer.status == 503 {
            // Within ten seconds of a fetch: the issuer may have a new key by now.
            assert_eq!(answer.problem(503), "issuer_away");
            assert!(answer.header("retry-after").is_some());
            continue;
        }
        assert!(answer.status == 401, "{head}: {}", answer.text());
        assert_refused(&answer, "token_invalid");
    }
    // Keys that a head offers are not looked at, and do no harm where the signature is the issuer's.
    let offered = json!({"alg": "RS256", "kid": "KID", "jwk": rsa, "x5u": "http://127.0.0.1:9/"});
    let token = issuer.forge(&offered.to_string(), &plain, "RS256").await;
    whoami(&depot, &token).await.expecting(200);
    // The public key, taken for a shared secret.
    let head: jsonwebtoken::Header =
        serde_json::from_value(json!({"alg": "HS256", "kid": rsa["kid"]})).expect("a head");
    let body: Value = serde_json::from_str(&plain).expect("claims");
    let modulus = rsa["n"].as_str().expect("a modulus");
    for secret in [modulus.as_bytes(), rsa.to_string().as_bytes()] {
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let forged = jsonwebtoken::encode(&head, &body, &key).expect("a token");
        assert_refused(&whoami(&depot, &forged).await, "token_invalid");
    }
    // Another key of the issuer, for the first one's id.
    let crossed = format!(r#"{{"alg":"RS256","kid":{}}}"#, rsa["kid"]);
    let token = issuer.forge(&crossed, &plain, "PS256").await;
    assert_refused(&whoami(&depot, &token).await, "token_invalid");
}

#[tokio::test]
async fn new_keys_of_the_issuer_are_fetched_and_old_ones_forgotten() {
    let (depot, mut issuer, _folder) = setting(Database::Sqlite, "").await;
    let old = issuer.token("packer-RS256", AUDIENCE).await;
    whoami(&depot, &old).await.expecting(200);
    // The fetch at the start keeps the next one off for a while.
    tokio::time::sleep(Duration::from_secs(11)).await;
    issuer.stop();
    issuer.forget_keys();
    issuer.start().await;
    let new = issuer.token("packer-RS256", AUDIENCE).await;
    whoami(&depot, &new).await.expecting(200);
    // Within ten seconds of a fetch nobody knows whether there is a newer key: the client is to come again.
    let soon = whoami(&depot, &old).await;
    assert_eq!(soon.problem(503), "issuer_away");
    assert!(soon.header("retry-after").is_some());
    // Made-up key ids do not make the server ask again and again.
    for number in 0..100 {
        let head = json!({"alg": "RS256", "kid": format!("made-up-{number}")}).to_string();
        let token = issuer.forge(&head, &claims(&issuer, &json!({})), "RS256").await;
        let answer = whoami(&depot, &token).await;
        assert!([401, 503].contains(&answer.status), "{}", answer.text());
    }
    assert!(issuer.fetched().await <= 2, "{} fetches", issuer.fetched().await);
}

#[tokio::test]
async fn the_keys_stay_good_for_a_while_without_the_issuer() {
    let (depot, mut issuer, _folder) = setting(Database::Sqlite, "keys_kept = '16s'").await;
    let token = issuer.token("packer-RS256", AUDIENCE).await;
    whoami(&depot, &token).await.expecting(200);
    issuer.stop();
    for _ in 0..5 {
        whoami(&depot, &token).await.expecting(200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // But not for ever: nobody could take a stolen key back.
    let answer = eventually("the keys are too old", || async {
        let answer = whoami(&depot, &token).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.problem(503), "issuer_away");
    assert!(answer.header("retry-after").is_some());
    issuer.start().await;
    eventually("the issuer's keys are back", || async {
        (whoami(&depot, &token).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_issuer_that_starts_later_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut issuer = Issuer::in_folder(folder.path());
    let depot = Depot::on(Database::Sqlite).settings_file(&settings(&issuer, "")).start().await;
    let text = "eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
    assert_eq!(whoami(&depot, text).await.problem(503), "issuer_away");
    // Everybody else comes in as ever.
    depot.admin().get("/api/v1/whoami").await.expecting(200);
    issuer.start().await;
    let token = issuer.token("packer-EdDSA", AUDIENCE).await;
    eventually("the issuer's keys are there", || async {
        (whoami(&depot, &token).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_an_issuer_set_outside_tokens_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut issuer = Issuer::in_folder(folder.path());
    issuer.start().await;
    let depot = Depot::start(Database::Sqlite).await;
    let token = issuer.token("packer-RS256", AUDIENCE).await;
    assert_refused(&whoami(&depot, &token).await, "token_invalid");
    assert_eq!(issuer.fetched().await, 0, "whoever is not set is not asked");
}
