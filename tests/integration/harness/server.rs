//! The server as a process: started, stopped, killed and started again on the same data.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::command::without_own_settings;
use super::project::program;
use super::sample::random_below;

/// The configuration with which a server starts, each time.
#[derive(Clone)]
pub struct ServerSetup {
    /// The data folder; the server makes it.
    pub data: PathBuf,
    /// The file with the server's output, kept across restarts.
    pub log: PathBuf,
    /// Environment of the server.
    pub environment: Vec<(String, String)>,
    /// The arguments after `serve --data … --listen …`.
    pub arguments: Vec<String>,
}

/// A server that listens on a loopback port of its own; killed when dropped.
pub struct Server {
    setup: ServerSetup,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Starts it and waits until it says that it is ready.
    pub async fn start(setup: ServerSetup) -> Self {
        let mut server = Self { setup, port: free_port(), process: None };
        server.start_again().await;
        server
    }

    /// Starts a stopped or killed server on the same data and port.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        for _ in 0..5 {
            self.process = Some(self.spawn());
            if self.becomes_ready().await {
                return;
            }
            // Another test was faster to take the port.
            assert!(self.log().contains("in use"), "the server gave up:\n{}", self.log());
            self.port = free_port();
        }
        panic!("no free port in five attempts");
    }

    /// `setpriv` makes the kernel kill the server when the test's thread is gone, however it went;
    /// it replaces itself by the server, so the process id is the server's.
    fn spawn(&self) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.setup.log)
            .expect("open the server's log");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", program(), "serve"])
            .arg("--data")
            .arg(&self.setup.data)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(&self.setup.arguments)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        without_own_settings(&mut command);
        command.envs(self.setup.environment.iter().cloned());
        command.spawn().expect("start the server")
    }

    async fn becomes_ready(&mut self) -> bool {
        let http = super::person::http_client();
        let deadline = Instant::now() + Duration::from_mins(1);
        while Instant::now() < deadline {
            let process = self.process.as_mut().expect("just started");
            if process.try_wait().expect("look after the server").is_some() {
                self.process = None;
                return false;
            }
            let answer = http.get(format!("{}/readyz", self.url())).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server is not ready after a minute:\n{}", self.log());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn data(&self) -> &Path {
        &self.setup.data
    }

    /// Everything that the server has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.setup.log).unwrap_or_default()
    }

    /// Asks the server to stop, as a service manager does, without waiting.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks the server to read its certificates again.
    pub fn ask_to_reload(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the server runs");
        kill_process(Pid::from_child(process), signal).expect("signal the server");
    }

    /// Waits until the server has ended by itself.
    pub async fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_mins(1);
        while Instant::now() < deadline {
            let process = self.process.as_mut().expect("the server runs");
            if let Some(status) = process.try_wait().expect("look after the server") {
                self.process = None;
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server does not stop:\n{}", self.log());
    }

    /// SIGTERM, and its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait_for_end().await
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().expect("kill the server");
        process.wait().expect("see the server's end");
    }

    /// Stops and starts on the same data.
    pub async fn restart(&mut self) {
        assert!(self.stop().await.success(), "the server did not stop well:\n{}", self.log());
        self.start_again().await;
    }

    /// The most memory that the process has had resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that the process has resident now, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The processor time that the process has used.
    pub fn processor_time(&self) -> Duration {
        let process = self.process.as_ref().expect("the server runs");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()))
            .expect("read the server's state");
        let (_, fields) = stat.rsplit_once(") ").expect("the name ends");
        let ticks: Vec<u64> =
            fields.split(' ').skip(11).take(2).map(|field| field.parse().expect("ticks")).collect();
        // A tick is a hundredth of a second on every Linux.
        Duration::from_millis(ticks.iter().sum::<u64>() * 10)
    }

    fn memory(&self, field: &str) -> u64 {
        let process = self.process.as_ref().expect("the server runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))
            .expect("read the server's status");
        let kilobytes: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .expect("a size in kB");
        kilobytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(20_000).map_or(0, |(index, _)| index);
            eprintln!("--- the server's log ---\n{}", &log[from..]);
        }
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: one
/// of those might be taken again before the server gets to it.
pub fn free_port() -> u16 {
    loop {
        let port = u16::try_from(10_000 + random_below(20_000)).expect("below 30,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
