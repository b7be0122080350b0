//! The load: asks each check when it is due, and has each client do what it is told.
//!
//! One thread does nothing but wait for the next check and start it. The runtime's timers are only precise to
//! milliseconds, which would be more than most answers take. If ten thousand checks are under way, the thread waits
//! until one of them has ended; the latency of the next ones still counts from when they were due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::Request;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::Target;
use super::exchange::{Answered, Broken};
use super::fleet::{Attempt, Client, Fleet, Way};
use super::line::Lines;
use super::requests::{Body, Requests};
use super::schedule::Schedule;
use super::tally::Tally;
use crate::client::output::complain;

/// The time after which a client gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest number of checks that are under way at the same time.
const MOST_UNDER_WAY: u32 = 10_000;
/// The descriptors that are no connections of checks.
const OTHER_DESCRIPTORS: u32 = 256;
/// The longest sleep without a look if the simulation was ended.
const LOOK: Duration = Duration::from_millis(100);

/// A fleet and the server that it asks.
pub struct Load {
    fleet: Fleet,
    requests: Requests,
    pub lines: Lines,
    pub tally: Tally,
    under_way: Arc<Semaphore>,
    most_under_way: u32,
    is_ended: AtomicBool,
}

/// The end of a load, as far as it was offered.
#[derive(Debug, Clone, Copy)]
pub struct Paced {
    /// The time for which it was offered.
    pub elapsed: Duration,
    /// The checks that were due in this time and were not asked.
    pub unasked: u64,
    /// Set if checks had to wait because too many others were under way.
    pub was_full: bool,
}

impl Load {
    pub fn new(fleet: Fleet, requests: Requests, lines: Lines, tally: Tally) -> Arc<Self> {
        let most_under_way =
            descriptors().saturating_sub(OTHER_DESCRIPTORS).clamp(1, MOST_UNDER_WAY);
        Arc::new(Self {
            fleet,
            requests,
            lines,
            tally,
            under_way: Arc::new(Semaphore::new(most_under_way as usize)),
            most_under_way,
            is_ended: AtomicBool::new(false),
        })
    }

    /// Ends the load: no more checks are asked.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Waits until every check that was asked has ended.
    pub async fn all_ended(&self) {
        // It fails if the semaphore is closed, which never happens.
        let _all = self.under_way.acquire_many(self.most_under_way).await;
    }

    /// Asks each check of the schedule when it is due. Blocks its thread until the duration is over or the load is
    /// ended.
    pub fn pace(
        self: &Arc<Self>,
        schedule: &Schedule,
        duration: Duration,
        runtime: &Handle,
    ) -> Paced {
        let start = Instant::now();
        let end = start + duration;
        let mut paced = Paced { elapsed: duration, unasked: 0, was_full: false };
        let mut dues = schedule.within(duration);
        for due in dues.by_ref() {
            let at = start + due.after;
            let place =
                self.sleep_until(at).then(|| self.place(end, &mut paced.was_full)).flatten();
            let Some(place) = place else {
                paced.elapsed = start.elapsed().min(duration);
                paced.unasked = u64::from(due.after < paced.elapsed);
                break;
            };
            runtime.spawn(self.clone().check(due.client, at, place));
        }
        let missed = dues.take_while(|due| due.after < paced.elapsed).count();
        paced.unasked += u64::try_from(missed).unwrap_or(u64::MAX);
        if !self.sleep_until(end) {
            paced.elapsed = start.elapsed().min(duration);
        }
        paced
    }

    /// Reports whether it is that late, or returns earlier if the load is ended.
    fn sleep_until(&self, at: Instant) -> bool {
        loop {
            if self.is_ended.load(Ordering::Relaxed) {
                return false;
            }
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            sleep(left.min(LOOK));
        }
    }

    /// Takes the place of one check under way, or returns none if there is none until the end.
    fn place(&self, end: Instant, was_full: &mut bool) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = self.under_way.clone().try_acquire_owned() {
                return Some(place);
            }
            *was_full = true;
            if self.is_ended.load(Ordering::Relaxed) || Instant::now() >= end {
                return None;
            }
            sleep(Duration::from_millis(1));
        }
    }

    async fn check(self: Arc<Self>, client: Client, due: Instant, place: OwnedSemaphorePermit) {
        self.tally.begun(due.elapsed());
        let way = self.fleet.way(client);
        let (revision, group) = (self.fleet.revision(client), self.fleet.group(client));
        let asked = self.ask(way, self.requests.check(client, revision, group, way)).await;
        let answered = match asked {
            Ok(answered) => answered,
            Err(broken) => {
                let waited = broken.is_late().then(|| due.elapsed());
                let kind = broken.to_string();
                return tell_first(self.tally.unanswered(way, waited, &kind), &kind);
            }
        };
        let latency = answered.at.saturating_duration_since(due);
        let change = match answered.reply.told() {
            Ok(told) => {
                self.tally.told(way, latency, &told);
                told.change()
            }
            Err(refused) => {
                tell_first(self.tally.refused(way, latency, &refused), &refused.kind);
                None
            }
        };
        answered.hang_up().await;
        if let Some(target) = change
            && let Some(attempt) = self.fleet.change(client, target.revision)
        {
            self.report(client, &target, attempt).await;
        }
        drop(place);
    }

    async fn report(&self, client: Client, target: &Target, attempt: Attempt) {
        let way = self.fleet.way(client);
        let asked = self.ask(way, self.requests.report(client, target, attempt, way)).await;
        let kind = match asked {
            Ok(answered) => {
                let acknowledged = answered.reply.acknowledged();
                answered.hang_up().await;
                match acknowledged {
                    Ok(()) => return self.tally.reported(attempt),
                    Err(refused) => refused.kind,
                }
            }
            Err(broken) => broken.to_string(),
        };
        tell_first(self.tally.unreported(&kind), &format!("report: {kind}"));
    }

    async fn ask(
        &self,
        way: Way,
        request: hyper::http::Result<Request<Body>>,
    ) -> Result<Answered, Broken> {
        let request = request.map_err(|error| Broken::new("no request", &error))?;
        timeout(PATIENCE, self.lines.ask(way, request)).await.unwrap_or(Err(Broken::Late))
    }
}

/// Tells the user of an error at once, if it is the first of its kind. Later ones are only counted.
fn tell_first(is_first: bool, kind: &str) {
    if is_first {
        complain(&format!("Note: {kind} (further ones are counted)"));
    }
}

/// Raises the limit of descriptors as far as needed and allowed. Returns the limit in force.
fn descriptors() -> u32 {
    let wanted = u64::from(MOST_UNDER_WAY + OTHER_DESCRIPTORS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.unwrap_or(wanted).min(wanted);
    if current.is_some_and(|current| current < allowed) {
        // If it fails, there are fewer checks at the same time.
        let _unchanged = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    u32::try_from(current).unwrap_or(u32::MAX)
}
