//! Tokens that somebody made up, changed, or got elsewhere: each refused, with a reason and without harm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::harness::{Database, Depot, on_both_databases};
use crate::tokens::{assert_refused, make};

on_both_databases![
    a_token_that_was_changed_is_refused,
    no_algorithm_but_the_key_s_own_is_taken,
    a_token_of_another_depot_is_refused,
    what_is_no_token_is_refused,
];

/// A part of a token, in clear.
fn part(token: &str, number: usize) -> Value {
    let text = token.split('.').nth(number).expect("a part");
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

async fn a_token_that_was_changed_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let new = json!({"name": "packer", "roles": ["reader"]});
    let (_, good) = make(&depot.admin(), &new).await;
    let (_, other) = make(&depot.admin(), &json!({"name": "b", "roles": ["admin"]})).await;
    let (head, claims) = (part(&good, 0), part(&good, 1));
    assert_eq!(head["typ"], "imagedepot-token+jwt");
    assert_eq!(claims["sub"], "token:packer");
    let mut later = claims.clone();
    later["exp"] = json!(4_102_444_800_i64);
    let mut elevated = claims.clone();
    elevated["jti"] = part(&other, 1)["jti"].clone();
    let [_, body, signature] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    flipped[10] ^= 1;
    let same_head = good.split('.').next().expect("a head");
    for forged in [
        format!("{same_head}.{}.{signature}", encoded(&later.to_string())),
        format!("{same_head}.{}.{signature}", encoded(&elevated.to_string())),
        format!("{same_head}.{body}.{}", URL_SAFE_NO_PAD.encode(flipped)),
        format!("{same_head}.{body}."),
        format!("{same_head}.{body}.{}", other.rsplit('.').next().expect("a signature")),
        // Signed well by the depot, but said to be something else.
        good.replacen(same_head, &encoded(&head.to_string().replace("imagedepot-token+", "")), 1),
    ] {
        assert_refused(&depot.bearer(&forged).get("/api/v1/whoami").await, "token_invalid");
        // Where no credentials are needed, wrong ones are still wrong.
        let check = depot.bearer(&forged).check_for_update("x", "production", 0, "pc-1").await;
        assert!([401, 404].contains(&check.status), "{}", check.text());
    }
    depot.bearer(&good).get("/api/v1/whoami").await.expecting(200);
}

async fn no_algorithm_but_the_key_s_own_is_taken(database: Database) {
    let depot = Depot::start(database).await;
    let new = json!({"name": "packer", "roles": ["reader"]});
    let (_, good) = make(&depot.admin(), &new).await;
    let (head, claims) = (part(&good, 0), part(&good, 1));
    let keys = depot.anonymous().get("/api/v1/keys").await.json();
    let public = keys["keys"][0]["x"].as_str().expect("a public key").to_owned();
    let raw = URL_SAFE_NO_PAD.decode(&public).expect("base64url");
    let with = |changes: Value| {
        let mut head = head.clone();
        head.as_object_mut()
            .expect("an object")
            .append(&mut changes.as_object().expect("an object").clone());
        head.to_string()
    };
    let body = encoded(&claims.to_string());
    for algorithm in ["none", "None", "NONE", "nOnE", "", "RS256", "ES256"] {
        for signature in ["", "AAAA", good.rsplit('.').next().expect("a signature")] {
            let head = encoded(&with(json!({"alg": algorithm})));
            let forged = format!("{head}.{body}.{signature}");
            assert_refused(&depot.bearer(&forged).get("/api/v1/whoami").await, "token_invalid");
        }
    }
    // The public key, taken for a shared secret: as bytes, as text, as the whole JWK.
    let jwk = keys["keys"][0].to_string();
    for secret in [raw.as_slice(), public.as_bytes(), jwk.as_bytes(), b""] {
        let header: Header = serde_json::from_str(&with(json!({"alg": "HS256"}))).expect("a head");
        let forged = encode(&header, &claims, &EncodingKey::from_secret(secret)).expect("a token");
        assert_refused(&depot.bearer(&forged).get("/api/v1/whoami").await, "token_invalid");
    }
    // Key ids are ids, and lead nowhere else.
    for kid in ["../../../dev/null", "' or 1=1 --", "0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e", ""] {
        let signature = good.rsplit('.').next().expect("a signature");
        let forged = format!("{}.{body}.{signature}", encoded(&with(json!({"kid": kid}))));
        assert_refused(&depot.bearer(&forged).get("/api/v1/whoami").await, "token_invalid");
    }
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("jwk", keys["keys"][0].clone()),
    ] {
        let signature = good.rsplit('.').next().expect("a signature");
        let forged = format!("{}.{body}.{signature}", encoded(&with(json!({member: value}))));
        assert_refused(&depot.bearer(&forged).get("/api/v1/whoami").await, "token_invalid");
    }
}

async fn a_token_of_another_depot_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let other = Depot::start(database).await;
    let new = json!({"name": "packer", "roles": ["admin"]});
    let (_, here) = make(&depot.admin(), &new).await;
    let (_, there) = make(&other.admin(), &new).await;
    assert_ne!(part(&here, 1)["iss"], part(&there, 1)["iss"]);
    assert_refused(&depot.bearer(&there).get("/api/v1/whoami").await, "token_invalid");
    assert_refused(&other.bearer(&here).get("/api/v1/whoami").await, "token_invalid");
}

async fn what_is_no_token_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let (_, good) = make(&depot.admin(), &json!({"name": "a", "roles": ["reader"]})).await;
    let huge_claims =
        format!("{}.{}.sig", good.split('.').next().expect("a head"), "A".repeat(40_000));
    let nested = format!("{}.{}.x", encoded(&"[".repeat(9_000)), encoded("{}"));
    for text in [
        "x",
        "a.b.c",
        "..",
        ".",
        "....",
        "\u{fffd}",
        &good.replace('.', ".."),
        &format!("{good}.{good}"),
        &huge_claims,
        &nested,
        &encoded("{}"),
        &format!("{}.e30.", encoded("[]")),
    ] {
        let header = format!("Bearer {text}");
        if reqwest::header::HeaderValue::from_str(&header).is_err() {
            continue;
        }
        let answer = depot.anonymous().get("/api/v1/whoami").header("Authorization", &header).await;
        assert!(["token_invalid", "credentials_unreadable"].contains(&&*answer.problem(401)));
    }
    // Two at once are none: a proxy may have looked at the other.
    let twice = depot.bearer(&good).get("/api/v1/whoami").header("Authorization", "Bearer x");
    assert_eq!(twice.await.problem(401), "credentials_unreadable");
    // In a query it would stand in logs.
    let query = format!("/api/v1/whoami?access_token={good}");
    assert_eq!(depot.anonymous().get(&query).await.problem(400), "unknown_parameter");
    depot.bearer(&good).get("/api/v1/whoami").await.expecting(200);
}
