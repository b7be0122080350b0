//! Tokens beside a running server: `imagedepot token`, its keys, and the programs that tokens are for.

use serde_json::{Value, json};

use crate::harness::actions::{ckm, index};
use crate::harness::command::{curl, imagedepot, run};
use crate::harness::folder::mode;
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};
use crate::tokens::{TOKENS, assert_refused, make, token_command};

on_both_databases![
    tokens_of_older_keys_are_good_until_these_are_retired,
    a_token_stays_good_without_its_maker,
    push_pull_and_curl_take_tokens,
    tokens_are_managed_on_the_command_line,
];

async fn tokens_of_older_keys_are_good_until_these_are_retired(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let keys = async || {
        let answer = depot.anonymous().get("/api/v1/keys").await.expecting(200);
        assert!(!answer.text().contains("\"d\""), "a private key: {}", answer.text());
        answer.json()["keys"].as_array().expect("keys").clone()
    };
    assert_eq!(keys().await, Vec::<Value>::new());
    let old = depot.bearer(&make(&admin, &json!({"name": "old", "roles": ["reader"]})).await.1);
    let [first] = keys().await.try_into().expect("one key");
    assert_eq!((&first["kty"], &first["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!((&first["alg"], &first["use"]), (&json!("EdDSA"), &json!("sig")));

    token_command(&depot, ["rotate-key"]).await.successful();
    eventually("the new key is known", || async { (keys().await.len() == 2).then_some(()) }).await;
    let (id, text) = make(&admin, &json!({"name": "new", "roles": ["reader"]})).await;
    let new = depot.bearer(&text);
    let shown = admin.get(&format!("{TOKENS}/{id}")).await.expecting(200).json();
    assert_ne!(shown["signing_key"], first["kid"], "the old key signs no more");
    for person in [&old, &new] {
        person.get("/api/v1/images").await.expecting(200);
    }

    let told = token_command(&depot, ["rotate-key", "--retire"]).await.successful().stdout;
    assert!(told.contains("2 tokens"), "{told}");
    eventually("the old keys are gone", || async { (keys().await.len() == 1).then_some(()) }).await;
    for person in [&old, &new] {
        assert_refused(&person.get("/api/v1/images").await, "token_invalid");
    }
    assert_eq!(admin.get(TOKENS).await.items(), Vec::<Value>::new(), "void ones pass for good");
    let newest = depot.bearer(&make(&admin, &json!({"name": "new", "roles": ["reader"]})).await.1);
    newest.get("/api/v1/images").await.expecting(200);
    let audit = admin.get("/api/v1/audit").await.items();
    assert_eq!(audit.iter().filter(|row| row["action"] == "signing_key.rotate").count(), 2);
}

async fn a_token_stays_good_without_its_maker(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let user = json!({"name": "kim", "password": "the password of kim", "roles": ["admin"]});
    admin.post("/api/v1/users").json(&user).await.expecting(201);
    let kim = depot.user("kim", "the password of kim");
    let packer = depot.bearer(&make(&kim, &json!({"name": "a", "roles": ["reader"]})).await.1);
    admin.delete("/api/v1/users/kim").await.expecting(204);
    packer.get("/api/v1/images").await.expecting(200);
    // Whoever takes a person's rights away finds what that person has given.
    assert_eq!(admin.get(TOKENS).await.items()[0]["created_by"], "kim");
    let told = token_command(&depot, ["revoke", "--created-by", "kim"]).await.successful();
    assert!(told.stdout.contains("(a) was revoked"), "{}", told.stdout);
    eventually("it is void", || async {
        (packer.get("/api/v1/images").await.status == 401).then_some(())
    })
    .await;
}

async fn push_pull_and_curl_take_tokens(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let new = json!({"name": "packer", "roles": ["publisher"], "images": ["win7-*"]});
    let (_, text) = make(&admin, &new).await;
    let file = depot.scratch().join("token");
    std::fs::write(&file, format!("{text}\n")).expect("write the token");
    let path = |name: &str| depot.scratch().join(name).display().to_string();
    let (token, image, image_index) = (path("token"), path("w.ckm"), path("w.ckm.index"));
    std::fs::write(&image, ckm(1)).expect("write the image");
    std::fs::write(&image_index, index(1)).expect("write the index");
    let arguments = ["push", "win7-office", &image, &image_index, "--channel", "test"];
    let mut push = imagedepot(arguments);
    push.args(["--token-file", &token, "--server", &depot.server.url()]);
    run(push).await.successful();
    let mut pull = imagedepot(["pull", "win7-office", "--channel", "test", "--to", &path("to")]);
    pull.env("IMAGEDEPOT_URL", depot.server.url()).env("IMAGEDEPOT_TOKEN_FILE", &token);
    run(pull).await.successful();
    let pulled = std::fs::read(depot.scratch().join("to/win7-office_1.ckm")).expect("pulled");
    assert!(pulled == ckm(1));
    let mut other = imagedepot(["push", "secret-lab", &image, &image_index]);
    other.env("IMAGEDEPOT_URL", depot.server.url()).env("IMAGEDEPOT_TOKEN", &text);
    assert_ne!(run(other).await.code, 0, "it is confined to other images");
    let mut whoami = curl();
    whoami.args(["-H", &format!("Authorization: Bearer {text}")]);
    whoami.arg(format!("{}/api/v1/whoami", depot.server.url()));
    assert!(run(whoami).await.successful().stdout.contains("token:packer"));
    let revision = admin.revision("win7-office", 1).await;
    assert_eq!(revision["created_by"], "token:packer");
}

async fn tokens_are_managed_on_the_command_line(database: Database) {
    let depot = Depot::start(database).await;
    let create =
        ["create", "packer", "--role", "publisher", "--image", "win7-*", "--expires-in", "5d"];
    let made = token_command(&depot, create).await.successful();
    let text = made.stdout.trim().to_owned();
    assert!(text.starts_with("eyJ") && !text.contains(char::is_whitespace), "{text}");
    let packer = depot.bearer(&text);
    let me = recognised(&packer).await;
    assert_eq!((&me["name"], &me["images"]), (&json!("token:packer"), &json!(["win7-*"])));
    let list = token_command(&depot, ["list"]).await.successful().stdout;
    assert!(list.contains("packer") && list.contains("valid"), "{list}");
    assert!(!list.contains(&text), "{list}");
    assert_ne!(token_command(&depot, create).await.code, 0, "the name is taken");
    assert_ne!(token_command(&depot, ["revoke", "nobody"]).await.code, 0);
    token_command(&depot, ["revoke", "packer"]).await.successful();
    eventually("it is void", || async {
        (packer.get("/api/v1/whoami").await.status == 401).then_some(())
    })
    .await;
    let list = token_command(&depot, ["list"]).await.successful().stdout;
    assert!(!list.contains("packer"), "{list}");
    let list = token_command(&depot, ["list", "--all"]).await.successful().stdout;
    assert!(list.contains("packer") && list.contains("revoked"), "{list}");
}

/// Returns the caller that a token's holder is recognised as, once the server knows the token.
async fn recognised(person: &Person) -> Value {
    eventually("the server knows the token", || async {
        let answer = person.get("/api/v1/whoami").await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

#[tokio::test]
async fn a_token_goes_to_a_file_that_its_owner_alone_reads() {
    let depot = Depot::start(Database::Sqlite).await;
    let file = depot.scratch().join("packer.token");
    let path = file.display().to_string();
    let create = ["create", "packer", "--role", "reader", "--out", &path];
    let made = token_command(&depot, create).await.successful();
    let token = std::fs::read_to_string(&file).expect("the token");
    assert!(token.starts_with("eyJ") && !made.stdout.contains("eyJ"), "{}", made.stdout);
    assert_eq!(mode(&file), 0o600);
    recognised(&depot.bearer(token.trim())).await;
    // A file that is there may be anybody's; and no token is made that nobody was told.
    let again =
        token_command(&depot, ["create", "other", "--role", "reader", "--out", &path]).await;
    assert_eq!(again.code, 8, "{}", again.stderr);
    let list = token_command(&depot, ["list"]).await.successful().stdout;
    assert!(!list.contains("other"), "{list}");
    // Where a shell makes the file, it is said who may read it.
    let open = std::fs::File::create(depot.scratch().join("open")).expect("a file");
    let mut create = imagedepot(["token", "create", "third", "--role", "reader", "--data"]);
    create.arg(depot.server.data()).stdout(open).stderr(std::process::Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || {
        create.spawn().and_then(std::process::Child::wait_with_output)
    });
    let ended = ended.await.expect("the waiting thread").expect("the command");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && said.contains("--out FILE"), "{said}");
}
