//! Client certificates: who is let in, and how each refusal shows where the server is run.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::authority::{Authority, Certificate, Valid};
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::server::free_port;
use crate::harness::tls_client::{FreshConnections, curl_as, curl_with, resume_with_openssl};
use crate::harness::{Database, Depot, eventually};

/// A server that requires certificates of one authority, with its revocation list.
struct Certified {
    depot: Depot,
    port: u16,
    authority: Authority,
    folder: TempDir,
}

impl Certified {
    async fn start(crl: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "authority");
        let list = authority.revoke(&[], Valid::Long);
        let port = free_port();
        let mut settings = authority.listener_for_its_clients(port);
        if crl {
            writeln!(settings, "crl = [\"{}\"]", list.display()).expect("write to a string");
        }
        let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
        Self { depot, port, authority, folder }
    }

    async fn ask(&self, certificate: Option<&Certificate>) -> Finished {
        let mut curl = match certificate {
            Some(certificate) => curl_as(&self.authority, certificate),
            None => curl_with(&self.authority),
        };
        curl.arg(format!("https://127.0.0.1:{}/livez", self.port));
        run(curl).await
    }

    /// Returns how often connections were refused for a reason, according to the metrics.
    async fn refused(&self, reason: &str) -> u64 {
        let metrics = self.depot.admin().get("/metrics").await.expecting(200);
        let series = format!("imagedepot_tls_handshakes_refused_total{{reason=\"{reason}\"}} ");
        let text = String::from_utf8(metrics.body.to_vec()).expect("text");
        text.lines()
            .find_map(|line| line.strip_prefix(&series))
            .map_or(0, |count| count.parse().expect("a count"))
    }

    /// Makes sure that a certificate is not let in, and that the log and the metrics say why.
    async fn refuses(&self, certificate: Option<&Certificate>, reason: &str) {
        let before = self.refused(reason).await;
        let logged = self.depot.server.log().len();
        let answer = self.ask(certificate).await;
        assert!([35, 56].contains(&answer.code), "{reason}: {}, {}", answer.code, answer.stderr);
        assert!(answer.stderr.contains("alert"), "{reason}: {}", answer.stderr);
        assert!(answer.stdout.is_empty(), "{reason}: {}", answer.stdout);
        let line = eventually(&format!("the log says {reason}"), || async {
            let log = self.depot.server.log()[logged..].to_owned();
            log.lines().find(|line| line.contains(reason)).map(str::to_owned)
        })
        .await;
        assert!(line.contains("WARN") && line.contains("127.0.0.1:"), "{line}");
        assert_eq!(self.refused(reason).await, before + 1, "counted as {reason}");
    }

    /// Revokes, and waits until new handshakes know of it.
    async fn revoke(&self, revoked: &[&Certificate], valid: Valid) {
        let read = || self.depot.server.log().matches("new TLS files are in force").count();
        let before = read();
        self.authority.revoke(revoked, valid);
        eventually("the new list is in force", || async { (read() > before).then_some(()) }).await;
    }

    fn session(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test]
async fn each_refusal_is_told_apart() {
    let server = Certified::start(true).await;
    let Certified { authority, folder, .. } = &server;
    let right = authority.client("right", Valid::Long);
    server.ask(Some(&right)).await.successful();
    server.refuses(None, "no_certificate").await;
    let over = authority.client("over", Valid::Over);
    server.refuses(Some(&over), "expired").await;
    let not_yet = authority.client("not-yet", Valid::NotYet);
    server.refuses(Some(&not_yet), "not_yet_valid").await;
    let other = Authority::new(folder.path(), "other-authority");
    server.refuses(Some(&other.client("stranger", Valid::Long)), "unknown_authority").await;
    let impostor = Authority::as_another(folder.path(), "impostor", "authority");
    server.refuses(Some(&impostor.client("forged", Valid::Long)), "unknown_authority").await;
    server.refuses(Some(&authority.server("a-server")), "wrong_purpose").await;
    let lost = authority.client("lost", Valid::Long);
    server.ask(Some(&lost)).await.successful();
    server.revoke(&[&lost], Valid::Long).await;
    server.refuses(Some(&lost), "revoked").await;
    server.ask(Some(&right)).await.successful();
}

#[tokio::test]
async fn a_list_past_its_next_update_lets_nobody_in() {
    let server = Certified::start(true).await;
    let right = server.authority.client("right", Valid::Long);
    server.ask(Some(&right)).await.successful();
    server.revoke(&[], Valid::Over).await;
    server.refuses(Some(&right), "revocation_list_expired").await;
    assert!(server.depot.server.log().contains("past its next update"), "no warning");
    server.revoke(&[], Valid::Long).await;
    server.ask(Some(&right)).await.successful();
}

#[tokio::test]
async fn without_lists_nothing_is_revoked() {
    let server = Certified::start(false).await;
    let right = server.authority.client("right", Valid::Long);
    server.authority.revoke(&[&right], Valid::Long);
    server.ask(Some(&right)).await.successful();
}

#[tokio::test]
async fn a_resumed_session_is_no_way_around_revocation() {
    let server = Certified::start(true).await;
    for version in ["-tls1_3", "-tls1_2"] {
        let client = server.authority.client(&format!("client{version}"), Valid::Long);
        let session = server.session(version);
        let first = resume_with_openssl(server.port, version, Some(&client), &session).await;
        assert!(first.stdout.contains("200 OK"), "{}", first.stdout);
        let kept = std::fs::read(&session).expect("a session to resume");
        let again = resume_with_openssl(server.port, version, Some(&client), &session).await;
        assert!(again.stdout.contains("Reused"), "sessions are resumed: {}", again.stdout);
        assert!(again.stdout.contains("200 OK"), "{}", again.stdout);
        std::fs::write(&session, kept).expect("the first session");
        server.revoke(&[&client], Valid::Long).await;
        let late = resume_with_openssl(server.port, version, Some(&client), &session).await;
        assert!(!late.stdout.contains("200 OK"), "{version}: {}", late.stdout);
    }
}

#[tokio::test]
async fn a_resumed_session_is_no_way_around_the_end_of_a_certificate() {
    let server = Certified::start(true).await;
    for version in ["-tls1_3", "-tls1_2"] {
        let short = Valid::For(Duration::from_secs(4));
        let client = server.authority.client(&format!("short{version}"), short);
        let session = server.session(version);
        let first = resume_with_openssl(server.port, version, Some(&client), &session).await;
        assert!(first.stdout.contains("200 OK"), "{}", first.stdout);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = server.refused("expired").await;
        let late = resume_with_openssl(server.port, version, Some(&client), &session).await;
        assert!(late.stdout.contains("Reused"), "resumed by OpenSSL's view: {}", late.stdout);
        assert!(!late.stdout.contains("200 OK"), "{version}: {}", late.stdout);
        assert_eq!(server.refused("expired").await, before + 1, "{version}");
    }
}

#[tokio::test]
async fn a_connection_that_stands_ends_when_its_certificate_is_revoked() {
    let server = Certified::start(true).await;
    let (right, lost) = (
        server.authority.client("right", Valid::Long),
        server.authority.client("lost", Valid::Long),
    );
    let mut connections = Vec::new();
    for certificate in [&right, &lost] {
        let clients = FreshConnections::with(server.port, &server.authority, certificate);
        let mut kept = clients.keep().await.expect("a connection");
        assert!(kept.ask().await.expect("an answer").starts_with("HTTP/1.1 200"));
        connections.push(kept);
    }
    server.revoke(&[&lost], Valid::Long).await;
    let (of_right, of_lost) = connections.split_at_mut(1);
    eventually("the revoked client is cut off", || async {
        (server.refused("revoked").await > 0).then_some(())
    })
    .await;
    assert!(of_lost[0].ask().await.is_err(), "the revoked client goes on");
    assert!(of_right[0].ask().await.expect("an answer").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_handshake_s_certificate_is_the_user_whom_it_is_mapped_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\n{}client_certificates = \"required\"\nclient_ca = \"{}\"\n\
         ways_in = [\"certificate\"]\n",
        authority.server("server").as_settings(),
        authority.file().display(),
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let mapped = authority.client("mapped", Valid::Long);
    let pem = std::fs::read_to_string(&mapped.file).expect("a certificate");
    depot.user_with_role("publisher").await;
    let mapping = json!({"name": "one", "user": "publisher", "certificate": pem});
    depot.admin().post("/api/v1/certificate-mappings").json(&mapping).await.expecting(201);
    let url = format!("https://127.0.0.1:{port}/api/v1");
    let ask = |certificate: &Certificate, arguments: &[&str]| {
        let mut curl = curl_as(&authority, certificate);
        curl.args(arguments);
        run(curl)
    };
    let told = ask(&mapped, &[&format!("{url}/whoami")]).await.successful().stdout;
    let me: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&me["name"], &me["way_in"]), (&json!("publisher"), &json!("certificate")));
    // The user's rights go along: to make an image, and no user.
    let image = ["--json", r#"{"name": "till", "kind": "medv"}"#, &format!("{url}/images")];
    ask(&mapped, &image).await.successful();
    depot.admin().get("/api/v1/images/till").await.expecting(200);
    let users = ask(&mapped, &[&format!("{url}/users")]).await.stdout;
    assert!(users.contains("\"forbidden\""), "{users}");
    // The same authority's, and nobody's; what it says to be in a header is not looked at.
    let stranger = authority.client("stranger", Valid::Long);
    let header = format!("Client-Cert: {}", mapped.as_header());
    for arguments in
        [vec![format!("{url}/whoami")], vec!["-H".to_owned(), header, format!("{url}/whoami")]]
    {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let told = ask(&stranger, &arguments).await.stdout;
        assert!(told.contains("\"certificate_not_mapped\""), "{told}");
    }
}

#[tokio::test]
async fn a_certificate_of_version_1_is_refused_in_words_and_cannot_be_mapped() {
    let server = Certified::start(false).await;
    let certificate = server.authority.version_1("old");
    assert_ne!(server.ask(Some(&certificate)).await.code, 0);
    assert_eq!(server.refused("version_1").await, 1);
    assert!(
        server.depot.server.log().contains("of X.509 version 1"),
        "{}",
        server.depot.server.log()
    );
    let pem = std::fs::read_to_string(&certificate.file).expect("its PEM");
    let mapping = json!({"name": "old", "user": "admin", "certificate": pem});
    let refused = server.depot.admin().post("/api/v1/certificate-mappings").json(&mapping).await;
    assert!(refused.text().contains("version 1"), "{}", refused.text());
    refused.problem(422);
}

#[tokio::test]
async fn commands_show_a_certificate_of_their_own() {
    let server = Certified::start(false).await;
    let Certified { depot, authority, folder, .. } = &server;
    depot.admin().published_image("win7-office", "production").await;
    let certificate = authority.client("pc-0815", Valid::Long);
    let both = folder.path().join("both.pem");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file");
    std::fs::write(&both, read(&certificate.key) + &read(&certificate.file)).expect("a file");
    let url = format!("https://127.0.0.1:{}", server.port);
    let command = |line: &str| {
        let mut command = imagedepot([]);
        command.args(line.split(' ')).args(["--server", &url]);
        command.env("IMAGEDEPOT_CA", authority.file());
        command
    };
    let check = "check win7-office --client PC-0815 --output json";

    let mut by_environment = command(check);
    by_environment.env("IMAGEDEPOT_CERTIFICATE", &certificate.file);
    by_environment.env("IMAGEDEPOT_KEY", &certificate.key);
    assert_eq!(run(by_environment).await.successful().last_line()["action"], "update");
    let mut in_one_file = command(check);
    in_one_file.arg("--client-certificate").arg(&both);
    assert_eq!(run(in_one_file).await.successful().last_line()["action"], "update");

    let load = "simulate --image win7-office --clients 20 --period 1s --duration 1s --fresh 0.5 --output json";
    let mut simulated = command(load);
    simulated.arg("--client-certificate").arg(&certificate.file);
    simulated.arg("--client-key").arg(&certificate.key);
    let result = run(simulated).await.successful().last_line();
    assert_eq!(result["errors"], 0, "{result}");
    assert!(result["checks"].as_u64() >= Some(20), "{result}");

    let without = run(command(check)).await;
    assert_eq!(without.code, 3, "{}", without.stderr);
    let mut without_key = command(check);
    without_key.arg("--client-certificate").arg(&certificate.file);
    let without_key = run(without_key).await;
    assert!(
        without_key.code == 2 && without_key.stderr.contains("no usable private key"),
        "{}",
        without_key.stderr
    );
    let mut key_alone = command(check);
    key_alone.env("IMAGEDEPOT_KEY", &certificate.key);
    let key_alone = run(key_alone).await;
    assert!(
        key_alone.code == 2 && key_alone.stderr.contains("no certificate"),
        "{}",
        key_alone.stderr
    );
}
