//! Slows down the guessing of passwords: after wrong passwords, callers have to wait before the next one is checked.
//!
//! The throttle is asked before Argon2 runs, so an attack costs the server next to nothing. It counts three things:
//!
//! - **an account from one address**: some mistakes are free, then the wait doubles with each, up to a limit. A correct
//!   password from there ends it;
//! - **an address**, whatever the accounts: the same with more free mistakes and a shorter longest wait, because many
//!   people may share it. Accounts that logged in from there within a day are exempt;
//! - **an account from everywhere**: while many attempts fail, no address has a free mistake on it any more.
//!
//! The first attempt of an address that has made no mistake is always checked, so an attacker cannot lock the owner out
//! of an account. Attempts in progress count as failed until they are decided, or else a thousand guesses at once would
//! all be first ones.
//!
//! The counts belong to this process, like those of the tree's download limits: they only slow callers down, and decide
//! nothing that must be the same on every replica. A restart forgets them. `governor` was rejected, because it takes
//! from its bucket when it is asked, not when an attempt has failed: correct passwords would use it up.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::Denied;
use crate::model::address_range::subscriber;

/// The number of records that are kept, some 15 MiB. Beyond it, the least recently used ones are removed.
const RECORDS: u64 = 100_000;

/// The time for which an address stays known to an account that logged in from there.
const KNOWN_FOR: Duration = Duration::from_hours(24);

/// The factor for an attack: an account is under attack if its failures exceed the free mistakes of one address this
/// many times.
const UNDER_ATTACK: u32 = 10;

/// The factor by which the longest wait of an address is shorter than that of an account, because many people may share
/// an address.
const SHORTER_FOR_ADDRESSES: u32 = 15;

const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The settings `[access.logins]`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The mistakes of one address with one account that cost no wait.
    pub free_failures: u32,
    /// The mistakes of one address with all accounts together that cost no wait.
    pub free_failures_per_address: u32,
    /// The longest wait for one address and one account.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            free_failures: 5,
            free_failures_per_address: 30,
            longest_wait: Duration::from_mins(15),
        }
    }
}

/// The subject of a count. Names are hashed with a secret of the process, so that a record neither reveals a name that
/// was tried nor grows with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Pair(u64, IpAddr),
    Address(IpAddr),
    Account(u64),
}

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    /// The attempts that are not decided yet.
    pending: u32,
    last_failure: Option<Instant>,
    wait_until: Option<Instant>,
    let_in: Option<Instant>,
}

/// Counts failed log-ins. Cheap to clone, shared by all workers.
#[derive(Clone)]
pub struct Guard {
    limits: Limits,
    records: Cache<Key, Arc<Mutex<Record>>>,
    names: RandomState,
}

/// The account and the address of an attempt to log in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    account: u64,
    address: IpAddr,
}

impl Attempt {
    /// Returns the number that stands for the name within this process.
    pub const fn account(self) -> u64 {
        self.account
    }
}

impl Guard {
    pub fn new(limits: Limits) -> Self {
        let records = Cache::builder()
            .max_capacity(RECORDS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(KNOWN_FOR)
            .build();
        Self { limits, records, names: RandomState::new() }
    }

    /// Returns the attempt for a name and an address. Like accounts, names are compared without regard to case.
    pub fn attempt(&self, name: &str, address: IpAddr) -> Attempt {
        Attempt {
            account: self.names.hash_one(name.to_ascii_lowercase()),
            address: subscriber(address),
        }
    }

    /// Returns the time that the attempt has to wait, or none.
    pub fn wait(&self, attempt: Attempt, now: Instant) -> Option<Duration> {
        let waits = |key| {
            let record = self.records.get(&key)?;
            let record = lock(&record);
            Some((record.is_known(now), record.wait(now)))
        };
        let (known, pair) =
            waits(Key::Pair(attempt.account, attempt.address)).unwrap_or((false, None));
        if known {
            return pair;
        }
        let address = waits(Key::Address(attempt.address)).and_then(|(_, wait)| wait);
        pair.max(address)
    }

    /// Returns the permission to check a password.
    ///
    /// Refuses with `Slowed` after mistakes, and for many different passwords of one account at once. Refuses with
    /// `Busy` if an address without mistakes has as many checks in progress as it may. Such callers only have to wait
    /// for each other, and BITS tries again after a 503, whereas a 429 ends its job.
    pub fn begin(&self, attempt: Attempt, now: Instant) -> Result<PasswordCheck, Denied> {
        let pair = self.record(Key::Pair(attempt.account, attempt.address));
        let address = self.record(Key::Address(attempt.address));
        {
            let (mut pair, mut address) = (lock(&pair), lock(&address));
            pair.forget(now, self.limits.longest_wait);
            address.forget(now, self.limits.longest_wait);
            if let Some(wait) = pair.wait_for_check(self.limits.free_failures, now) {
                return Err(Denied::Slowed { wait });
            }
            let wait = address.wait_for_check(self.limits.free_failures_per_address, now);
            if let Some(wait) = wait.filter(|_| !pair.is_known(now)) {
                let innocent = address.failures == 0;
                return Err(if innocent { Denied::Busy } else { Denied::Slowed { wait } });
            }
            pair.pending += 1;
            address.pending += 1;
        }
        Ok(PasswordCheck { guard: self.clone(), attempt, pair, address, decided: false })
    }

    /// Notes a correct password that needed no check.
    pub fn let_in(&self, attempt: Attempt, now: Instant) {
        let Some(pair) = self.records.get(&Key::Pair(attempt.account, attempt.address)) else {
            return;
        };
        let address = self.record(Key::Address(attempt.address));
        lock(&pair).let_in(&mut lock(&address), now);
    }

    /// Returns the record of a key, the same one for all callers at once. `or_default` would not do: it looks and then
    /// inserts, so that two first guesses would each get a record of their own, and one of these would be lost with its
    /// counts.
    fn record(&self, key: Key) -> Arc<Mutex<Record>> {
        self.records.entry(key).or_insert_with(|| Arc::new(Mutex::default())).into_value()
    }

    /// Counts a failure on an account, from any address. Reports whether there are so many that no mistake on it is
    /// free.
    fn count_on_account(&self, account: u64, now: Instant) -> bool {
        let record = self.record(Key::Account(account));
        let mut record = lock(&record);
        record.forget(now, self.limits.longest_wait);
        record.failures += 1;
        record.last_failure = Some(now);
        record.failures > self.limits.free_failures.saturating_mul(UNDER_ATTACK)
    }
}

impl Record {
    fn is_known(&self, now: Instant) -> bool {
        self.let_in.is_some_and(|at| now.saturating_duration_since(at) < KNOWN_FOR)
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.wait_until?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Returns the wait for a password check. Beyond the free mistakes there is only one check at a time.
    fn wait_for_check(&self, free: u32, now: Instant) -> Option<Duration> {
        let crowded = self.pending > 0 && self.failures + self.pending >= free.max(1);
        self.wait(now).or(crowded.then_some(FIRST_WAIT))
    }

    /// Forgets old mistakes after twice the longest wait. A caller who tries again after each longest wait is never
    /// forgiven.
    fn forget(&mut self, now: Instant, longest_wait: Duration) {
        let age = self.last_failure.map(|at| now.saturating_duration_since(at));
        if age.is_some_and(|age| age > longest_wait * 2) {
            self.failures = 0;
        }
    }

    fn let_in(&mut self, address: &mut Self, now: Instant) {
        address.failures = address.failures.saturating_sub(self.failures);
        self.failures = 0;
        self.wait_until = None;
        self.let_in = Some(now);
    }

    fn fail(&mut self, free: u32, longest_wait: Duration, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(now);
        if let Some(beyond) = self.failures.checked_sub(free.max(1)) {
            let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            self.wait_until = Some(now + wait.min(longest_wait));
        }
    }
}

/// An attempt whose password is being checked. If it is dropped undecided, it counts as failed: a client that
/// disconnects before the answer must not guess for free.
pub struct PasswordCheck {
    guard: Guard,
    attempt: Attempt,
    pair: Arc<Mutex<Record>>,
    address: Arc<Mutex<Record>>,
    decided: bool,
}

impl PasswordCheck {
    /// Notes a correct password. Only the mistakes of this address with this account are forgotten, or else an account
    /// of one's own would buy guesses at others.
    pub fn succeeded(mut self, now: Instant) {
        let (mut pair, mut address) = self.end();
        pair.let_in(&mut address, now);
    }

    pub fn failed(mut self, now: Instant) {
        self.fail(now);
    }

    /// Ends the check without counting it, because the password was not checked.
    pub fn unused(mut self) {
        drop(self.end());
    }

    fn fail(&mut self, now: Instant) {
        let limits = self.guard.limits;
        let attacked = self.guard.count_on_account(self.attempt.account, now);
        let (mut pair, mut address) = self.end();
        let free = if attacked { 0 } else { limits.free_failures };
        pair.fail(free, limits.longest_wait, now);
        let longest = (limits.longest_wait / SHORTER_FOR_ADDRESSES).max(FIRST_WAIT);
        address.fail(limits.free_failures_per_address, longest, now);
    }

    fn end(&mut self) -> (MutexGuard<'_, Record>, MutexGuard<'_, Record>) {
        self.decided = true;
        let (mut pair, mut address) = (lock(&self.pair), lock(&self.address));
        pair.pending = pair.pending.saturating_sub(1);
        address.pending = address.pending.saturating_sub(1);
        (pair, address)
    }
}

impl Drop for PasswordCheck {
    fn drop(&mut self) {
        if !self.decided {
            self.fail(Instant::now());
        }
    }
}

// The counts are consistent at every moment, even if a thread panicked while it held the lock.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
