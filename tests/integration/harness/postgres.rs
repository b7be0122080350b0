//! One throw-away PostgreSQL cluster for all tests of a run, a fresh database for each test.
//!
//! `cargo nextest` gives each test a process, `cargo test` all tests one; both share the cluster
//! through two locked files under cargo's `target/tmp`:
//! - `postgres-users.lock` is held shared by everyone who uses the cluster, for the life of the
//!   process. The kernel lets go of it however the process ends.
//! - `postgres-start.lock` is held alone while someone looks whether the cluster runs, or starts it.
//!
//! A watchdog in a session of its own waits until nobody has used the cluster for some seconds,
//! stops it and removes its files. Rejected: stopping it from the last test's `Drop` (under nextest
//! nobody knows who is last), and a cluster started by `tests/run` (then `cargo test` alone would
//! not work).
//!
//! PostgreSQL refuses to run as root. When the tests do (in containers), the cluster belongs to the
//! `postgres` user that Debian's package makes. Its files lie in the system's temporary folder, as
//! that user may not enter root's home, where the working copy may be.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::sample::unique;
use super::small_disk::SmallDisk;

/// Stops the cluster once nobody has held the users' lock for five seconds.
/// Arguments: the users' lock, the file with the address, the cluster's folder, `pg_ctl` and what
/// must stand before it.
const WATCHDOG: &str = r#"
users=$1 address=$2 folder=$3; shift 3
while :; do
    flock --exclusive "$users" true
    sleep 5
    exec 9>>"$users"
    if flock --exclusive --nonblock 9; then
        "$@" --pgdata="$folder/data" --mode=immediate --silent stop
        rm -rf "$folder" "$address"
        exit
    fi
    exec 9>&-
done
"#;

/// A database for one test, dropped at its end.
pub struct TestDatabase {
    name: String,
    cluster: SocketAddr,
}

impl TestDatabase {
    pub fn create() -> Self {
        Self::create_with("")
    }

    /// One that was made with more words.
    pub fn create_with(words: &str) -> Self {
        let cluster = running_cluster();
        let name = format!("depot_{}", unique());
        psql(cluster, &format!("CREATE DATABASE {name} TEMPLATE template0 {words}"));
        Self { name, cluster }
    }

    /// One of another cluster, whose files lie on this disk.
    pub(super) fn on_disk(cluster: SocketAddr, disk: &SmallDisk) -> Self {
        let folder = disk.path().join("tablespace");
        std::fs::create_dir(&folder).expect("a folder for the tablespace");
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres:").arg(&folder));
        }
        let place = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
        psql(cluster, &place);
        let name = format!("depot_{}", unique());
        psql(cluster, &format!("CREATE DATABASE {name} TEMPLATE template0 TABLESPACE small"));
        Self { name, cluster }
    }

    /// Somebody with these properties, whose the database is from now on, as a URL.
    pub fn given_to_a_role(&self, properties: &str) -> String {
        let Self { name, cluster } = self;
        psql(*cluster, &format!("CREATE ROLE {name} LOGIN {properties}"));
        psql(*cluster, &format!("ALTER DATABASE {name} OWNER TO {name}"));
        format!("postgres://{name}@{cluster}/{name}")
    }

    /// Runs a statement in which `{}` is the database's name, and its owner's.
    pub fn run(&self, statement: &str) {
        psql(self.cluster, &statement.replace("{}", &self.name));
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.cluster, self.name)
    }

    /// Takes everything in it away.
    pub fn empty(&self) {
        psql(self.cluster, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        psql(self.cluster, &format!("CREATE DATABASE {} TEMPLATE template0", self.name));
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            psql(self.cluster, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

fn psql(cluster: SocketAddr, statement: &str) {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement])
        .arg(format!("postgres://postgres@{cluster}/postgres"))
        .env("PGCONNECT_TIMEOUT", "20")
        .output()
        .expect("psql must be installed (Debian: postgresql); tests/run sees to it");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The cluster's address; starts it when nobody has yet.
fn running_cluster() -> SocketAddr {
    static CLUSTER: OnceLock<(SocketAddr, File)> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            let locks = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let users = locked_file(&locks.join("postgres-users.lock"), File::lock_shared);
            let _starting = locked_file(&locks.join("postgres-start.lock"), File::lock);
            let address_file = locks.join("postgres-address");
            let address = running_at(&address_file).unwrap_or_else(|| {
                let cluster = Cluster::in_temporary_folder();
                let address = cluster.start();
                std::fs::write(&address_file, address.to_string()).expect("note the address");
                cluster.watch(&locks.join("postgres-users.lock"), &address_file);
                address
            });
            (address, users)
        })
        .0
}

pub(super) fn locked_file(path: &Path, lock: fn(&File) -> std::io::Result<()>) -> File {
    let file = File::options().create(true).append(true).open(path).expect("open a lock file");
    lock(&file).expect("lock a file");
    file
}

fn running_at(address_file: &Path) -> Option<SocketAddr> {
    let address = std::fs::read_to_string(address_file).ok()?.parse().ok()?;
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    Some(address)
}

pub(super) struct Cluster {
    programs: PathBuf,
    pub(super) folder: PathBuf,
    /// The words before each program, by which it does not run as root.
    as_user: Vec<String>,
}

impl Cluster {
    fn in_temporary_folder() -> Self {
        // One cluster for each target folder: two working copies do not meet.
        let mut hasher = DefaultHasher::new();
        env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
        Self::named(&format!("{:x}", hasher.finish()))
    }

    pub(super) fn named(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("imagedepot-pg-{name}"));
        let as_user = if rustix::process::geteuid().is_root() {
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
                .map(str::to_owned)
                .to_vec()
        } else {
            Vec::new()
        };
        Self { programs: newest_programs(), folder, as_user }
    }

    pub(super) fn start(&self) -> SocketAddr {
        self.make_folder();
        run(self.program("initdb").arg(self.data()).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            // As distributions set it up, and not in the order of bytes.
            "--locale=en_US.UTF-8",
            "--no-sync",
        ]));
        self.run_server()
    }

    /// A standby that follows `primary`.
    pub(super) fn follow(&self, primary: SocketAddr) -> SocketAddr {
        self.make_folder();
        let from = format!("--dbname=postgres://postgres@{primary}/postgres");
        let copy = ["--checkpoint=fast", "--write-recovery-conf", "--no-sync"];
        run(self.program("pg_basebackup").arg(self.data()).arg(from).args(copy));
        self.run_server()
    }

    /// Ends it as a machine ends that loses its power.
    pub(super) fn stop(&self) {
        run(self.program("pg_ctl").arg(self.data()).args(["--mode=immediate", "--wait", "stop"]));
    }

    /// A standby follows nobody from now on and takes changes.
    pub(super) fn promote(&self) {
        run(self.program("pg_ctl").arg(self.data()).args(["--wait", "promote"]));
    }

    fn make_folder(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir(&self.folder).expect("a folder for PostgreSQL");
        if !self.as_user.is_empty() {
            run(Command::new("chown").arg("postgres:").arg(&self.folder));
        }
    }

    fn data(&self) -> String {
        format!("--pgdata={}", self.folder.join("data").display())
    }

    fn run_server(&self) -> SocketAddr {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        // Nothing here outlives the machine, so nothing is synced.
        let settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' \
             -c max_connections=400 -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        );
        let log = format!("--log={}", self.folder.join("log").display());
        let data = self.data();
        run(self.program("pg_ctl").args([&data, &log, "--options", &settings, "--wait", "start"]));
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    pub(super) fn watch(&self, users: &Path, address_file: &Path) {
        let status = Command::new("setsid")
            .args(["--fork", "sh", "-c", WATCHDOG, "watchdog"])
            .args([users, address_file, &self.folder])
            .args(&self.as_user)
            .arg(self.programs.join("pg_ctl"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("start the watchdog");
        assert!(status.success(), "the watchdog did not start");
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = match self.as_user.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.current_dir("/");
        command
    }
}

/// Debian keeps `initdb` and `pg_ctl` off the path, one folder for each major version.
fn newest_programs() -> PathBuf {
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(version)
        .expect("PostgreSQL must be installed (Debian: postgresql); tests/run sees to it")
        .join("bin")
}

/// Output goes nowhere: the server that `pg_ctl` leaves behind would keep a pipe open for ever.
fn run(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
