//! Behind a proxy: the client is who the proxy says, if the proxy is one to believe. Real `HAProxy` and real
//! nginx in front, with the settings that docs/access.md shows.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::json;

use crate::harness::command::{Finished, curl, guarded, run};
use crate::harness::issued::{Authority, Issued, authority, certificate};
use crate::harness::nginx;
use crate::harness::raw::{self, Connection};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, Person, eventually, sample};

const PROXY: &str = "127.0.0.9";

async fn depot_with_access_log(folder: &Path) -> (Depot, PathBuf) {
    let log = folder.join("access.log");
    let depot = Depot::on(Database::Sqlite)
        .setting("server", "trusted_proxies", "127.0.0.9, 127.0.1.0/24")
        .setting("log", "access", &log.display().to_string())
        .start()
        .await;
    (depot, log)
}

/// The client's address in the access log's line of a request.
async fn logged_address(log: &Path, request_id: &str) -> String {
    eventually("the request is in the access log", || async {
        let text = std::fs::read_to_string(log).ok()?;
        let line = text.lines().find(|line| line.ends_with(request_id))?;
        line.split(' ').nth(8).map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn the_access_log_has_the_client_s_address_if_a_trusted_proxy_tells_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (depot, log) = depot_with_access_log(folder.path()).await;
    let long_chain = "for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=https, for=127.0.1.7";
    let requests = [
        (PROXY, "X-Forwarded-For", "192.0.2.1", "192.0.2.1"),
        (PROXY, "X-Forwarded-For", "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (PROXY, "Forwarded", long_chain, "2001:db8::1"),
        // A port without quotation marks is no token: the header is malformed.
        ("127.0.1.200", "Forwarded", "for=192.0.2.1:80", "127.0.1.200"),
        ("127.0.1.200", "Forwarded", "for=\"192.0.2.1:80\"", "192.0.2.1"),
        (PROXY, "Forwarded", "for=unknown", PROXY),
        (PROXY, "Forwarded", "for=_hidden", PROXY),
        (PROXY, "X-Forwarded-For", "nonsense", PROXY),
        ("127.0.0.8", "X-Forwarded-For", "192.0.2.1", "127.0.0.8"),
        ("127.0.0.8", "Forwarded", "for=192.0.2.1", "127.0.0.8"),
    ];
    for (number, (from, header, value, _)) in requests.iter().enumerate() {
        let id = format!("request-{number}");
        let caller = Person::new(&depot.server.url(), None).calling_from(from);
        let call = caller.get("/livez").header("X-Request-Id", &id).header(header, value);
        call.await.expecting(200);
    }
    let both = depot.anonymous().calling_from(PROXY).get("/livez").header("X-Request-Id", "both");
    let both = both.header("Forwarded", "for=6.6.6.6").header("X-Forwarded-For", "192.0.2.1");
    both.await.expecting(200);
    assert_eq!(logged_address(&log, "both").await, PROXY, "two that disagree name nobody");
    for (number, (from, header, value, address)) in requests.iter().enumerate() {
        let logged = logged_address(&log, &format!("request-{number}")).await;
        assert_eq!(logged, *address, "{from} {header}: {value}");
    }
}

#[tokio::test]
async fn limits_for_each_client_go_by_the_address_that_the_proxy_tells() {
    let depot = Depot::on(Database::Sqlite)
        .setting("server", "trusted_proxies", "127.0.0.1")
        .setting("tree", "max_downloads_per_client", "1")
        .start()
        .await;
    depot.admin().publish_single("till", "qcow2", &sample::bytes(1, 24_000_000)).await;
    let path = "/MEDVImages/till_1.qcow2";
    let mut slow = Connection::open(depot.server.port()).await;
    slow.write(raw::head("GET", path, &[("X-Forwarded-For", "192.0.2.1")]).as_bytes()).await;
    let ask = |client: &str| {
        let call = depot.anonymous().get(path).header("Range", "bytes=0-9");
        call.header("X-Forwarded-For", client)
    };
    eventually("the same client's second download is refused", || async {
        (ask("192.0.2.1").await.status == 503).then_some(())
    })
    .await;
    ask("192.0.2.2").await.expecting(206);
}

#[tokio::test]
async fn refused_log_ins_are_logged_with_the_client_s_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let (depot, _) = depot_with_access_log(folder.path()).await;
    let wrong = depot.user("admin", "wrong").calling_from(PROXY);
    wrong.get("/api/v1/whoami").header("X-Forwarded-For", "192.0.2.77").await.problem(401);
    eventually("the address is in the log", || async {
        depot.server.log().contains("192.0.2.77").then_some(())
    })
    .await;
}

#[tokio::test]
async fn guesses_slow_the_client_that_the_proxy_names_and_not_the_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (depot, _) = depot_with_access_log(folder.path()).await;
    let wrong = depot.user("admin", "wrong").calling_from(PROXY);
    let guess = |client: &str| wrong.get("/api/v1/whoami").header("X-Forwarded-For", client);
    for _ in 0..5 {
        guess("192.0.2.77").await.problem(401);
    }
    assert_eq!(guess("192.0.2.77").await.problem(429), "logins_slowed");
    guess("192.0.2.78").await.problem(401);
    let right = depot.admin().calling_from(PROXY).get("/api/v1/whoami");
    right.header("X-Forwarded-For", "192.0.2.78").await.expecting(200);
}

#[tokio::test]
async fn the_record_of_changes_has_the_client_s_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let (depot, _) = depot_with_access_log(folder.path()).await;
    for (from, name, address) in
        [(PROXY, "told", "192.0.2.9"), ("127.0.0.8", "forged", "127.0.0.8")]
    {
        let admin = depot.admin().calling_from(from);
        let call = admin.post("/api/v1/images").header("X-Forwarded-For", "192.0.2.9");
        call.json(&json!({"name": name, "kind": "medv"})).await.expecting(201);
        let rows = depot.admin().get("/api/v1/audit").await.expecting(200).items();
        let subject = format!("images/{name}");
        let row = rows.iter().find(|row| row["subject"] == *subject).expect("a row");
        assert_eq!(row["client_address"], *address, "{name}");
    }
}

#[tokio::test]
async fn tls_stays_where_a_trusted_proxy_says_that_the_client_came_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (depot, _) = depot_with_access_log(folder.path()).await;
    for (from, value, stays) in [
        (PROXY, "for=192.0.2.1;proto=https", true),
        (PROXY, "for=192.0.2.1;proto=http", false),
        (PROXY, "for=192.0.2.1", false),
        ("127.0.0.8", "for=192.0.2.1;proto=https", false),
    ] {
        let caller = depot.anonymous().calling_from(from);
        let answer = caller.get("/livez").header("Forwarded", value).await;
        let header = answer.header("strict-transport-security");
        assert_eq!(header.is_some(), stays, "{from} {value}");
    }
}

#[tokio::test]
async fn wrong_proxies_are_refused_with_their_key() {
    for wrong in ["localhost", "10.0.0.0/33"] {
        let mut check = crate::harness::command::imagedepot(["check-config"]);
        check.env("IMAGEDEPOT__SERVER__TRUSTED_PROXIES", wrong);
        let refused = run(check).await;
        assert!(
            refused.code > 0 && refused.stderr.contains("trusted_proxies"),
            "{}",
            refused.stderr
        );
    }
}

/// A proxy with TLS before a depot that knows certificates only, and what a client needs to reach it.
struct Front {
    depot: Depot,
    proxy: Child,
    port: u16,
    log: PathBuf,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Front {
    /// `command` gets the folder, in which the settings lie as `settings` has them.
    async fn start(
        settings: impl Fn(&Path, u16, u16) -> String,
        command: impl Fn(&Path) -> Command,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, behind, log) = (free_port(), free_port(), folder.path().join("access.log"));
        let own = format!(
            "[server]\ntrusted_proxies = ['{PROXY}']\n[log]\naccess = '{}'\n\
             [[listener]]\naddress = '127.0.0.1:{behind}'\nways_in = ['certificate']\n",
            log.display()
        );
        let depot = Depot::on(Database::Sqlite).settings_file(&own).start().await;
        let authority = authority("Example CA");
        let server = certificate("localhost").issue();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("write a file of the proxy");
        };
        write("ca.pem", &authority.pem);
        write("server.pem", &format!("{}{}", server.pem, server.key));
        write("settings", &settings(folder.path(), port, behind));
        let mut command = command(folder.path());
        let output = std::fs::File::create(folder.path().join("output")).expect("a file");
        command.stdout(output.try_clone().expect("one file")).stderr(output);
        let proxy = command.spawn().expect("start the proxy");
        eventually("the proxy listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { depot, proxy, port, log, authority, _folder: folder }
    }

    /// curl from 127.0.0.5, with what a forger would send along.
    async fn ask(&self, issued: Option<&Issued>, forged: &str) -> Finished {
        let mut ask = curl();
        ask.args(["--insecure", "--interface", "127.0.0.5", "--dump-header", "-"]);
        if let Some(issued) = issued {
            let file = self.log.with_file_name("client.pem");
            std::fs::write(&file, format!("{}{}", issued.pem, issued.key)).expect("write it");
            ask.arg("--cert").arg(file);
        }
        ask.args([
            "--header",
            &format!("Client-Cert: {forged}"),
            "--header",
            "X-Request-Id: by-curl",
        ]);
        ask.args(["--header", "Forwarded: for=6.6.6.6", "--header", "X-Forwarded-For: 6.6.6.6"]);
        ask.arg(format!("https://127.0.0.1:{}/api/v1/whoami", self.port));
        run(ask).await
    }

    async fn passes_certificates_on(mut self) {
        let rule = json!([{"field": "subject", "attribute": "CN", "match": "pc-*"},
                          {"field": "issuer", "attribute": "CN", "match": "Example CA"}]);
        let mapping = json!({"name": "pcs", "user": "admin", "rules": rule});
        let admin = self.depot.admin();
        admin.post("/api/v1/certificate-mappings").json(&mapping).await.expecting(201);
        let pc = certificate("pc-7").issue_by(&self.authority);
        let stranger = certificate("who").issue_by(&self.authority);
        let forged = pc.header();
        let known = self.ask(Some(&pc), "nonsense").await.successful().stdout;
        assert!(
            known.contains(r#""name":"admin""#) && known.contains(r#""way_in":"certificate""#),
            "{known}"
        );
        assert!(known.to_lowercase().contains("strict-transport-security"), "{known}");
        assert_eq!(logged_address(&self.log, "by-curl").await, "127.0.0.5");
        let unmapped = self.ask(Some(&stranger), &forged).await.stdout;
        assert!(unmapped.contains("certificate_not_mapped"), "{unmapped}");
        let foreign = certificate("pc-7").issue_by(&authority("Another CA"));
        for refused in [self.ask(Some(&foreign), &forged).await, self.ask(None, &forged).await] {
            assert!(refused.code != 0 && !refused.stdout.contains("admin"), "{}", refused.stdout);
        }
        self.proxy.kill().expect("end the proxy");
        self.proxy.wait().expect("see its end");
    }
}

#[tokio::test]
async fn haproxy_passes_certificates_on_as_rfc_9440_has_it() {
    let settings = |folder: &Path, port: u16, behind: u16| {
        let folder = folder.display();
        format!(
            "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port} ssl crt {folder}/server.pem ca-file {folder}/ca.pem verify required
    http-request del-header Forwarded
    http-request set-header Client-Cert :%[ssl_c_der,base64]:
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    default_backend depot
backend depot
    server depot 127.0.0.1:{behind} source {PROXY}
"
        )
    };
    let command = |folder: &Path| {
        let mut command = guarded("haproxy");
        command.arg("-db").arg("-f").arg(folder.join("settings"));
        command
    };
    Front::start(settings, command).await.passes_certificates_on().await;
}

#[tokio::test]
async fn nginx_passes_certificates_on_as_escaped_pem() {
    let settings = |folder: &Path, port: u16, behind: u16| {
        let place = folder.display();
        let server = format!(
            "    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {place}/server.pem;
        ssl_certificate_key {place}/server.pem;
        ssl_client_certificate {place}/ca.pem;
        ssl_verify_client on;
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_bind {PROXY};
            proxy_set_header Host $http_host;
            proxy_set_header Client-Cert $ssl_client_escaped_cert;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded \"\";
        }}
    }}"
        );
        nginx::settings(folder, &server)
    };
    Front::start(settings, nginx::command).await.passes_certificates_on().await;
}
