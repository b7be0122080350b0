//! `HAProxy` in front, with HTTP/1.1 and HTTP/2 to its clients: early answers, chunks and slow readers pass as they do
//! without it.

use std::path::Path;
use std::process::{Child, Command};

use crate::harness::actions::file_path;
use crate::harness::command::{guarded, run};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, sample};

struct Haproxy {
    process: Child,
    /// The ports for HTTP/1.1 and for HTTP/2 without TLS.
    ports: [u16; 2],
    _folder: tempfile::TempDir,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Haproxy {
    async fn before(server: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = [free_port(), free_port()];
        let settings = format!(
            "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{}
    bind 127.0.0.1:{} proto h2
    default_backend depot
backend depot
    server depot 127.0.0.1:{server}
",
            ports[0], ports[1]
        );
        let path = folder.path().join("settings");
        std::fs::write(&path, settings).expect("write the settings");
        let mut command = guarded("haproxy");
        let process = command.arg("-db").arg("-f").arg(path).spawn().expect("start it");
        eventually("the proxy listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", ports[1])).await.ok()
        })
        .await;
        Self { process, ports, _folder: folder }
    }
}

/// curl, and what it says of status and bytes sent.
fn curl(http2: bool) -> Command {
    let mut curl = guarded("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}"]);
    if http2 {
        curl.arg("--http2-prior-knowledge");
    }
    curl
}

fn upload(http2: bool, login: &str, file: &Path, url: &str) -> Command {
    let mut upload = curl(http2);
    upload.args(["-u", login, "-H", "Expect: 100-continue", "-T"]).arg(file).arg(url);
    upload
}

#[tokio::test]
async fn uploads_are_refused_before_their_bytes_and_taken_without_a_length() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let proxy = Haproxy::before(depot.server.port()).await;
    let (login, bytes) = (admin.name_and_password(), sample::bytes(1, 20_000_000));
    let file = depot.scratch().join("linux.img");
    std::fs::write(&file, &bytes).expect("a file");
    for (http2, port) in [false, true].into_iter().zip(proxy.ports) {
        let image = format!("linux-{http2}");
        admin.create_single_image(&image, "img").await;
        let path = file_path(&image, admin.draft(&image).await, "image");
        let url = format!("http://127.0.0.1:{port}{path}");
        // HTTP/2 has no way to stop an upload but to reset it, and some of it is on its way by then.
        let early = run(upload(http2, "admin:wrong", &file, &url)).await.stdout;
        let (status, sent) = early.split_once(' ').expect("both");
        let sent: usize = sent.parse().expect("a number");
        assert!(status == "401" && sent < bytes.len() / 2, "{early}");
        let said = run(upload(http2, &login, &file, &url)).await.successful().stdout;
        assert_eq!(said, format!("201 {}", bytes.len()));
        let mut piped = guarded("sh");
        let version = if http2 { "--http2-prior-knowledge" } else { "--http1.1" };
        piped.args([
            "-c",
            r#"cat "$1" | curl -sS -f "$4" -o /dev/null -w '%{http_code}' -u "$2" -T - "$3""#,
        ]);
        piped.arg("sh").arg(&file).args([&login, &url, version]);
        assert_eq!(run(piped).await.successful().stdout, "200");
        assert!(admin.get(&path).await.expecting(200).body == bytes);
    }
}

#[tokio::test]
async fn a_reader_that_is_slow_gets_the_whole_file() {
    let depot = Depot::on(Database::Sqlite).setting("server", "send_timeout", "5s").start().await;
    let bytes = sample::bytes(1, 30_000_000);
    depot.admin().publish_single("linux", "img", &bytes).await;
    let proxy = Haproxy::before(depot.server.port()).await;
    for (http2, port) in [false, true].into_iter().zip(proxy.ports) {
        let file = depot.scratch().join("fetched");
        let mut fetch = guarded("curl");
        fetch.args(["-sS", "--fail", "--limit-rate", "3M", "-o"]).arg(&file);
        fetch.arg(if http2 { "--http2-prior-knowledge" } else { "--http1.1" });
        fetch.arg(format!("http://127.0.0.1:{port}/MEDVImages/linux_1.img"));
        run(fetch).await.successful();
        assert!(std::fs::read(&file).expect("the file") == bytes);
    }
}
