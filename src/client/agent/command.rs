//! The administrator's command after a change: a list of arguments without a shell, with a time limit.
//!
//! It comes from this machine's settings alone: a depot never says what is run.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The time between two looks at a command that is running.
const LOOK: Duration = Duration::from_millis(50);

/// The time that a command has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// The command to run after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAfter {
    program: String,
    arguments: Vec<String>,
    time_limit: Duration,
}

/// The facts about the change that a command is told, in `IMAGEDEPOT_…` variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub image: String,
    pub channel: String,
    pub revision: u64,
    /// The revision before; none for a first one.
    pub previous: Option<u64>,
    /// The folder of the revision.
    pub path: PathBuf,
    /// The number of the attempt: above 1 if an earlier one may have been cut off.
    pub attempt: u32,
}

impl RunAfter {
    /// Returns none if the list is empty.
    pub fn new(mut words: Vec<String>, time_limit: Duration) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let program = words.remove(0);
        Some(Self { program, arguments: words, time_limit })
    }

    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Runs the command to its end, or to the end of its time. Blocks. Its output goes to standard error, and its standard
    /// input is `held`, an empty file whose lock it keeps, even if the agent is killed.
    pub fn run(&self, told: &Told, held: File) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env("IMAGEDEPOT_IMAGE", &told.image)
            .env("IMAGEDEPOT_CHANNEL", &told.channel)
            .env("IMAGEDEPOT_REVISION", told.revision.to_string())
            .env("IMAGEDEPOT_PREVIOUS", told.previous.map_or_else(String::new, |n| n.to_string()))
            .env("IMAGEDEPOT_PATH", &told.path)
            .env("IMAGEDEPOT_ATTEMPT", told.attempt.to_string())
            .stdin(Stdio::from(held))
            // The agent's own results are on standard output.
            .stdout(std::io::stderr())
            // So that it can be ended with all that it has started.
            .process_group(0);
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let mut child =
            command.spawn().map_err(|error| format!("cannot start {}: {error}", self.program))?;
        match self.wait(&mut child) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended with {status}", self.program)),
            Ok(None) => {
                end(&mut child);
                let seconds = self.time_limit.as_secs();
                Err(format!("{} did not end within {seconds} s", self.program))
            }
            Err(error) => Err(format!("cannot wait for {}: {error}", self.program)),
        }
    }

    /// Waits for the end; none if the time is over before.
    fn wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let until = Instant::now() + self.time_limit;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }
}

/// The agent's own credentials, which are none of the command's business.
const SECRETS: [&str; 2] = ["IMAGEDEPOT_PASSWORD", "IMAGEDEPOT_TOKEN"];

/// Ends the command and what it has started: first kindly.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(group) = group else { return };
    let _gone = kill_process_group(group, Signal::TERM);
    let until = Instant::now() + GRACE;
    while Instant::now() < until && !matches!(child.try_wait(), Ok(Some(_))) {
        std::thread::sleep(LOOK);
    }
    let _gone = kill_process_group(group, Signal::KILL);
    let _collected = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Result<(), String> {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let told = Told {
            image: "win7".to_owned(),
            channel: "production".to_owned(),
            revision: 12,
            previous: None,
            path: PathBuf::from("/images/win7/12"),
            attempt: 2,
        };
        RunAfter::new(words, limit).unwrap().run(&told, tempfile::tempfile().unwrap())
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_command_knows_image_revision_path_and_attempt() {
        let expected = "win7 production 12 <> /images/win7/12 2";
        let script = format!(
            "test \"$IMAGEDEPOT_IMAGE $IMAGEDEPOT_CHANNEL $IMAGEDEPOT_REVISION \
             <$IMAGEDEPOT_PREVIOUS> $IMAGEDEPOT_PATH $IMAGEDEPOT_ATTEMPT\" = \"{expected}\""
        );
        assert_eq!(run(&script, LIMIT), Ok(()));
    }

    #[test]
    fn a_command_that_fails_says_how() {
        assert_eq!(run("exit 3", LIMIT), Err("sh ended with exit status: 3".to_owned()));
        let none = RunAfter::new(vec!["/does/not/exist".to_owned()], LIMIT).unwrap();
        let told = Told {
            image: String::new(),
            channel: String::new(),
            revision: 1,
            previous: None,
            path: PathBuf::new(),
            attempt: 1,
        };
        let error = none.run(&told, tempfile::tempfile().unwrap()).unwrap_err();
        assert!(error.starts_with("cannot start /does/not/exist"), "{error}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("late");
        let script = format!("(sleep 3; touch {}) & sleep 60", file.display());
        let error = run(&script, Duration::from_secs(1)).unwrap_err();
        assert!(error.contains("did not end within 1 s"), "{error}");
        std::thread::sleep(Duration::from_secs(3));
        assert!(!file.exists());
    }
}
