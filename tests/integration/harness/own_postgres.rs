//! A PostgreSQL cluster of a test's own, which may be stopped in the middle of what it does (SIGSTOP): the one that all
//! tests share must not.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::postgres::{Cluster, TestDatabase, locked_file};
use super::sample::unique;
use super::small_disk::SmallDisk;

/// Stopped by its watchdog some seconds after the test's end, however that came.
pub struct OwnPostgres {
    cluster: Cluster,
    address: SocketAddr,
    _users: File,
}

impl OwnPostgres {
    pub fn start() -> Self {
        Self::begin(Cluster::start)
    }

    /// A standby of it, which is to be read only until it takes over.
    pub fn standby(&self) -> Self {
        Self::begin(|cluster| cluster.follow(self.address))
    }

    fn begin(start: impl Fn(&Cluster) -> SocketAddr) -> Self {
        let name = format!("own-{}", unique());
        let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{name}.lock"));
        let users = locked_file(&lock, File::lock_shared);
        let cluster = Cluster::named(&name);
        let address = start(&cluster);
        // The lock's own file goes with the cluster.
        cluster.watch(&lock, &lock);
        Self { cluster, address, _users: users }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes a new database whose files lie on this disk.
    pub fn database_on(&self, disk: &SmallDisk) -> TestDatabase {
        TestDatabase::on_disk(self.address, disk)
    }

    /// Stops the cluster like a machine that loses its power.
    pub fn stop(&self) {
        self.cluster.stop();
    }

    /// A standby takes over.
    pub fn take_over(&self) {
        self.cluster.promote();
    }

    /// Every process of it stands still: connections stay, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid_file = self.cluster.folder.join("data/postmaster.pid");
        let text = std::fs::read_to_string(pid_file).expect("PostgreSQL's own note");
        let postmaster: i32 =
            text.lines().next().and_then(|line| line.parse().ok()).expect("its number");
        // The first that makes others, then those that it has made.
        for process in std::iter::once(postmaster).chain(children_of(postmaster)) {
            let process = Pid::from_raw(process).expect("a number");
            // One that has just ended by itself is none to stop.
            let _gone = kill_process(process, signal);
        }
    }
}

fn children_of(parent: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
        let process: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        (line.trim().parse() == Ok(parent)).then_some(process)
    });
    processes.collect()
}
