//! Other programs, run to their end without stopping the test's own tasks.

use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::depot::ADMIN_PASSWORD;
use super::project::program;

/// The output and the exit code of a program.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end, on a thread where waiting hurts nobody.
pub async fn run(mut command: Command) -> Finished {
    let shown = format!("{command:?}");
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the waiting thread")
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts a program and kills it after so long; says whether it had ended well before.
pub async fn kill_after(mut command: Command, milliseconds: u64) -> bool {
    use std::process::Stdio;
    let shown = format!("{command:?}");
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut process = started.unwrap_or_else(|error| panic!("{shown}: {error}"));
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    process.kill().expect("kill it");
    process.wait().expect("its end").success()
}

/// Reports whether a program ends successfully within half a minute.
pub async fn ends_well(process: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("look after the process") {
            return status.success();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.kill().expect("end it");
    panic!("a program does not end");
}

impl Finished {
    /// Returns the last line as JSON, which `--output json` promises.
    #[track_caller]
    pub fn last_line(&self) -> Value {
        let line = self.stdout.lines().last().expect("a last line");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The same, after making sure that it ended well.
    #[track_caller]
    pub fn successful(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The program under test, without any setting that the developer's shell may hold, and with another
/// memory than the developer's.
pub fn imagedepot<const N: usize>(arguments: [&str; N]) -> Command {
    another_imagedepot(program().as_ref(), arguments)
}

/// Another build of it, likewise.
pub fn another_imagedepot<const N: usize>(program: &Path, arguments: [&str; N]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    without_own_settings(&mut command);
    command.env("IMAGEDEPOT_STATE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
    command
}

/// The program, killed with the test.
pub fn guarded(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A command that talks to the server at `url` as `admin`.
pub fn as_admin<const N: usize>(url: &str, arguments: [&str; N]) -> Command {
    to_server(imagedepot(arguments), url)
}

/// A command, told to talk to the server at `url` as `admin`.
pub fn to_server(mut command: Command, url: &str) -> Command {
    command
        .env("IMAGEDEPOT_URL", url)
        .env("IMAGEDEPOT_USER", "admin")
        .env("IMAGEDEPOT_PASSWORD", ADMIN_PASSWORD);
    command
}

/// Takes every `IMAGEDEPOT…` variable away from a program to be started.
pub fn without_own_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IMAGEDEPOT") {
            command.env_remove(name);
        }
    }
}

/// curl as a script would call it: silent, failing on an error status, no settings file.
pub fn curl() -> Command {
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]);
    command
}
