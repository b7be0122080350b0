//! The files in `deploy/` for those who run the server, tried with the programs that read them: systemd, nginx,
//! Prometheus, and the server itself. Only addresses, ports and paths are replaced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use reqwest::Method;
use serde_json::json;

use crate::generated_clients::installed;
use crate::harness::actions::{assignment_path, ckm, file_path, revision_path};
use crate::harness::authority::{Authority, Valid};
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::event_stream::EventStream;
use crate::harness::multipart::parts;
use crate::harness::nginx;
use crate::harness::person::Call;
use crate::harness::project::{program, project};
use crate::harness::server::{Server, free_port};
use crate::harness::tls_client::curl_with;
use crate::harness::{Answer, Database, Depot, Person, Store, eventually, sample};
use crate::tus;

fn folder() -> PathBuf {
    project().join("deploy")
}

fn deployed(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).expect("a file of deploy/")
}

/// Replaces what has to stand in the file, once.
#[track_caller]
fn replaced(mut text: String, places: &[(&str, String)]) -> String {
    for (from, to) in places {
        assert_eq!(text.matches(*from).count(), 1, "{from} is to stand there once");
        text = text.replace(*from, to);
    }
    text
}

#[tokio::test]
async fn the_unit_is_sound_and_hardened() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("imagedepot.service");
    let unit = deployed("imagedepot.service").replace("/usr/bin/imagedepot", program());
    // What it offers in comments is sound, too.
    let with_all = unit
        .replace("\n#LoadCredential=", "\nLoadCredential=")
        .replace("\n#Environment=", "\nEnvironment=")
        .replace("\n#ReadWritePaths=", "\nReadWritePaths=");
    assert_ne!(unit, with_all, "the unit shows how secrets are handed in");
    for text in [with_all, unit] {
        is_sound(&file, &text).await;
    }
    // 1.6 of 10, where a unit without any hardening has 9.6.
    is_hardened(&file, "20").await;
}

#[tokio::test]
async fn the_agent_s_unit_is_sound_and_hardened() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("imagedepot-agent.service");
    let unit = deployed("imagedepot-agent.service").replace("/usr/bin/imagedepot", program());
    is_sound(&file, &unit).await;
    // It runs as root, whose the images are.
    is_hardened(&file, "20").await;
}

#[tokio::test]
async fn the_mirror_s_unit_is_sound_and_hardened() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("imagedepot-mirror.service");
    let unit = deployed("imagedepot-mirror.service").replace("/usr/bin/imagedepot", program());
    // What it offers in comments is sound, too.
    let with_all = unit
        .replace("\n#LoadCredential=", "\nLoadCredential=")
        .replace("\nExecStart=", "\n#")
        .replace("\n#ExecStart=", "\nExecStart=")
        .replace("\n#CapabilityBoundingSet=", "\nCapabilityBoundingSet=")
        .replace("\n#AmbientCapabilities=", "\nAmbientCapabilities=")
        .replace("\n#Environment=", "\nEnvironment=");
    assert_ne!(unit, with_all, "the unit shows how secrets are handed in");
    for text in [with_all, unit] {
        is_sound(&file, &text).await;
    }
    is_hardened(&file, "20").await;
}

async fn is_sound(file: &Path, unit: &str) {
    std::fs::write(file, unit).expect("write the unit");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(file);
    let verified = run(verify).await.successful();
    assert_eq!((&*verified.stdout, &*verified.stderr), ("", ""), "a warning");
}

async fn is_hardened(file: &Path, most: &str) {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold", most, "--no-pager"]).arg(file);
    run(security).await.successful();
}

async fn check_config(settings: &Path, environment: Vec<(String, String)>) -> Finished {
    let mut check = imagedepot(["check-config"]);
    check.arg("--config").arg(settings).envs(environment);
    run(check).await
}

#[tokio::test]
async fn the_settings_of_one_server_pass_their_check() {
    let place = tempfile::tempdir().expect("a folder");
    let server = Authority::new(place.path(), "authority").server("server");
    let settings = replaced(
        deployed("imagedepot.toml"),
        &[
            ("/etc/imagedepot/server.pem", server.file.display().to_string()),
            ("/etc/imagedepot/server.key", server.key.display().to_string()),
            // The unit makes it (LogsDirectory).
            ("/var/log/imagedepot", place.path().display().to_string()),
        ],
    );
    let file = place.path().join("imagedepot.toml");
    std::fs::write(&file, &settings).expect("write the settings");
    let checked = check_config(&file, Vec::new()).await.successful();
    assert!(checked.stdout.contains("https://0.0.0.0:443"), "{}", checked.stdout);
    // The listener for http:// and all else that it offers.
    std::fs::write(&file, offered(&settings)).expect("write the settings");
    let checked = check_config(&file, Vec::new()).await.successful();
    assert!(checked.stdout.contains("http://0.0.0.0:80"), "{}", checked.stdout);
}

/// With the lines in force that are commented out: `#` directly before a key or a table.
fn offered(settings: &str) -> String {
    let in_force = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    settings.lines().map(|line| in_force(line) + "\n").collect()
}

#[tokio::test]
async fn the_settings_of_replicas_pass_their_check_with_secrets_from_files() {
    let place = tempfile::tempdir().expect("a folder");
    let script = place.path().join("make-secrets");
    std::fs::copy(folder().join("two-replicas/make-secrets"), &script).expect("copy the script");
    let mut make = Command::new("sh");
    make.arg(&script);
    run(make).await.successful();
    let secrets = place.path().join("secrets");
    let named: Vec<_> = deployed("two-replicas/compose.yaml")
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("IMAGEDEPOT"))
        .map(|(name, value)| {
            (name.to_owned(), value.replace("/run/secrets", &secrets.display().to_string()))
        })
        .collect();
    let files = named.iter().filter(|(name, _)| name.ends_with("_FILE"));
    for (name, file) in files.clone() {
        let secret =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(secret.trim().len() >= 20, "{name} is short");
    }
    assert_eq!(files.count(), 4, "{named:?}");
    check_config(&folder().join("two-replicas/replica.toml"), named).await.successful();
}

#[test]
fn the_image_is_built_with_the_compiler_that_the_manifest_asks_for() {
    let dockerfile = deployed("Dockerfile");
    let builder = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&builder), "{builder} does not stand in deploy/Dockerfile");
}

/// nginx as `two-replicas/nginx.conf` has it.
struct Nginx {
    process: Child,
    port: u16,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Before two replicas on these ports.
    async fn before(replicas: [u16; 2]) -> Self {
        let place = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(place.path(), "authority");
        let (server, port) = (authority.server("server"), free_port());
        let site = replaced(
            deployed("two-replicas/nginx.conf"),
            &[
                ("127.0.0.1:8081", format!("127.0.0.1:{}", replicas[0])),
                ("127.0.0.1:8082", format!("127.0.0.1:{}", replicas[1])),
                ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
                ("/etc/nginx/imagedepot/server.pem", server.file.display().to_string()),
                ("/etc/nginx/imagedepot/server.key", server.key.display().to_string()),
            ],
        );
        std::fs::write(place.path().join("site"), site).expect("write the site");
        let around =
            nginx::settings(place.path(), &format!("include {}/site;", place.path().display()));
        std::fs::write(place.path().join("settings"), around).expect("write the settings");
        let mut nginx = nginx::command(place.path());
        let output = std::fs::File::create(place.path().join("output")).expect("a file");
        nginx.stdout(output.try_clone().expect("one file")).stderr(output);
        let process = nginx.spawn().expect("start nginx");
        eventually("nginx listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { process, port, authority, _folder: place }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn person(&self, credentials: Option<(&str, &str)>) -> Person {
        Person::new(&self.url(), credentials).trusting(&self.authority.file())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Repeats a call that nginx may not repeat: the first client that meets a dead replica gets 502.
async fn insisting(call: impl Fn() -> Call) -> Answer {
    let first = call().await;
    if first.status == 502 { call().await } else { first }
}

/// All of a server's metrics, asked for directly.
async fn metrics(url: &str) -> String {
    let admin = Person::new(url, Some(("admin", ADMIN_PASSWORD)));
    let answer = admin.get("/metrics").await.expecting(200);
    String::from_utf8(answer.body.to_vec()).expect("text")
}

/// Counters begin at 0.
fn has_counted(metrics: &str, series: &str) -> bool {
    metrics.lines().any(|line| line.starts_with(series) && !line.ends_with(" 0"))
}

async fn has_answered_a_patch(server: &Server) -> bool {
    let series = "imagedepot_requests_total{method=\"PATCH\",status=\"2xx\"}";
    has_counted(&metrics(&server.url()).await, series)
}

fn ping(person: &Person) -> Call {
    let method = Method::from_bytes(b"BITS_POST").expect("a method");
    let ping = person.call(&method, "/MEDVImages/win7-office.ckm");
    ping.header("BITS-Packet-Type", "Ping").header("Content-Length", "0")
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
async fn behind_nginx_everything_goes_on_when_a_replica_is_killed() {
    let mut depot = Depot::on(Database::Postgres)
        .store(Store::S3)
        .setting("server", "trusted_proxies", "127.0.0.1")
        .start()
        .await;
    let mut replica = depot.replica("replica").await;
    let nginx = Nginx::before([depot.server.port(), replica.port()]).await;
    let (admin, anyone) = (nginx.person(Some(("admin", ADMIN_PASSWORD))), nginx.person(None));
    // By PUT, to both replicas in turn.
    admin.published_image("win7-office", "production").await;
    what_passes_is_what_was_said(&nginx, &admin).await;
    files_pass_in_any_order(&anyone).await;

    let bytes = sample::bytes(9, 40_000_000);
    let (first, rest) = bytes.split_at(24_000_000);
    admin.create_single_image("huge", "vhdx").await;
    let draft = admin.draft("huge").await;
    let number = draft.to_string();
    let target = [("image", "huge"), ("revision", number.as_str()), ("role", "image")];
    let begun = admin
        .post("/api/v1/uploads")
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", &bytes.len().to_string())
        .header("Upload-Metadata", &tus::metadata(&target))
        .await
        .expecting(201);
    let location = begun.required_header("location").to_owned();
    tus::append(&admin, &location, "0", first).await.expecting(204);
    let killed =
        if has_answered_a_patch(&replica).await { &mut replica } else { &mut depot.server };
    assert!(has_answered_a_patch(killed).await, "neither replica took the first part");
    killed.kill();

    for client in 0..10 {
        let name = format!("pc-{client}");
        let told = anyone.check_for_update("win7-office", "production", 0, &name).await;
        assert_eq!(told.expecting(200).json()["action"], "update");
    }
    assert_eq!(tus::offset(&admin, &location).await, first.len() as u64);
    tus::append(&admin, &location, &first.len().to_string(), rest).await.expecting(204);
    admin.seal("huge", draft).await.expecting(200);
    let promotion = json!({"revision": draft});
    let path = assignment_path("huge", "production");
    insisting(|| admin.put(&path).json(&promotion)).await.expecting(200);
    admin.wait_until_published("huge", "production").await;
    let name = format!("huge_{draft}.vhdx");
    assert!(
        anyone.get_tree(&name).await.expecting(200).body == bytes,
        "other bytes than were sent"
    );
    let next = admin.draft("huge").await;
    let file = file_path("huge", next, "image");
    insisting(|| admin.put(&file).body(ckm(2))).await.expecting(201);
    insisting(|| admin.delete(&revision_path("huge", next))).await.expecting(204);
    let acknowledged = insisting(|| ping(&admin)).await.expecting(200);
    assert_eq!(acknowledged.required_header("bits-packet-type"), "Ack");

    // Back again, it is asked again.
    killed.start_again().await;
    let (url, counted) = (killed.url(), "imagedepot_update_checks_total");
    eventually("nginx asks the replica that is back", || async {
        let told = anyone.check_for_update("win7-office", "production", 0, "pc-1").await;
        told.expecting(200);
        has_counted(&metrics(&url).await, counted).then_some(())
    })
    .await;
}

/// Asserts that the server believes the proxy about the client, and not the client about itself.
async fn what_passes_is_what_was_said(nginx: &Nginx, admin: &Person) {
    let told = admin.get("/api/v1/whoami").await.expecting(200);
    assert!(told.header("strict-transport-security").is_some(), "the client came by TLS");
    let mut create = curl_with(&nginx.authority);
    create.args(["--interface", "127.0.0.5", "--user", &admin.name_and_password()]);
    create.args(["--header", "X-Forwarded-For: 6.6.6.6", "--header", "Forwarded: for=6.6.6.6"]);
    create.args([
        "--header",
        "Client-Cert: nonsense",
        "--header",
        "Content-Type: application/json",
    ]);
    create.args(["--data", r#"{"name": "from-afar", "kind": "medv"}"#]);
    create.arg(format!("{}/api/v1/images", nginx.url()));
    run(create).await.successful();
    let rows = admin.get("/api/v1/audit").await.expecting(200).items();
    let row = rows.iter().find(|row| row["subject"] == "images/from-afar").expect("a row");
    assert_eq!(row["client_address"], "127.0.0.5");
    let large = "x".repeat(60_000);
    admin.get("/api/v1/whoami").header("X-Filler", &large).await.expecting(200);
    let acknowledged = ping(admin).await.expecting(200);
    assert_eq!(acknowledged.required_header("bits-packet-type"), "Ack");
}

async fn files_pass_in_any_order(anyone: &Person) {
    let path = "/MEDVImages/win7-office_1.ckm";
    let part = anyone.get(path).header("Range", "bytes=100000-100099").await.expecting(206);
    assert!(part.body == ckm(1)[100_000..100_100], "another range");
    let ranges: Vec<_> = (0..600).map(|at| format!("{}-{}", at * 500, at * 500 + 9)).collect();
    let several = format!("bytes={}", ranges.join(","));
    let several = anyone.get(path).header("Range", &several).await.expecting(206);
    assert!(several.required_header("content-type").starts_with("multipart/byteranges"));
    let asked: Vec<_> = ckm(1).chunks(500).map(|chunk| chunk[..10].to_vec()).collect();
    let got: Vec<_> = parts(&several).into_iter().map(|part| part.bytes).collect();
    assert!(got == asked, "other bytes than were asked for");
}

#[tokio::test]
async fn the_alert_rules_are_sound() {
    let folder = folder().join("prometheus");
    for arguments in [
        &["check", "rules", "alerts.yaml"][..],
        &["test", "rules", "alerts-test.yaml", "alerts-test-weeks.yaml"][..],
    ] {
        let mut promtool = Command::new("promtool");
        promtool.args(arguments).current_dir(&folder);
        run(promtool).await.successful();
    }
}

/// Each query of the dashboard is one that Prometheus takes, and asks for metrics that a server has.
/// Read with the types that Grafana generates from its schema, and written again.
#[tokio::test]
async fn grafana_s_schema_has_all_that_the_dashboard_says() {
    let mut python = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python"));
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/grafana_board.py"));
    python.arg(folder().join("grafana/imagedepot.json")).env("PYTHONDONTWRITEBYTECODE", "1");
    let lost = run(python).await.successful().stdout;
    // Grafana writes these itself, beside the query that its schema has.
    let expected = "/templating/list/1/definition\n/templating/list/2/definition\n";
    assert_eq!(lost, expected);
}

#[tokio::test]
async fn the_queries_of_the_dashboard_find_something() {
    let board: serde_json::Value =
        serde_json::from_str(&deployed("grafana/imagedepot.json")).expect("JSON");
    assert_eq!(board["title"], "imagedepot");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> = targets
        .map(|target| target["expr"].as_str().expect("a query").to_owned())
        .map(|query| query.replace("$job", ".*").replace("$instance", ".*"))
        .map(|query| query.replace("$__rate_interval", "5m"))
        .collect();
    assert!(queries.len() > 25, "{queries:?}");
    let rules: Vec<_> = queries
        .iter()
        .zip(0..)
        .map(
            |(query, number)| json!({"record": format!("dashboard:query:{number}"), "expr": query}),
        )
        .collect();
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("queries.yaml");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    std::fs::write(&file, text).expect("write the queries");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules"]).arg(&file);
    run(promtool).await.successful();
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    // Some gauges begin with what they count.
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    let _stream = EventStream::open(&depot.admin(), "", None).await;
    let words = queries
        .iter()
        .flat_map(|query| query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let asked: BTreeSet<_> = words
        .filter(|word| word.starts_with("imagedepot_") || word.starts_with("process_"))
        .filter(|word| !word.contains("_scrub") && !word.contains("_request_duration_"))
        .map(str::to_owned)
        .collect();
    for metric in asked {
        eventually(&format!("{metric} is among the metrics"), || async {
            let text = depot.admin().get("/metrics").await.expecting(200).text();
            text.lines().any(|line| line.starts_with(&metric)).then_some(())
        })
        .await;
    }
}

/// A rule on a metric that is described and never set would be silent for ever.
#[tokio::test]
async fn what_the_alert_rules_watch_is_there_from_the_start() {
    let place = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(place.path(), "authority");
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{}\"\n{}client_certificates = \"required\"\nclient_ca = \"{}\"\n\
         crl = [\"{}\"]\n",
        free_port(),
        authority.server("server").as_settings(),
        authority.file().display(),
        authority.revoke(&[], Valid::Long).display(),
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    depot.admin().published_image("win7-office", "production").await;
    // A scrub comes when its time has come.
    for metric in watched().into_iter().filter(|metric| !metric.starts_with("imagedepot_scrub_")) {
        eventually(&format!("{metric} is among the metrics"), || async {
            let text = metrics(&depot.server.url()).await;
            let is_it = |line: &str| {
                line.strip_prefix(&metric).is_some_and(|rest| rest.starts_with([' ', '{']))
            };
            text.lines().any(is_it).then_some(())
        })
        .await;
    }
}

/// The metrics that the alert rules name.
fn watched() -> BTreeSet<String> {
    let rules = deployed("prometheus/alerts.yaml");
    let words = rules.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    words.filter(|word| word.starts_with("imagedepot_")).map(str::to_owned).collect()
}
