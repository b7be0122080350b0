//! A real pgbouncer in front of a test's database.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::server::free_port;

pub struct Pooler {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Pooler {
    /// `mode` is its `pool_mode`.
    pub fn start(database: &str, mode: &str) -> Self {
        let (server, name) = database.rsplit_once('/').expect("a URL with a database");
        let (_, address) = server.rsplit_once('@').expect("a URL with a user");
        let (host, database_port) = address.rsplit_once(':').expect("an address");
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = host={host} port={database_port} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             pool_mode = {mode}\nunix_socket_dir =\n"
        );
        std::fs::write(&settings, text).expect("write its settings");
        let process =
            command(&settings).spawn().expect("pgbouncer must be installed; tests/run sees to it");
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
        wait_for(port);
        Self { process, url, _folder: folder }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// It refuses to run as root; its settings are everybody's to read.
fn command(settings: &Path) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        open_to_all(settings);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", "pgbouncer"]);
        command
    } else {
        Command::new("pgbouncer")
    };
    command.arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn open_to_all(settings: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = settings.parent().expect("its folder");
    for (path, mode) in [(folder, 0o755), (settings, 0o644)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("let it be read");
    }
}

fn wait_for(port: u16) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "pgbouncer does not listen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
