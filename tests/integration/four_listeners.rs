//! One server with four listeners, each with the right and the wrong credentials, by curl: plain HTTP on loopback,
//! HTTPS with passwords and tokens, HTTPS with certificates, and Negotiate.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::authority::{Authority, Certificate, Valid};
use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::kdc::{Realm, Ticket};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![each_way_in_opens_its_own_listener_and_no_other];

struct Ground {
    depot: Depot,
    authority: Authority,
    realm: Realm,
    folder: TempDir,
    https: u16,
    certified: u16,
    negotiate: u16,
}

/// curl's end and the answer's status and body; 0 where there was none.
struct Got {
    code: i32,
    status: u16,
    body: String,
}

impl Ground {
    async fn start(database: Database) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "authority");
        let realm = Realm::start("TEST.LOCAL");
        let (https, certified, negotiate) = (free_port(), free_port(), free_port());
        let server = authority.server("server").as_settings();
        let list = authority.revoke(&[], Valid::Long);
        let settings = format!(
            "[[listener]]\naddress = \"127.0.0.1:{https}\"\n{server}ways_in = [\"basic\", \"bearer\"]\n\
             [[listener]]\naddress = \"127.0.0.1:{certified}\"\n{server}ways_in = [\"certificate\"]\n\
             client_certificates = \"required\"\nclient_ca = \"{}\"\ncrl = [\"{}\"]\n\
             [[listener]]\naddress = \"127.0.0.1:{negotiate}\"\nways_in = [\"negotiate\"]\n\
             [access.kerberos]\nkeytab = '{}'\n",
            authority.file().display(),
            list.display(),
            realm.keytab("http").display(),
        );
        let depot = Depot::on(database)
            .environment("KRB5_CONFIG", realm.settings().to_str())
            .settings_file(&settings)
            .start()
            .await;
        let alice = json!({"name": "alice", "password": "never needed here", "roles": ["reader"]});
        depot.admin().post("/api/v1/users").json(&alice).await.expecting(201);
        let rules = json!([{"field": "subject", "attribute": "CN", "match": "till-*"}]);
        let mapping = json!({"name": "tills", "user": "alice", "rules": rules});
        depot.admin().post("/api/v1/certificate-mappings").json(&mapping).await.expecting(201);
        Self { depot, authority, realm, folder, https, certified, negotiate }
    }

    /// Asks who one is: at `https://localhost:PORT`, or at the plain listener without a port.
    async fn ask(&self, base: &str, arguments: &[&str], ticket: Option<&Ticket>) -> Got {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*"]);
        curl.arg("--cacert").arg(self.authority.file()).args(["--write-out", "\n%{http_code}"]);
        curl.args(arguments).arg(format!("{base}/api/v1/whoami"));
        if let Some(ticket) = ticket {
            ticket.equip(&mut curl);
        }
        let finished = run(curl).await;
        let (body, status) = finished.stdout.rsplit_once('\n').expect("a status");
        Got { code: finished.code, status: status.parse().unwrap_or(0), body: body.to_owned() }
    }

    async fn by_certificate(&self, certificate: &Certificate) -> Got {
        let (file, key) =
            (certificate.file.display().to_string(), certificate.key.display().to_string());
        let base = format!("https://localhost:{}", self.certified);
        self.ask(&base, &["--cert", &file, "--key", &key], None).await
    }

    /// The handshake fails, and the log says in one word why.
    async fn is_cut_off(&self, certificate: &Certificate, reason: &str) {
        let logged = self.depot.server.log().len();
        let got = self.by_certificate(certificate).await;
        assert!(
            [35, 56].contains(&got.code) && got.status == 0,
            "{reason}: {} {}",
            got.code,
            got.body
        );
        eventually(&format!("the log says {reason}"), || async {
            self.depot.server.log()[logged..].contains(reason).then_some(())
        })
        .await;
    }
}

impl Got {
    #[track_caller]
    fn is(&self, name: &str, way_in: &str) {
        assert_eq!((self.code, self.status), (0, 200), "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!((&body["name"], &body["way_in"]), (&json!(name), &json!(way_in)));
    }

    #[track_caller]
    fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["code"], code, "{}", self.body);
    }
}

async fn each_way_in_opens_its_own_listener_and_no_other(database: Database) {
    let ground = Ground::start(database).await;
    let made = ground.depot.admin().post("/api/v1/tokens");
    let made =
        made.json(&json!({"name": "packer", "roles": ["reader"]})).await.expecting(201).json();
    let bearer = format!("Authorization: Bearer {}", made["token"].as_str().expect("a token"));
    let (right, wrong) = (format!("admin:{ADMIN_PASSWORD}"), "admin:not this one".to_owned());
    let plain = ground.depot.server.url();
    let https = format!("https://localhost:{}", ground.https);
    let negotiate = format!("http://localhost:{}", ground.negotiate);

    for base in [&plain, &https] {
        ground.ask(base, &["--user", &right], None).await.is("admin", "basic");
        ground.ask(base, &["--header", &bearer], None).await.is("token:packer", "bearer");
        ground.ask(base, &["--user", &wrong], None).await.problem(401, "credentials_wrong");
        // The right words under the signature of other ones.
        let (signed, signature) = bearer.rsplit_once('.').expect("a signature");
        let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        ground.ask(base, &["--header", &forged], None).await.problem(401, "token_invalid");
        ground.ask(base, &[], None).await.problem(401, "credentials_required");
    }

    let till = ground.authority.client("till-7", Valid::Long);
    ground.by_certificate(&till).await.is("alice", "certificate");
    let logged = ground.depot.server.log().len();
    let unmapped = ground.authority.client("kiosk-1", Valid::Long);
    ground.by_certificate(&unmapped).await.problem(403, "certificate_not_mapped");
    assert!(ground.depot.server.log()[logged..].contains("CN=kiosk-1"), "the log describes it");
    let lost = ground.authority.client("till-8", Valid::Long);
    let reads = || ground.depot.server.log().matches("new TLS files are in force").count();
    let before = reads();
    ground.authority.revoke(&[&lost], Valid::Long);
    eventually("the new list is in force", || async { (reads() > before).then_some(()) }).await;
    ground.is_cut_off(&lost, "revoked").await;
    ground.is_cut_off(&ground.authority.client("till-9", Valid::Over), "expired").await;
    let other = Authority::new(ground.folder.path(), "other-authority");
    ground.is_cut_off(&other.client("till-10", Valid::Long), "unknown_authority").await;

    let (alice, nobody) = (ground.realm.log_in("alice", "1h"), ground.realm.no_ticket());
    let by_ticket = ["--negotiate", "--user", ":"];
    ground.ask(&negotiate, &by_ticket, Some(&alice)).await.is("alice", "negotiate");
    assert_eq!(ground.ask(&negotiate, &by_ticket, Some(&nobody)).await.status, 401);
    let bob = ground.realm.log_in("bob", "1h");
    let stranger = ground.ask(&negotiate, &by_ticket, Some(&bob)).await;
    stranger.problem(401, "principal_unknown");
    // The right credentials at the wrong door.
    let not_here = "credentials_not_offered";
    ground.ask(&negotiate, &["--user", &right], None).await.problem(401, not_here);
    ground.ask(&negotiate, &["--header", &bearer], None).await.problem(401, not_here);
    let forced = ["--header", "Authorization: Negotiate YII="];
    ground.ask(&https, &forced, None).await.problem(401, not_here);
}
