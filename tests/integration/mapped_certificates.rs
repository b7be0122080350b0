//! Whom a client certificate stands for, where a trusted proxy passes it on. What the TLS handshake itself
//! says of certificates is another subject.

use rcgen::string::{BmpString, Ia5String, TeletexString};
use rcgen::{DnType, DnValue, OtherNameValue, SanType};
use serde_json::{Value, json};

use crate::harness::issued::{Issued, certificate};
use crate::harness::server::free_port;
use crate::harness::{Answer, Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    a_certificate_of_its_own_wins_and_its_renewal_is_another,
    the_first_mapping_that_fits_decides,
    a_disabled_user_is_not_let_in_and_nobody_takes_over,
    a_change_on_the_command_line_reaches_the_server,
];

/// A depot with three more listeners, for whom only 127.0.0.9 is a proxy to believe.
struct Proxied {
    depot: Depot,
    certificate_only: u16,
    with_basic: u16,
}

impl Proxied {
    async fn start(database: Database) -> Self {
        let (certificate_only, with_basic) = (free_port(), free_port());
        let settings = format!(
            "[server]\ntrusted_proxies = ['127.0.0.9']\n\
             [[listener]]\naddress = '127.0.0.1:{certificate_only}'\nways_in = ['certificate']\n\
             [[listener]]\naddress = '127.0.0.1:{with_basic}'\nways_in = ['basic', 'certificate']\n"
        );
        let depot = Depot::on(database).settings_file(&settings).start().await;
        Self { depot, certificate_only, with_basic }
    }

    /// Whoever comes through the proxy.
    fn proxied(&self) -> Person {
        let url = format!("http://127.0.0.1:{}", self.certificate_only);
        Person::new(&url, None).calling_from("127.0.0.9")
    }

    async fn who(&self, certificate: &Issued) -> Answer {
        self.proxied().get("/api/v1/whoami").header("Client-Cert", &certificate.header()).await
    }

    /// Makes sure that the certificate stands for the user.
    async fn is_user(&self, certificate: &Issued, user: &str) {
        let me = self.who(certificate).await.expecting(200).json();
        assert_eq!((&me["name"], &me["way_in"]), (&json!(user), &json!("certificate")));
    }

    async fn is_refused(&self, certificate: &Issued, code: &str) {
        assert_eq!(self.who(certificate).await.problem(403), code);
    }

    async fn map(&self, mapping: Value) {
        let admin = self.depot.admin();
        admin.post("/api/v1/certificate-mappings").json(&mapping).await.expecting(201);
    }

    /// A mapping by one rule, asked last.
    async fn map_by(&self, name: &str, user: &str, rule: Value) {
        self.map(json!({"name": name, "user": user, "rules": [rule]})).await;
    }

    async fn unmap(&self, name: &str) {
        let path = format!("/api/v1/certificate-mappings/{name}");
        self.depot.admin().delete(&path).await.expecting(204);
    }
}

fn subject(attribute: &str, pattern: &str) -> Value {
    json!({"field": "subject", "attribute": attribute, "match": pattern})
}

async fn a_certificate_of_its_own_wins_and_its_renewal_is_another(database: Database) {
    let server = Proxied::start(database).await;
    server.depot.user_with_role("client").await;
    server.depot.user_with_role("reader").await;
    let alice = || certificate("alice").with(DnType::OrganizationalUnitName, "Sales").issue();
    let (issued, renewed) = (alice(), alice());
    server.is_refused(&issued, "certificate_not_mapped").await;
    server.map(json!({"name": "alice", "user": "reader", "certificate": issued.pem})).await;
    server.is_user(&issued, "reader").await;
    server.is_refused(&renewed, "certificate_not_mapped").await;
    server.map_by("sales", "client", subject("OU", "Sales")).await;
    server.is_user(&renewed, "client").await;
    server.is_user(&issued, "reader").await;
    server.unmap("alice").await;
    server.is_user(&issued, "client").await;
}

async fn the_first_mapping_that_fits_decides(database: Database) {
    let server = Proxied::start(database).await;
    server.depot.user_with_role("client").await;
    server.depot.user_with_role("reader").await;
    let pc = certificate("pc-7").with(DnType::OrganizationalUnitName, "Sales").issue();
    let lost = certificate("pc-8").with(DnType::OrganizationalUnitName, "Sales").issue();
    server.map_by("sales", "reader", subject("OU", "Sales")).await;
    server.map_by("all", "client", subject("CN", "*")).await;
    server.is_user(&pc, "reader").await;
    let first =
        json!({"name": "first", "user": "client", "position": 1, "rules": [subject("CN", "pc-7")]});
    server.map(first).await;
    server.is_user(&pc, "client").await;
    // All rules of a mapping have to hold.
    server.unmap("first").await;
    let both = json!([subject("CN", "pc-7"), subject("OU", "Purchasing")]);
    server.map(json!({"name": "both", "user": "client", "position": 1, "rules": both})).await;
    server.is_user(&pc, "reader").await;
    // Denied, if that is asked first; whoever has a certificate of its own is not asked.
    server.is_user(&lost, "reader").await;
    let stolen =
        json!({"name": "stolen", "deny": true, "position": 1, "rules": [subject("CN", "pc-8")]});
    server.map(stolen).await;
    server.is_refused(&lost, "certificate_denied").await;
    server.is_user(&pc, "reader").await;
    server.map(json!({"name": "found", "user": "client", "certificate": lost.pem})).await;
    server.is_user(&lost, "client").await;
    server.unmap("found").await;
    server.map(json!({"name": "this-one", "deny": true, "certificate": lost.pem})).await;
    server.is_refused(&lost, "certificate_denied").await;
}

async fn a_disabled_user_is_not_let_in_and_nobody_takes_over(database: Database) {
    let server = Proxied::start(database).await;
    let admin = server.depot.admin();
    server.depot.user_with_role("client").await;
    server.map_by("pc", "client", subject("CN", "pc-*")).await;
    server.map_by("all", "admin", subject("CN", "*")).await;
    let pc = certificate("pc-7").issue();
    server.is_user(&pc, "client").await;
    for (disabled, code) in [(true, Some("certificate_user_disabled")), (false, None)] {
        let change = json!({"disabled": disabled});
        admin.patch("/api/v1/users/client").json(&change).await.expecting(200);
        match code {
            Some(code) => server.is_refused(&pc, code).await,
            None => server.is_user(&pc, "client").await,
        }
    }
    // A right that the user lacks is lacking this way, too.
    let answer = server.proxied().get("/api/v1/images").header("Client-Cert", &pc.header()).await;
    assert_eq!(answer.problem(403), "forbidden");
}

async fn a_change_on_the_command_line_reaches_the_server(database: Database) {
    let server = Proxied::start(database).await;
    let pc = certificate("pc-7").issue();
    server.is_refused(&pc, "certificate_not_mapped").await;
    let mut add = crate::harness::command::imagedepot([
        "certificate-mapping",
        "add",
        "pc",
        "--user",
        "admin",
    ]);
    add.args(["--rule", "subject.CN=pc-*", "--data"]).arg(server.depot.server.data());
    crate::harness::command::run({
        add.envs(server.depot.environment());
        add
    })
    .await
    .successful();
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    server.is_user(&pc, "admin").await;
}

#[tokio::test]
async fn rules_see_every_kind_of_name() {
    let server = Proxied::start(Database::Sqlite).await;
    let text = |text: &str| Ia5String::try_from(text).expect("plain text");
    let upn = OtherNameValue::Utf8String("Juergen@corp.example.com".to_owned());
    let pc = certificate("Jürgen")
        .with(
            DnType::OrganizationName,
            DnValue::TeletexString(TeletexString::try_from("Beispiel AG").expect("T.61")),
        )
        .with(
            DnType::LocalityName,
            DnValue::BmpString(BmpString::try_from("Köln 芝").expect("BMP")),
        )
        .with(DnType::CustomDnType(vec![1, 2, 3, 4]), "own")
        .alternative(SanType::DnsName(text("first.example.com")))
        .alternative(SanType::DnsName(text("second.example.org")))
        .alternative(SanType::Rfc822Name(text("j@example.com")))
        .alternative(SanType::URI(text("urn:uuid:17")))
        .alternative(SanType::IpAddress("192.0.2.7".parse().expect("an address")))
        .alternative(SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], upn)))
        .issue();
    let san =
        |kind: &str, pattern: &str| json!({"field": "san", "attribute": kind, "match": pattern});
    let any_case = |mut rule: Value| {
        rule["case_sensitive"] = json!(false);
        rule
    };
    for (rule, fits) in [
        (subject("CN", "Jürgen"), true),
        (subject("2.5.4.3", "J*n"), true),
        (subject("CN", "jürgen"), false),
        (any_case(subject("CN", "JÜRGEN")), true),
        (subject("CN", "Jürge"), false),
        (subject("CN", "ürgen*"), false),
        (subject("O", "Beispiel*"), true),
        (subject("L", "K*n 芝"), true),
        (subject("1.2.3.4", "own"), true),
        (subject("OU", "*"), false),
        (json!({"field": "issuer", "attribute": "CN", "match": "Jürgen"}), true),
        (json!({"field": "issuer", "attribute": "CN", "match": "Another CA"}), false),
        (san("dns", "first.example.com"), true),
        (san("dns", "*.example.org"), true),
        (san("dns", "*.example.net"), false),
        (san("email", "*@example.com"), true),
        (san("uri", "urn:uuid:*"), true),
        (san("ip", "192.0.2.*"), true),
        (san("upn", "*@corp.example.com"), true),
        (san("upn", "j@example.com"), false),
    ] {
        server.map_by("m", "admin", rule.clone()).await;
        let answer = server.who(&pc).await;
        assert_eq!(answer.status, if fits { 200 } else { 403 }, "{rule}: {}", answer.text());
        server.unmap("m").await;
    }
}

#[tokio::test]
async fn credentials_say_who_and_a_refused_certificate_stays_refused() {
    let server = Proxied::start(Database::Sqlite).await;
    let url = format!("http://127.0.0.1:{}", server.with_basic);
    let admin = Person::new(&url, Some(("admin", crate::harness::depot::ADMIN_PASSWORD)))
        .calling_from("127.0.0.9");
    let wrong = Person::new(&url, Some(("admin", "wrong"))).calling_from("127.0.0.9");
    server.depot.user_with_role("client").await;
    server.map_by("pc", "client", subject("CN", "pc-*")).await;
    let deny = json!({"name": "stolen", "deny": true, "rules": [subject("CN", "stolen")]});
    server.map(deny).await;
    let (pc, stranger, stolen) =
        (certificate("pc-7").issue(), certificate("who").issue(), certificate("stolen").issue());
    for issued in [&pc, &stranger] {
        let ask =
            |person: &Person| person.get("/api/v1/whoami").header("Client-Cert", &issued.header());
        let me = ask(&admin).await.expecting(200).json();
        assert_eq!((&me["name"], &me["way_in"]), (&json!("admin"), &json!("basic")));
        assert_eq!(ask(&wrong).await.problem(401), "credentials_wrong");
    }
    let answer = admin.get("/api/v1/whoami").header("Client-Cert", &stolen.header()).await;
    assert_eq!(answer.problem(403), "certificate_denied");
    // A POST's key is the caller's own, who is known by the certificate too.
    let path = "/api/v1/certificate-mappings";
    server.map_by("boss", "admin", subject("CN", "boss")).await;
    let boss = certificate("boss").issue();
    let mapping = json!({"name": "by-boss", "deny": true, "rules": [subject("CN", "x")]});
    for _ in 0..2 {
        let call = server.proxied().post(path).header("Client-Cert", &boss.header());
        let made = call.header("Idempotency-Key", "k1").json(&mapping).await.expecting(201).json();
        assert_eq!(made["created_by"], "admin");
    }
}

#[tokio::test]
async fn nobody_stays_unknown_where_certificates_are_the_only_way_in() {
    let server = Proxied::start(Database::Sqlite).await;
    server.depot.admin().published_image("win7-office", "production").await;
    server.map_by("pc", "admin", subject("CN", "pc-*")).await;
    let (pc, stranger) = (certificate("pc-7").issue(), certificate("who").issue());
    let open = ["/MEDVImages/win7-office_1.ckm", "/api/v1/update-check?image=win7-office"];
    for path in open {
        let ask = || server.proxied().get(path);
        ask().header("Client-Cert", &pc.header()).await.expecting(200);
        let unmapped = ask().header("Client-Cert", &stranger.header()).await;
        assert_eq!(unmapped.problem(403), "certificate_not_mapped");
        assert_eq!(ask().await.problem(403), "certificate_required");
        assert_eq!(ask().header("Client-Cert", "").await.problem(403), "certificate_required");
        // Where another way in is offered, too, who shows none is anybody.
        let url = format!("http://127.0.0.1:{}", server.with_basic);
        let anybody = Person::new(&url, None).calling_from("127.0.0.9");
        anybody.get(path).await.expecting(200);
        let unmapped = anybody.get(path).header("Client-Cert", &stranger.header()).await;
        assert_eq!(unmapped.problem(403), "certificate_not_mapped");
        anybody.get("/api/v1/whoami").await.problem(401);
    }
    let log = eventually("the log tells the refused apart", || async {
        let log = server.depot.server.log();
        log.contains("CN=who issued by CN=who").then_some(log)
    })
    .await;
    assert!(log.contains("no certificate mapping matches") && log.contains("sent none"), "{log}");
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_and_only_where_certificates_are_a_way_in() {
    let server = Proxied::start(Database::Sqlite).await;
    let pc = certificate("pc-7").issue();
    server.map_by("pc", "admin", subject("CN", "pc-*")).await;
    server.is_user(&pc, "admin").await;
    let url = format!("http://127.0.0.1:{}", server.certificate_only);
    for stranger in ["127.0.0.1", "127.0.0.8"] {
        let forger = Person::new(&url, None).calling_from(stranger);
        let call = forger.get("/api/v1/whoami").header("Client-Cert", &pc.header());
        let answer =
            call.header("X-Forwarded-For", "127.0.0.9").header("Forwarded", "for=127.0.0.9");
        assert_eq!(answer.await.problem(403), "certificate_required", "{stranger}");
        // Nor is it even looked at.
        let call = forger.get("/api/v1/whoami").header("Client-Cert", "nonsense");
        assert_eq!(call.await.problem(403), "certificate_required", "{stranger}");
    }
    let elsewhere = Person::new(&server.depot.server.url(), None).calling_from("127.0.0.9");
    let answer = elsewhere.get("/api/v1/whoami").header("Client-Cert", &pc.header()).await;
    assert_eq!(answer.problem(401), "credentials_required");
}

#[tokio::test]
async fn what_is_no_certificate_is_said_to_the_proxy() {
    let server = Proxied::start(Database::Sqlite).await;
    let pc = certificate("pc-7").issue();
    server.map_by("pc", "admin", subject("CN", "pc-*")).await;
    for header in ["nonsense", ":AAAA", ":A*:", "AAAA", "-----BEGIN%20CERTIFICATE-----"] {
        let call = server.proxied().get("/api/v1/whoami").header("Client-Cert", header);
        assert_eq!(call.await.problem(400), "malformed_client_cert", "{header}");
    }
    // Twice: which one is the proxy's cannot be told.
    let call = server.proxied().get("/api/v1/whoami").header("Client-Cert", &pc.header());
    let answer = call.header("Client-Cert", &pc.header()).await;
    assert_eq!(answer.problem(400), "malformed_client_cert");
    let call = server.proxied().get("/api/v1/whoami").header("Client-Cert", ":AAAA:");
    assert_eq!(call.await.problem(403), "certificate_unreadable");
}
