//! Negotiate: people whom a real Kerberos realm has logged in, with curl.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::command::{imagedepot, run};
use crate::harness::kdc::{Realm, Ticket};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, DepotSetup};

const WHOAMI: &str = "/api/v1/whoami";

/// The result of a curl run: the last answer's status, headers and body.
struct Got {
    code: i32,
    status: u16,
    headers: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}\n{}", self.headers, self.body);
        self.json()["code"].as_str().expect("a code").to_owned()
    }

    /// The values of `WWW-Authenticate`.
    fn challenges(&self) -> Vec<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// A server with a listener for tickets of a realm.
struct Ground {
    depot: Depot,
    url: String,
}

impl Ground {
    async fn with(realm: &Realm, principals: &str) -> Self {
        let port = free_port();
        let text = settings(port, &realm.keytab("http").display().to_string(), principals);
        let depot = setup(realm).settings_file(&text).start().await;
        for name in ["alice", "bob"] {
            let user = json!({"name": name, "password": "never needed here", "roles": ["reader"]});
            depot.admin().post("/api/v1/users").json(&user).await.expecting(201);
        }
        Self { depot, url: format!("http://localhost:{port}") }
    }

    async fn curl(&self, ticket: &Ticket, arguments: &[&str]) -> Got {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--include"]);
        curl.args(arguments);
        ticket.equip(&mut curl);
        let finished = run(curl).await;
        // Of several answers the last counts.
        let mut rest = finished.stdout.as_str();
        let mut headers = "";
        while rest.starts_with("HTTP/") {
            (headers, rest) = rest.split_once("\r\n\r\n").expect("a head");
        }
        let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Got { code: finished.code, status, headers: headers.to_owned(), body: rest.to_owned() }
    }

    async fn whoami(&self, ticket: &Ticket) -> Got {
        let url = format!("{}{WHOAMI}", self.url);
        self.curl(ticket, &["--negotiate", "--user", ":", &url]).await
    }

    async fn with_token(&self, nobody: &Ticket, token: &str) -> Got {
        let header = format!("Authorization: Negotiate {token}");
        self.curl(nobody, &["--header", &header, &format!("{}{WHOAMI}", self.url)]).await
    }
}

fn setup(realm: &Realm) -> DepotSetup {
    let file = realm.settings();
    Depot::on(Database::Sqlite).environment("KRB5_CONFIG", file.to_str())
}

fn settings(port: u16, keytab: &str, principals: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\nways_in = [\"negotiate\", \"basic\"]\n\
         [access.kerberos]\nkeytab = '{keytab}'\n{principals}\n"
    )
}

#[tokio::test]
async fn who_has_a_ticket_is_known_and_the_server_proves_itself() {
    let realm = Realm::start("TEST.LOCAL");
    let ground = Ground::with(&realm, "").await;
    let alice = realm.log_in("alice", "1h");
    let got = ground.whoami(&alice).await;
    assert_eq!((got.code, got.status), (0, 200), "{}", got.body);
    assert_eq!(got.json()["name"], "alice");
    assert_eq!(got.json()["way_in"], "negotiate");
    // curl has checked the server's proof: with another one it would have failed.
    let challenges = got.challenges();
    assert!(challenges.len() == 1 && challenges[0].starts_with("Negotiate "), "{challenges:?}");
    assert!(challenges[0].len() > 100, "{challenges:?}");
    // Roles are those of the user; a refusal proves the server, too.
    let url = format!("{}/api/v1/users", ground.url);
    let refused = ground.curl(&alice, &["--negotiate", "--user", ":", &url]).await;
    assert_eq!(refused.problem(403), "forbidden");
    assert!(refused.challenges()[0].starts_with("Negotiate "));
    // Each request proves itself: on a connection that was let in, the next one without a ticket is nobody's.
    let url = format!("{}{WHOAMI}", ground.url);
    let next = [
        "--negotiate",
        "--user",
        ":",
        &url,
        "--next",
        "--silent",
        "--include",
        "--noproxy",
        "*",
        &url,
    ];
    let got = ground.curl(&alice, &next).await;
    assert_eq!(got.status, 200, "the first of the two");
    assert!(got.body.contains("HTTP/1.1 401"), "{}", got.body);
    // The other way in of this listener works beside it, and the listener without Negotiate takes no ticket.
    let admin = ground.depot.admin().name_and_password();
    let got = ground.curl(&alice, &["--basic", "--user", &admin, &url]).await;
    assert_eq!((got.status, got.challenges().len()), (200, 0));
    let elsewhere = format!("http://localhost:{}{WHOAMI}", ground.depot.server.port());
    let header = "Authorization: Negotiate YWJj";
    let got = ground.curl(&alice, &["--header", header, &elsewhere]).await;
    assert_eq!(got.problem(401), "credentials_not_offered");
}

#[tokio::test]
async fn without_a_good_ticket_nobody_is_let_in() {
    let realm = Realm::start("TEST.LOCAL");
    let ground = Ground::with(&realm, "").await;
    let nobody = realm.no_ticket();
    let got = ground.whoami(&nobody).await;
    assert_eq!(got.problem(401), "credentials_required");
    assert!(got.challenges().contains(&"Negotiate"), "{:?}", got.challenges());
    assert!(got.challenges().iter().any(|challenge| challenge.starts_with("Basic ")));
    // Logged in, and nobody here.
    assert_eq!(ground.whoami(&realm.log_in("carol", "1h")).await.problem(401), "principal_unknown");
    let machine = realm.log_in("host/pc-1.example.com", "1h");
    assert_eq!(ground.whoami(&machine).await.problem(401), "principal_unknown");
    // Disabled on a running server: out at once.
    let bob = realm.log_in("bob", "1h");
    assert_eq!(ground.whoami(&bob).await.status, 200);
    let out = json!({"disabled": true});
    ground.depot.admin().patch("/api/v1/users/bob").json(&out).await.expecting(200);
    assert_eq!(ground.whoami(&bob).await.problem(401), "principal_unknown");
    for (token, code) in [
        ("", "credentials_unreadable"),
        ("!!!", "credentials_unreadable"),
        ("YWJj", "ticket_wrong"),
        ("YIIB", "ticket_wrong"),
        ("TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAKALpHAAAADw==", "ntlm_refused"),
    ] {
        let got = ground.with_token(&nobody, token).await;
        assert_eq!(got.problem(401), code, "{token}");
        assert!(got.challenges().contains(&"Negotiate"), "{token}: {:?}", got.challenges());
    }
    let long = "QUJD".repeat(4000);
    assert_eq!(ground.with_token(&nobody, &long).await.problem(401), "ticket_wrong");
    let told = ground.depot.server.log();
    assert!(told.contains("a Negotiate token was refused") && told.contains("carol@TEST.LOCAL"));
}

#[tokio::test]
async fn a_token_counts_once() {
    let realm = Realm::start("TEST.LOCAL");
    let mut ground = Ground::with(&realm, "").await;
    let alice = realm.log_in("alice", "1h");
    let token = token_of(&ground, &alice).await;
    let nobody = realm.no_ticket();
    assert_eq!(ground.with_token(&nobody, &token).await.problem(401), "ticket_wrong");
    // Also after a restart.
    ground.depot.server.restart().await;
    assert_eq!(ground.with_token(&nobody, &token).await.problem(401), "ticket_wrong");
    assert_eq!(ground.whoami(&alice).await.status, 200, "a new token of the same ticket");
}

/// Returns the token that curl has sent and the server has accepted.
async fn token_of(ground: &Ground, ticket: &Ticket) -> String {
    let trace = ground.depot.scratch().join("trace");
    let (file, url) = (trace.display().to_string(), format!("{}{WHOAMI}", ground.url));
    let arguments = ["--negotiate", "--user", ":", "--trace-ascii", &file, &url];
    assert_eq!(ground.curl(ticket, &arguments).await.status, 200);
    // A trace breaks long lines, each piece behind its offset.
    let text = std::fs::read_to_string(&trace).expect("curl's trace");
    let (_, sent) = text.split_once("=> Send header").expect("the request");
    let sent: String = sent.lines().skip(1).map(|line| line.get(6..).unwrap_or("")).collect();
    let (_, token) = sent.split_once("Authorization: Negotiate ").expect("the token");
    token.split("User-Agent:").next().expect("what follows").to_owned()
}

#[tokio::test]
async fn an_expired_ticket_and_one_for_other_keys_are_refused() {
    let realm = Realm::start("TEST.LOCAL");
    let ground = Ground::with(&realm, "").await;
    // The client's library sends no ticket that has expired, so the request comes without one.
    let brief = realm.log_in("alice", "1s");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(ground.whoami(&brief).await.problem(401), "credentials_required");
    // The service gets other keys, of which the server has not heard.
    let alice = realm.log_in("alice", "1h");
    assert_eq!(ground.whoami(&alice).await.status, 200);
    let newer = realm.keytab("newer");
    let commands = format!("ktadd -k {} HTTP/localhost\n", newer.display());
    realm.administer(&commands);
    let again = realm.log_in("alice", "1h");
    assert_eq!(ground.whoami(&again).await.problem(401), "ticket_wrong");
    // And has: the file counts as soon as it is there.
    std::fs::rename(&newer, realm.keytab("http")).expect("put the new keys in place");
    assert_eq!(ground.whoami(&again).await.status, 200);
}

#[tokio::test]
async fn somebody_of_the_same_name_in_a_trusted_realm_is_somebody_else() {
    let realm = Realm::start("TEST.LOCAL");
    let other = Realm::start("OTHER.LOCAL");
    other.is_trusted_by(&realm);
    let foreigner = other.log_in("alice", "1h");
    let ground = Ground::with(&realm, "").await;
    assert_eq!(ground.whoami(&foreigner).await.problem(401), "principal_unknown");
    assert!(ground.depot.server.log().contains("alice@OTHER.LOCAL"), "the ticket itself was good");
    let principals = r#"principals = [
        { principal = "host/*@TEST.LOCAL", user = "bob" },
        { principal = "*@OTHER.LOCAL", user = "bob" },
    ]"#;
    let ground = Ground::with(&realm, principals).await;
    assert_eq!(ground.whoami(&foreigner).await.json()["name"], "bob");
    let machine = realm.log_in("host/pc-1.example.com", "1h");
    assert_eq!(ground.whoami(&machine).await.json()["name"], "bob");
    let own = realm.log_in("alice", "1h");
    assert_eq!(
        ground.whoami(&own).await.problem(401),
        "principal_unknown",
        "rules replace the default"
    );
}

#[tokio::test]
async fn many_tickets_at_once_are_all_taken() {
    let realm = Realm::start("TEST.LOCAL");
    let ground = Ground::with(&realm, "").await;
    let alice = realm.log_in("alice", "1h");
    assert_eq!(ground.whoami(&alice).await.status, 200);
    let all = (0..20).map(|_| ground.whoami(&alice));
    for got in futures_util::future::join_all(all).await {
        assert_eq!(got.status, 200, "{}", got.body);
    }
}

#[tokio::test]
async fn wrong_settings_for_tickets_are_named() {
    let realm = Realm::start("TEST.LOCAL");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    let not_keys = folder.path().join("not-keys");
    std::fs::write(&not_keys, "not keys").expect("write a file");
    let good = realm.keytab("http").display().to_string();
    let check = async |text: &str, command: &str| {
        std::fs::write(&file, text).expect("write the settings");
        let mut program = imagedepot([command, "--config", &file.display().to_string()]);
        program.arg("--data").arg(folder.path().join("data"));
        program.env("KRB5_CONFIG", realm.settings());
        run(program).await
    };
    let listener = "[[listener]]\naddress = \"127.0.0.1:1\"\nways_in = [\"negotiate\"]\n";
    let rule = "principals = [{ principal = \"*@*\", user = \"*\" }]";
    for (text, named) in [
        (listener.to_owned(), "access.kerberos.keytab"),
        (settings(1, "/no/such.keytab", ""), "/no/such.keytab"),
        (settings(1, &good, rule), "access.kerberos.principals"),
    ] {
        let refused = check(&text, "check-config").await;
        assert!(refused.code > 0 && refused.stderr.contains(named), "{text}: {}", refused.stderr);
    }
    let sound = check(&settings(1, &good, ""), "check-config").await;
    assert_eq!(sound.code, 0, "{}", sound.stderr);
    // What only the library can say is said at the start, not by the first request.
    let text = settings(free_port(), &not_keys.display().to_string(), "");
    let refused = check(&text, "serve").await;
    assert!(
        refused.code > 0 && refused.stderr.contains("access.kerberos.keytab"),
        "{}",
        refused.stderr
    );
}
