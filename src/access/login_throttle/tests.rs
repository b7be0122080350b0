//! Tests of the guard with a clock that they set themselves.

use std::net::IpAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::{Guard, Limits};
use crate::access::Denied;

const LIMITS: Limits = Limits {
    free_failures: 3,
    free_failures_per_address: 10,
    longest_wait: Duration::from_mins(1),
};
const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";

/// A guard, and callers who try to get past it.
struct Gate {
    guard: Guard,
    now: Instant,
}

impl Gate {
    fn new() -> Self {
        Self { guard: Guard::new(LIMITS), now: Instant::now() }
    }

    /// Tries to log in. Fails with the wait, and succeeds if the password was checked, right or wrong.
    fn try_in(&self, name: &str, from: &str, right: bool) -> Result<(), Duration> {
        let attempt = self.guard.attempt(name, address(from));
        if let Some(wait) = self.guard.wait(attempt, self.now) {
            return Err(wait);
        }
        let check = match self.guard.begin(attempt, self.now) {
            Ok(check) => check,
            Err(Denied::Slowed { wait }) => return Err(wait),
            Err(other) => panic!("{other}"),
        };
        if right {
            check.succeeded(self.now);
        } else {
            check.failed(self.now);
        }
        Ok(())
    }

    fn looks_at(&self, name: &str, from: &str) -> bool {
        self.guard.wait(self.guard.attempt(name, address(from)), self.now).is_none()
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_wait_doubles_after_the_free_mistakes_up_to_the_longest() {
    let mut gate = Gate::new();
    let mut waits = Vec::new();
    for _ in 0..10 {
        gate.try_in("alice", HERE, false).unwrap();
        let attempt = gate.guard.attempt("alice", address(HERE));
        let wait = gate.guard.wait(attempt, gate.now).unwrap_or_default();
        waits.push(wait.as_secs());
        gate.later(wait);
    }
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn an_account_under_attack_opens_to_its_owner_elsewhere() {
    let gate = Gate::new();
    while gate.try_in("alice", HERE, false).is_ok() {}
    assert!(gate.looks_at("alice", THERE));
    gate.try_in("Alice", THERE, true).unwrap();
    assert!(!gate.looks_at("alice", HERE), "the attacker waits on");
}

#[test]
fn an_account_under_attack_from_everywhere_has_no_free_mistakes() {
    let gate = Gate::new();
    for host in 0..=30 {
        gate.try_in("alice", &format!("198.51.100.{host}"), false).unwrap();
    }
    gate.try_in("alice", THERE, false).unwrap();
    assert!(!gate.looks_at("alice", THERE), "one mistake, and it waits");
    assert!(gate.looks_at("alice", "203.0.113.1"), "a first attempt is always looked at");
    assert!(gate.looks_at("bob", THERE));
}

#[test]
fn an_address_that_tries_many_names_waits_with_all() {
    let mut gate = Gate::new();
    for name in 0..10 {
        gate.try_in(&format!("user-{name}"), HERE, false).unwrap();
    }
    assert!(!gate.looks_at("alice", HERE));
    assert!(gate.looks_at("alice", THERE));
    gate.later(Duration::from_secs(4));
    assert!(gate.looks_at("alice", HERE), "an address's longest wait is short");
}

#[test]
fn who_was_let_in_from_an_address_is_spared_the_wait_of_its_neighbours() {
    let gate = Gate::new();
    gate.try_in("alice", HERE, true).unwrap();
    for name in 0..10 {
        gate.try_in(&format!("user-{name}"), HERE, false).unwrap();
    }
    assert!(!gate.looks_at("bob", HERE));
    gate.try_in("alice", HERE, true).unwrap();
}

#[test]
fn a_right_password_ends_the_wait_of_its_account_and_no_other() {
    let mut gate = Gate::new();
    for _ in 0..3 {
        gate.try_in("alice", HERE, false).unwrap();
        gate.try_in("bob", HERE, false).unwrap();
    }
    gate.later(Duration::from_secs(1));
    gate.try_in("alice", HERE, true).unwrap();
    for _ in 0..2 {
        gate.try_in("alice", HERE, false).unwrap();
    }
    assert!(gate.looks_at("alice", HERE), "free mistakes again");
    gate.try_in("bob", HERE, false).unwrap();
    assert!(!gate.looks_at("bob", HERE), "bob's were not forgiven");
}

#[test]
fn guesses_at_once_are_not_all_first_ones() {
    let gate = Gate::new();
    let attempt = gate.guard.attempt("alice", address(HERE));
    let checks: Vec<_> =
        (0..100).filter_map(|_| gate.guard.begin(attempt, gate.now).ok()).collect();
    assert_eq!(checks.len(), 3);
    drop(checks);
    assert!(gate.guard.begin(attempt, Instant::now()).is_err(), "dropped undecided, they failed");
}

#[test]
fn many_people_at_one_address_are_asked_to_come_again_and_not_accused() {
    let gate = Gate::new();
    let begin = |name: usize| {
        gate.guard.begin(gate.guard.attempt(&format!("user-{name}"), address(HERE)), gate.now)
    };
    let checks: Vec<_> = (0..10).map_while(|name| begin(name).ok()).collect();
    assert_eq!(checks.len(), 10);
    assert_eq!(begin(10).err(), Some(Denied::Busy));
    for check in checks {
        check.succeeded(gate.now);
    }
    begin(10).unwrap().succeeded(gate.now);
    assert!(gate.looks_at("another", HERE));
}

#[test]
fn an_attempt_that_nobody_looked_at_costs_nothing() {
    let gate = Gate::new();
    let attempt = gate.guard.attempt("alice", address(HERE));
    for _ in 0..100 {
        gate.guard.begin(attempt, gate.now).unwrap().unused();
    }
    assert!(gate.looks_at("alice", HERE));
}

#[test]
fn old_mistakes_are_forgiven() {
    let mut gate = Gate::new();
    while gate.try_in("alice", HERE, false).is_ok() {}
    gate.later(LIMITS.longest_wait * 2 + Duration::from_secs(1));
    for _ in 0..3 {
        gate.try_in("alice", HERE, false).unwrap();
    }
}

#[test]
fn memory_stays_bounded_whoever_comes() {
    let gate = Gate::new();
    for number in 0..(super::RECORDS + 10_000) {
        let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
        let attempt = gate.guard.attempt("alice", IpAddr::from([10, a, b, c]));
        gate.guard.begin(attempt, gate.now).unwrap().failed(gate.now);
    }
    gate.guard.records.run_pending_tasks();
    assert!(gate.guard.records.entry_count() <= super::RECORDS);
}

#[test]
fn first_guesses_that_come_at_the_same_moment_are_counted_together() {
    // Each round has a new guard, because only the very first guesses find no record.
    for _ in 0..300 {
        let gate = Gate::new();
        let start = Barrier::new(8);
        let guess = || {
            let attempt = gate.guard.attempt("admin", address(HERE));
            start.wait();
            gate.guard.begin(attempt, gate.now).ok()
        };
        let checks: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(guess)).collect();
            all.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(checks.len(), LIMITS.free_failures as usize);
    }
}
