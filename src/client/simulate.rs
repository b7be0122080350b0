//! `imagedepot simulate`: loads a running server with the update checks of a fleet, and measures its answers. With it
//! an operator finds out which machine a fleet needs.
//!
//! `args` is what was typed and the `Plan` that follows from it. `fleet` is the clients and `schedule` is when each of
//! them asks; both are pure functions of a client's number. `load` asks each check when it is due: an `exchange` over a
//! `line` (`tls`, `verifier`), with one of the `requests` and its `answer`. `tally` measures; `outcome` and `table` show
//! the result.
//!
//! Nothing is downloaded: a client that is told to update says that it has done so. Reports and what they lead to are
//! left to the server.

mod answer;
mod args;
mod exchange;
mod fleet;
mod line;
mod load;
mod outcome;
mod requests;
mod schedule;
mod share;
mod table;
mod tally;
mod tls;
mod verifier;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::{interval, timeout};
use url::Url;

pub use self::args::Args;
use self::args::Plan;
use self::fleet::Fleet;
use self::line::Lines;
use self::load::{Load, Paced};
use self::outcome::Outcome;
use self::requests::Requests;
use self::schedule::Schedule;
use self::tally::Tally;
use self::tls::Tls;
use super::absent;
use super::connection::Connection;
use super::error::Failure;
use super::exit_code::Exit;
use super::interrupt::Interrupt;
use super::output::{Output, complain};

/// The time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// The time for which answers are still waited for after Ctrl-C.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    let outcome = match simulate(&args).await {
        Ok(outcome) => outcome,
        Err(failure) => return output.unless_failed(Err(failure)),
    };
    output.result(&outcome.table(), &outcome.document())?;
    outcome.verdict()
}

async fn simulate(args: &Args) -> Result<Outcome, Failure> {
    let plan = args.plan()?;
    let connection = Connection::open(&args.server)?;
    let mut check = connection.api(&["update-check"])?;
    check.query_pairs_mut().append_pair("image", &args.image).append_pair("channel", &args.channel);
    // A wrong name, a wrong password and a server that is away are told before the fleet comes.
    let offered = offered(&connection, &check, args).await?;
    let revision = args.revision.unwrap_or(offered);
    let tls =
        Tls::for_server(&check, &args.server.tls_files(&|name: &str| std::env::var_os(name))?)?;
    if tls.is_none() && plan.habits.resumed.value() > 0.0 {
        return Err(Failure::usage("--resumed needs a server with TLS (https://)"));
    }
    let credentials = args.server.credentials(&|name: &str| std::env::var_os(name))?;
    let clients = connection.api(&["clients"])?;
    let requests = Requests::new((&check, &clients), (&args.image, &args.channel), &credentials)?;
    let lines = Lines::new(addresses(&check).await?, tls, plan.connections);
    let fleet = Fleet::new(plan.clients, revision, plan.habits.clone());
    let load = Load::new(fleet, requests, lines, Tally::new()?);
    let schedule = Schedule::new(plan.clients, plan.period);
    complain(&announcement(&plan, connection.server()));
    offer(load, schedule, &plan, args.output).await
}

#[derive(Deserialize)]
struct Offered {
    target: Option<OfferedTarget>,
}

#[derive(Deserialize)]
struct OfferedTarget {
    revision: u32,
}

/// Returns the revision that the channel offers to the last of its clients, or 0. A check without a client is the last
/// one that a rollout reaches, and is not recorded.
async fn offered(connection: &Connection, check: &Url, args: &Args) -> Result<u32, Failure> {
    match connection.get::<Offered>(check.clone()).await {
        Ok(offered) => Ok(offered.target.map_or(0, |target| target.revision)),
        Err(failure) => {
            Err(absent::named(connection, failure, &args.image, Some(&args.channel)).await)
        }
    }
}

/// Resolves the server's name, once for the whole simulation.
async fn addresses(server: &Url) -> Result<Vec<std::net::SocketAddr>, Failure> {
    let server = server.clone();
    let resolved = tokio::task::spawn_blocking(move || server.socket_addrs(|| None)).await;
    let resolved = resolved.map_err(|error| Failure::lost_task(&error))?;
    resolved.map_err(|error| Failure::new(Exit::Unreachable, format!("no address: {error}")))
}

fn announcement(plan: &Plan, server: &str) -> String {
    let Plan { clients, period, duration, habits, .. } = plan;
    format!(
        "{} clients, each every {}: {:.1} checks a second to {server} for {}; \
         fresh connections {}, resumed sessions {}",
        HumanCount((*clients).into()),
        humantime::format_duration(*period),
        plan.rate(),
        humantime::format_duration(*duration),
        habits.fresh.percent(),
        habits.resumed.percent(),
    )
}

/// Offers the load until its end or Ctrl-C.
async fn offer(
    load: Arc<Load>,
    schedule: Schedule,
    plan: &Plan,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let cpu = own_cpu();
    let progress = tokio::spawn(show_progress(load.clone(), output));
    let (offering, duration, runtime) = (load.clone(), plan.duration, Handle::current());
    let mut pacing =
        tokio::task::spawn_blocking(move || offering.pace(&schedule, duration, &runtime));
    let (paced, mut is_interrupted) = tokio::select! {
        paced = &mut pacing => (paced, false),
        () = interrupt.pressed() => {
            load.end();
            (pacing.await, true)
        }
    };
    let paced: Paced = paced.map_err(|error| Failure::lost_task(&error))?;
    if is_interrupted {
        let _too_late = timeout(LAST_ANSWERS, load.all_ended()).await;
    } else {
        tokio::select! {
            () = load.all_ended() => {}
            () = interrupt.pressed() => is_interrupted = true,
        }
    }
    progress.abort();
    Ok(Outcome {
        planned_rate: plan.rate(),
        clients: plan.clients,
        paced,
        measured: load.tally.measured(),
        opened: load.lines.opened(),
        cpu: own_cpu().saturating_sub(cpu),
        is_interrupted,
    })
}

async fn show_progress(load: Arc<Load>, output: Output) {
    if output != Output::Text || !io::stderr().is_terminal() {
        return;
    }
    let start = Instant::now();
    let mut ticks = interval(PROGRESS);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        complain(&load.tally.recent().line(start.elapsed(), PROGRESS));
    }
}

/// Returns the CPU time that this process has used so far.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
