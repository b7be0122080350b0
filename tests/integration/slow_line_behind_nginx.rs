//! A slow client behind the nginx that `docs/access.md` shows: nginx takes no more of a file than its client does.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::harness::command::run;
use crate::harness::nginx;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, is_long_run, sample};

const ACCESS: &str = include_str!("../../docs/access.md");

/// The lines of the snippet's `location`, with the address of this server.
fn location_of_the_document(server: u16) -> String {
    let (_, behind) = ACCESS.split_once("```nginx\n").expect("a snippet");
    let (snippet, _) = behind.split_once("```").expect("its end");
    let (_, location) = snippet.split_once("    location / {").expect("its location");
    let (location, _) = location.split_once("    }").expect("its end");
    assert!(location.contains("http://127.0.0.1:8080"));
    let location = location.replace("127.0.0.1:8080", &format!("127.0.0.1:{server}"));
    // It is for a listener with certificates.
    let kept = |line: &&str| !line.contains("$ssl_client_escaped_cert");
    location.lines().filter(kept).collect::<Vec<_>>().join(
        "
",
    ) + "
"
}

struct Nginx(Child);

impl Nginx {
    /// `more` stands beside the lines of the location.
    fn start(folder: &Path, port: u16, location: &str, more: &str) -> Self {
        let server = format!(
            "    server {{\n        listen 127.0.0.1:{port};\n        {more}\n        location / {{\n{location}        }}\n    }}"
        );
        std::fs::write(folder.join("settings"), nginx::settings(folder, &server))
            .expect("its settings");
        Self(nginx::command(folder).spawn().expect("nginx must be installed; tests/run sees to it"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file, a client and an nginx that keeps less of the file than lasts for `send_timeout`, or more.
struct Setting {
    size: usize,
    rate: &'static str,
    nginx: &'static str,
    send_timeout: &'static str,
    patience: Duration,
}

/// nginx may keep 16 MB, which last longer than `send_timeout` at 1 MB/s.
const SMALL: Setting = Setting {
    size: 30_000_000,
    rate: "1M",
    nginx: "proxy_max_temp_file_size 16m;",
    send_timeout: "10s",
    patience: Duration::from_mins(2),
};

/// nginx with what it keeps by itself, 1 GiB, and the server's own `send_timeout`.
const LARGE: Setting = Setting {
    size: 1_600_000_000,
    rate: "6M",
    nginx: "",
    send_timeout: "2m",
    patience: Duration::from_mins(10),
};

/// Fetches the file through nginx; the exit code of curl, and how many bytes came.
async fn fetch_slowly(setting: Setting, location: impl Fn(u16) -> String) -> (i32, u64) {
    let Setting { size, rate, nginx, send_timeout, patience } = setting;
    let depot =
        Depot::on(Database::Sqlite).setting("server", "send_timeout", send_timeout).start().await;
    depot.admin().publish_single("large", "img", &sample::bytes(1, size)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let location = location(depot.server.port());
    let _nginx = Nginx::start(folder.path(), port, &location, nginx);
    eventually("nginx listens", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    let file = folder.path().join("fetched");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--limit-rate", rate, "-o"]).arg(&file);
    curl.arg(format!("http://127.0.0.1:{port}/MEDVImages/large_1.img"));
    let code = tokio::time::timeout(patience, run(curl)).await.expect("an end").code;
    (code, std::fs::metadata(file).map_or(0, |file| file.len()))
}

/// Returns the configuration of a proxy that says nothing about buffers.
fn bare(server: u16) -> String {
    format!("            proxy_pass http://127.0.0.1:{server};\n")
}

#[tokio::test]
async fn a_slow_client_behind_nginx_gets_the_whole_file() {
    let whole = (0, SMALL.size as u64);
    assert_eq!(fetch_slowly(SMALL, location_of_the_document).await, whole);
}

#[tokio::test]
async fn a_slow_client_behind_an_nginx_that_buffers_gets_it_as_well() {
    assert_eq!(fetch_slowly(SMALL, bare).await, (0, SMALL.size as u64));
}

/// In full size, where it takes 270 s.
#[tokio::test]
async fn a_large_file_passes_through_the_buffers_of_nginx_at_6_mb_s() {
    if is_long_run() {
        assert_eq!(fetch_slowly(LARGE, bare).await, (0, LARGE.size as u64));
    }
}
