//! Refused log-ins, collected before `recorder` writes them to the audit.
//!
//! A refusal does not wait for the database: what is noted here is written within a second. The first of several equal
//! ones has a row at once; those of the next ten minutes are counted in one row. However many different ones arrive,
//! there is at most one row a second in the long run, so that strangers can neither fill the database nor delay those
//! who change it. Numbers are kept in any case. A kill loses only what has no row yet.
//!
//! Rejected: a row before each answer. Guesses would queue for the database, and update checks with wrong credentials
//! would get no answer while it is unreachable.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::catalog::Actor;

/// The interval at which what was noted is written.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// The time for which equal refusals are collected after a row.
const QUIET: Duration = Duration::from_mins(10);

/// The number of rows that may be written at once after a quiet time. One more is allowed each second.
const ALLOWED: usize = 50;

/// The number of different refusals that are kept. Further ones are counted in one row.
const DIFFERENT: usize = 1000;

/// The replacement for a name that no user has, which may be a password in the wrong field.
pub(super) const UNKNOWN: &str = "(unknown)";

/// A log-in that was refused; equal ones are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefusedLogin {
    /// The name that was given, if a user has it.
    pub caller: Option<String>,
    /// The subject and issuer of the certificate that was presented.
    pub certificate: Option<String>,
    /// The code of the problem that was answered, or of the handshake's refusal.
    pub reason: &'static str,
    /// The address of the subscriber. For IPv6, its network of 64 bits.
    pub address: IpAddr,
}

/// The refusals that have no row yet, and those that had one recently.
#[derive(Debug, Default)]
pub(in crate::catalog) struct RefusedLogins {
    gathered: Mutex<Gathered>,
    /// Allows one write at a time, from the choice of what is due until it counts as written.
    pub(super) writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(super) struct Gathered {
    different: HashMap<RefusedLogin, Times>,
    beyond: u64,
    beyond_quiet_until: Option<Instant>,
    allowed: usize,
}

/// The number of refusals since the last row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: u64,
    /// The request id of the first one.
    request_id: Option<String>,
    quiet_until: Option<Instant>,
}

/// Rows to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) different: Vec<(RefusedLogin, Times)>,
    pub(super) beyond: u64,
}

impl Default for Gathered {
    fn default() -> Self {
        let different = HashMap::new();
        Self { different, beyond: 0, beyond_quiet_until: None, allowed: ALLOWED }
    }
}

impl RefusedLogins {
    pub(super) fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    pub(super) fn add(&mut self, refused: RefusedLogin, request_id: Option<String>) {
        if let Some(times) = self.different.get_mut(&refused) {
            if times.count == 0 {
                times.request_id = request_id;
            }
            times.count += 1;
        } else if self.different.len() < DIFFERENT {
            self.different.insert(refused, Times { count: 1, request_id, quiet_until: None });
        } else {
            self.beyond += 1;
        }
    }

    /// Returns the refusals that are due, as many as are allowed. They stay until [`Self::written`] is called.
    pub(super) fn due(&mut self, now: Instant) -> Batch {
        let is_over = |until: Option<Instant>| until.is_none_or(|until| now >= until);
        self.different.retain(|_, times| times.count > 0 || !is_over(times.quiet_until));
        self.allowed = (self.allowed + 1).min(ALLOWED);
        let due = self.different.iter().filter(|(_, t)| t.count > 0 && is_over(t.quiet_until));
        let different = due.take(self.allowed).map(|(r, t)| (r.clone(), t.clone())).collect();
        let beyond = if is_over(self.beyond_quiet_until) { self.beyond } else { 0 };
        Batch { different, beyond }
    }

    /// Returns everything that has no row yet, for the last write.
    pub(super) fn rest(&self) -> Batch {
        let rest = self.different.iter().filter(|(_, times)| times.count > 0);
        Batch {
            different: rest.map(|(r, t)| (r.clone(), t.clone())).collect(),
            beyond: self.beyond,
        }
    }

    pub(super) fn written(&mut self, batch: &Batch, now: Instant) {
        self.allowed = self.allowed.saturating_sub(batch.different.len());
        for (refused, written) in &batch.different {
            if let Some(times) = self.different.get_mut(refused) {
                times.count = times.count.saturating_sub(written.count);
                times.quiet_until = Some(now + QUIET);
            }
        }
        if batch.beyond > 0 {
            self.beyond = self.beyond.saturating_sub(batch.beyond);
            self.beyond_quiet_until = Some(now + QUIET);
        }
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.different.is_empty() && self.beyond == 0
    }
}

impl RefusedLogin {
    pub(super) fn actor(&self, times: &Times) -> Actor {
        Actor {
            name: self.caller.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            roles: Vec::new(),
            request_id: times.request_id.clone(),
            address: Some(self.address.to_string()),
        }
    }

    pub(super) fn what(&self, times: &Times) -> Value {
        let mut what = json!({"reason": self.reason, "times": times.count});
        if let Some(certificate) = &self.certificate {
            what["certificate"] = json!(certificate);
        }
        what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: u32) -> RefusedLogin {
        let address = std::net::Ipv4Addr::from(address).into();
        RefusedLogin { caller: None, certificate: None, reason: "credentials_wrong", address }
    }

    fn counts(batch: &Batch) -> Vec<u64> {
        batch.different.iter().map(|(_, times)| times.count).collect()
    }

    /// Runs the writer once, with a successful write.
    fn write(gathered: &mut Gathered, now: Instant) -> Batch {
        let batch = gathered.due(now);
        gathered.written(&batch, now);
        batch
    }

    #[test]
    fn the_first_has_a_row_at_once_and_those_after_it_one_row_that_counts_them() {
        let (mut gathered, now) = (Gathered::default(), Instant::now());
        gathered.add(refused(1), Some("first".to_owned()));
        gathered.add(refused(1), Some("second".to_owned()));
        let batch = write(&mut gathered, now);
        assert_eq!(counts(&batch), [2]);
        assert_eq!(batch.different[0].1.request_id.as_deref(), Some("first"));
        for second in 1..600 {
            gathered.add(refused(1), Some(format!("{second}")));
            assert!(write(&mut gathered, now + EVERY * second).is_empty(), "{second}");
        }
        let batch = write(&mut gathered, now + QUIET);
        assert_eq!(counts(&batch), [599]);
        assert_eq!(batch.different[0].1.request_id.as_deref(), Some("1"));
        write(&mut gathered, now + QUIET * 3);
        assert!(gathered.different.is_empty(), "what is over is forgotten");
    }

    #[test]
    pub(super) fn what_could_not_be_written_is_written_later_with_what_came_meanwhile() {
        let (mut gathered, now) = (Gathered::default(), Instant::now());
        gathered.add(refused(1), None);
        drop(gathered.due(now));
        gathered.add(refused(1), None);
        assert_eq!(counts(&gathered.due(now + EVERY)), [2]);
        assert_eq!(counts(&gathered.rest()), [2]);
    }

    #[test]
    fn a_flood_of_different_ones_makes_few_rows_and_loses_no_number() {
        let (mut gathered, now) = (Gathered::default(), Instant::now());
        let (mut rows, mut counted) = (0, 0);
        for second in 0..3600 {
            for each in 0..100 {
                gathered.add(refused(second * 100 + each), None);
            }
            let batch = write(&mut gathered, now + EVERY * second);
            assert!(gathered.different.len() <= DIFFERENT);
            rows += batch.different.len() + usize::from(batch.beyond > 0);
            counted += counts(&batch).iter().sum::<u64>() + batch.beyond;
        }
        let rest = gathered.rest();
        counted += counts(&rest).iter().sum::<u64>() + rest.beyond;
        assert!((3000..3800).contains(&rows), "{rows} rows in an hour");
        assert_eq!(counted, 360_000);
    }
}
