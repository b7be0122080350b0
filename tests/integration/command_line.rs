//! The commands that an administrator starts: the demo, users and migrations beside a server, a TLS listener.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::actions::ckm;
use crate::harness::command::{curl, ends_well, imagedepot, run, without_own_settings};
use crate::harness::project::program;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![
    users_are_managed_on_the_command_line,
    migrate_prepares_a_catalog_and_may_be_repeated,
];

async fn users_are_managed_on_the_command_line(database: Database) {
    let depot = Depot::start(database).await;
    let mut list = imagedepot(["user", "list"]);
    list.arg("--data").arg(depot.server.data()).envs(depot.environment());
    let shown = run(list).await.successful().stdout;
    assert!(shown.contains("admin"), "{shown}");
    let mut unknown = imagedepot(["user", "passwd", "nobody"]);
    unknown.arg("--data").arg(depot.server.data()).envs(depot.environment());
    unknown.stdin(Stdio::null());
    assert_ne!(run(unknown).await.code, 0);
}

async fn migrate_prepares_a_catalog_and_may_be_repeated(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.admin().create_image("win7-office").await;
    depot.server.stop().await;
    for _ in 0..2 {
        let mut migrate = imagedepot(["migrate"]);
        migrate.arg("--data").arg(depot.server.data()).envs(depot.environment());
        run(migrate).await.successful();
    }
    depot.server.start_again().await;
    depot.admin().get("/api/v1/images/win7-office").await.expecting(200);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let depot = Depot::start(Database::Sqlite).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let mut second = imagedepot(["serve", "--listen", &listen]);
    second.arg("--data").arg(depot.server.data());
    let refused = run(second).await;
    assert!(refused.code > 0 && refused.stderr.contains("data"), "{}", refused.stderr);
    depot.admin().get("/api/v1/images").await.expecting(200);
}

#[tokio::test]
async fn demo_shows_the_main_job_and_what_to_try_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("output");
    let listen = format!("127.0.0.1:{}", free_port());
    let file = std::fs::File::create(&output).expect("a file for the output");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program()]);
    command.args(["demo", "--listen", &listen]).current_dir(folder.path());
    command.stdin(Stdio::null()).stderr(file.try_clone().expect("one file")).stdout(file);
    without_own_settings(&mut command);
    let mut demo = command.spawn().expect("start the demo");
    let told = eventually("the demo says what to try next", || async {
        let told = std::fs::read_to_string(&output).ok()?;
        let complete = told.contains("curl") && told.contains(".ckm") && told.contains("/docs");
        complete.then_some(told)
    })
    .await;
    // Every page and file that it names answers; the server's bare address is for settings.
    let server = format!("http://{listen}");
    let addresses: Vec<&str> = told
        .split(|c: char| c.is_whitespace() || "'\"<>()".contains(c))
        .map(|word| word.trim_end_matches(['.', ',', ';', ':', '/']))
        .filter(|word| word.starts_with("http://") && *word != server && !word.contains('{'))
        .collect();
    assert!(addresses.len() >= 3, "{told}");
    let mut tree_files = 0;
    for address in addresses {
        let mut fetch = curl();
        fetch.args(["--location", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        fetch.arg(address);
        let status = run(fetch).await.stdout;
        // 405: what it shows is a POST.
        assert!(["200", "401", "405"].contains(&status.as_str()), "{address}: {status}");
        tree_files += usize::from(address.contains("/MEDVImages/") && status == "200");
    }
    assert!(tree_files > 0, "no published file is shown:\n{told}");
    kill_process(Pid::from_child(&demo), Signal::TERM).expect("ask the demo to stop");
    assert!(ends_well(&mut demo).await, "the demo did not stop well");
}

#[tokio::test]
async fn a_listener_with_a_certificate_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issued = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let certificate = folder.path().join("server.pem");
    let key = folder.path().join("server.key");
    std::fs::write(&certificate, issued.cert.pem()).expect("write the certificate");
    std::fs::write(&key, issued.signing_key.serialize_pem()).expect("write the key");
    let port = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"\ncertificate = '{}'\nkey = '{}'\n",
        certificate.display(),
        key.display()
    );
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    depot.admin().published_image("win7-office", "production").await;
    let url = format!("https://localhost:{port}/MEDVImages/win7-office_1.ckm");
    let fetched = folder.path().join("fetched");
    for version in ["--tlsv1.2", "--http1.1", "--http2"] {
        let mut fetch = curl();
        fetch
            .arg(version)
            .arg("--cacert")
            .arg(&certificate)
            .arg("--output")
            .arg(&fetched)
            .arg(&url);
        run(fetch).await.successful();
        assert!(std::fs::read(&fetched).expect("fetched") == ckm(1), "{version}: other bytes");
    }
    let mut untrusting = curl();
    untrusting.arg(&url);
    assert_eq!(run(untrusting).await.code, 60, "curl trusts a certificate of nobody");
    // `--listen` is a plain listener beside those of the file.
    depot.anonymous().get("/livez").await.expecting(200);
}

#[tokio::test]
async fn the_version_tells_which_program_it_is() {
    let told = run(imagedepot(["--version"])).await.successful().stdout;
    let version = format!("imagedepot {} (commit ", env!("CARGO_PKG_VERSION"));
    assert!(told.starts_with(&version) && told.lines().count() == 1, "{told}");
    assert!(told.contains(", schema ") && told.contains(", features server client"), "{told}");
}

#[tokio::test]
async fn a_log_on_a_terminal_has_no_colours_where_they_are_not_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = async |no_color: &str| {
        // A terminal of its own; the server ends after some seconds.
        let mut terminal = Command::new("script");
        without_own_settings(&mut terminal);
        let serve = format!(
            "timeout --signal TERM 4 {} serve --data {} --listen 127.0.0.1:0",
            program(),
            folder.path().join("data").display()
        );
        terminal.args(["--quiet", "--return", "--command", &serve, "/dev/null"]);
        terminal.env("NO_COLOR", no_color).env("TERM", "xterm").stdin(Stdio::null());
        run(terminal).await.stdout
    };
    let (coloured, plain) = (shown("").await, shown("1").await);
    assert!(coloured.contains("listening on") && coloured.contains("\u{1b}["), "{coloured}");
    assert!(plain.contains("listening on") && !plain.contains("\u{1b}["), "{plain}");
}
