//! The command-line arguments of a simulation, and the plan that they make.

use std::time::Duration;

use super::fleet::Habits;
use super::share::{GroupShare, Share};
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::output::Output;

/// The connections that are kept at most, if nothing else is said.
const KEPT: u16 = 64;

/// The bounds of a period and a duration.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_hours(31 * 24);

const LONG_ABOUT: &str = "\
Load a running server with the update checks of a fleet, and measure its answers

Each client asks in a slot of its own, once a period, whatever the answers are. A latency counts from \
the moment at which the check was due, and includes the making of the connection. Nothing is \
downloaded. The clients are called simulated-000000, simulated-000001 and so on, the same ones at \
each run.";

/// The exit codes.
const EXIT_CODES: &str = "\
Exit codes:
  0  the load was offered to its end; refused and unanswered checks are part of the result (errors)
  1  failed for another reason than those below
  2  the command line is wrong, or the server refuses a value in it
  3  the server cannot be reached, or not one check was answered
  4  refused: the credentials are wrong or not sufficient
  5  not found: no such image or channel
  8  the file of a password, a token or an authority cannot be read
  130  ended with Ctrl-C; the result so far is printed";

/// Load a running server with the update checks of a fleet, and measure its answers
#[derive(Debug, Clone, clap::Args)]
#[command(long_about = LONG_ABOUT, after_help = EXIT_CODES)]
pub struct Args {
    /// Name of the image that the clients have
    #[arg(long, value_name = "NAME")]
    pub image: String,

    /// Channel in which the clients ask
    #[arg(long, value_name = "CHANNEL", default_value = "production")]
    pub channel: String,

    /// Number of clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub clients: u32,

    /// Time between two checks of the same client
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "15min")]
    pub period: Duration,

    /// Time for which the load is offered
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5min")]
    pub duration: Duration,

    /// Share of the clients that ask over a new connection each time, with a whole TLS handshake (0 to 1)
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub fresh: Share,

    /// Share of the clients that ask over a new connection each time and resume a TLS session (0 to 1)
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub resumed: Share,

    /// Largest number of connections that are kept for the other clients
    #[arg(long, value_name = "N", default_value_t = KEPT, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,

    /// Group, and its share of the clients (repeatable); the rest is in no group
    #[arg(long = "group", value_name = "NAME=SHARE")]
    pub groups: Vec<GroupShare>,

    /// Revision that all clients have at first; 0 is none [default: the one that the channel offers now]
    #[arg(long, value_name = "N")]
    pub revision: Option<u32>,

    /// Share of the clients that do what they are told, and report it; needs the role `client` (0 to 1)
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub updates: Share,

    /// Share of the clients with --updates that report a failure instead and keep what they have (0 to 1)
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub fails: Share,

    /// A table for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}

/// The load that is to be offered.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub clients: u32,
    pub period: Duration,
    pub duration: Duration,
    pub connections: u16,
    pub habits: Habits,
}

impl Args {
    /// Checks what no argument alone can tell.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let Self { fresh, resumed, .. } = *self;
        if is_above_one([fresh, resumed]) {
            return Err(Failure::usage("--fresh and --resumed are more than 1 together"));
        }
        if is_above_one(self.groups.iter().map(|group| group.share)) {
            return Err(Failure::usage("the shares of all --group are more than 1 together"));
        }
        let groups = self.groups.clone();
        let habits = Habits { fresh, resumed, updates: self.updates, fails: self.fails, groups };
        let Self { clients, period, duration, connections, .. } = *self;
        Ok(Plan { clients, period, duration, connections, habits })
    }
}

impl Plan {
    /// Returns the checks a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.clients) / self.period.as_secs_f64()
    }
}

/// Reports whether shares are more than the whole. Ten tenths may be a little more than 1 as the machine counts.
fn is_above_one(shares: impl IntoIterator<Item = Share>) -> bool {
    shares.into_iter().map(Share::value).sum::<f64>() > 1.0 + 1e-9
}

/// Parses a time such as `15min`.
fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is written as 15min, 90s or 1h"))?;
    if (SHORTEST..=LONGEST).contains(&time) {
        Ok(time)
    } else {
        Err("it must be between 1ms and 31days".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn typed(line: &str) -> Result<Args, clap::Error> {
        let words = ["simulate", "--image", "win7-office"].into_iter().chain(line.split(' '));
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn a_fleet_is_planned_as_it_was_typed() {
        let line = "--clients 90000 --fresh 0.5 --resumed 0.25 --group lab=0.1 --group office=0.9 --duration 90s";
        let plan = typed(line).unwrap().plan().unwrap();
        assert!((plan.rate() - 100.0).abs() < 1e-9, "90,000 in 15 minutes");
        assert_eq!((plan.duration, plan.connections), (Duration::from_secs(90), KEPT));
        assert_eq!(plan.habits.groups.len(), 2);
    }

    #[test]
    fn a_plan_that_cannot_be_is_refused() {
        for line in [
            "--clients 0",
            "--clients 10 --period 0s",
            "--clients 10 --period 15",
            "--clients 10 --fresh 1.5",
            "--clients 10 --group lab",
            "--clients 10 --connections 0",
        ] {
            assert!(typed(line).is_err(), "{line}");
        }
        for line in
            ["--clients 10 --fresh 0.6 --resumed 0.5", "--clients 10 --group a=0.6 --group b=0.5"]
        {
            assert!(typed(line).unwrap().plan().is_err(), "{line}");
        }
        let tenths = " --group g=0.1".repeat(10);
        assert!(typed(&format!("--clients 10{tenths}")).unwrap().plan().is_ok());
    }
}
