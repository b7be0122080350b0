//! The simulated clients: their names, their habits, and the revision that each has.
//!
//! A client is a number. What it does follows from a digest of that number, so a fleet behaves the same at each run,
//! and the only state is one number for each client: a million of them take 4 MB.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::share::{GroupShare, Share};
use crate::model::Digest;

/// One client, by its number from 0. It is shown as its id: `simulated-000123`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(pub u32);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated-{:06}", self.0)
    }
}

/// The kind of connection that a client asks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// One of the connections that are kept and shared, as behind a load balancer.
    Kept,
    /// A new connection, with a whole TLS handshake if the server speaks TLS.
    Fresh,
    /// A new connection that resumes a TLS session.
    Resumed,
}

impl Way {
    /// All ways, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Kept, Self::Fresh, Self::Resumed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Fresh => "fresh",
            Self::Resumed => "resumed",
        }
    }
}

/// The end of an update on a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The client has the revision from now on.
    Applied,
    /// The client keeps the revision that it had.
    Failed,
}

/// The habits of a fleet, as shares of its clients.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Habits {
    /// The clients that ask over a new connection each time.
    pub fresh: Share,
    /// The clients that resume a TLS session on a new connection each time.
    pub resumed: Share,
    /// The clients that do what they are told.
    pub updates: Share,
    /// The clients among these that fail at it.
    pub fails: Share,
    /// The groups, one after the other. The rest is in none.
    pub groups: Vec<GroupShare>,
}

/// All clients.
#[derive(Debug)]
pub struct Fleet {
    habits: Habits,
    revisions: Vec<AtomicU32>,
}

impl Fleet {
    /// Makes a fleet of `size` clients that all have `revision`; 0 is none.
    pub fn new(size: u32, revision: u32, habits: Habits) -> Self {
        Self { habits, revisions: (0..size).map(|_| AtomicU32::new(revision)).collect() }
    }

    /// Returns the revision that the client has, or 0.
    pub fn revision(&self, client: Client) -> u32 {
        self.state(client).map_or(0, |revision| revision.load(Ordering::Relaxed))
    }

    /// Returns the kind of connection that the client always uses.
    pub fn way(&self, client: Client) -> Way {
        let drawn = draw("connection", client);
        let Habits { fresh, resumed, .. } = self.habits;
        if drawn < fresh.value() {
            Way::Fresh
        } else if drawn < fresh.value() + resumed.value() {
            Way::Resumed
        } else {
            Way::Kept
        }
    }

    /// Returns the client's group, if it is in one.
    pub fn group(&self, client: Client) -> Option<&str> {
        if self.habits.groups.is_empty() {
            return None;
        }
        let drawn = draw("group", client);
        let mut below = 0.0;
        self.habits.groups.iter().find_map(|group| {
            below += group.share.value();
            (drawn < below).then(|| group.name.as_str())
        })
    }

    /// Has a client do what it was told: change to `revision`. Returns how that ended, or none if the client does not
    /// follow.
    pub fn change(&self, client: Client, revision: u32) -> Option<Attempt> {
        if draw("updates", client) >= self.habits.updates.value() {
            return None;
        }
        if draw("fails", client) < self.habits.fails.value() {
            return Some(Attempt::Failed);
        }
        self.state(client)?.store(revision, Ordering::Relaxed);
        Some(Attempt::Applied)
    }

    fn state(&self, client: Client) -> Option<&AtomicU32> {
        self.revisions.get(client.0 as usize)
    }
}

/// Draws the client's number from 0 to below 1 for one purpose. It is the same at each run, and each purpose has
/// another one.
fn draw(purpose: &str, client: Client) -> f64 {
    f64::from(draw_bits(purpose, client)) / 2_f64.powi(32)
}

/// Draws the client's number for one purpose, of all numbers of 32 bits.
pub fn draw_bits(purpose: &str, client: Client) -> u32 {
    let digest = Digest::of(format!("{purpose}\0{client}").as_bytes());
    digest.as_bytes().first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 20_000;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    fn fleet(habits: Habits) -> Fleet {
        Fleet::new(SIZE, 11, habits)
    }

    fn count(is_one: impl Fn(Client) -> bool) -> usize {
        (0..SIZE).map(Client).filter(|client| is_one(*client)).count()
    }

    #[track_caller]
    fn assert_near(counted: usize, expected: usize) {
        // Six times the standard deviation of a half: no fleet of this size is further off by chance.
        assert!(counted.abs_diff(expected) < 425, "{counted} instead of about {expected}");
    }

    #[test]
    fn ids_are_the_same_at_each_run_and_valid() {
        assert_eq!(Client(123).to_string(), "simulated-000123");
        assert_eq!(Client(u32::MAX).to_string(), "simulated-4294967295");
        assert!(Client(0).to_string().parse::<crate::model::ClientId>().is_ok());
        // The digest of the text, so that another version of the program draws the same.
        assert_eq!(draw_bits("connection", Client(0)), draw_bits("connection", Client(0)));
        assert_ne!(draw_bits("connection", Client(0)), draw_bits("group", Client(0)));
    }

    #[test]
    fn each_way_has_its_share_and_the_rest_is_kept_alive() {
        let habits = Habits { fresh: share("0.5"), resumed: share("0.25"), ..Habits::default() };
        let fleet = fleet(habits);
        for (way, expected) in [(Way::Fresh, 10_000), (Way::Resumed, 5_000), (Way::Kept, 5_000)] {
            assert_near(count(|client| fleet.way(client) == way), expected);
        }
        let all_kept = self::fleet(Habits::default());
        assert_eq!(count(|client| all_kept.way(client) == Way::Kept), SIZE as usize);
        let all_fresh = self::fleet(Habits { fresh: share("1"), ..Habits::default() });
        assert_eq!(count(|client| all_fresh.way(client) == Way::Fresh), SIZE as usize);
    }

    #[test]
    fn groups_have_their_shares_and_the_rest_is_in_none() {
        let groups = ["pilot=0.1", "lab-b=0.4"].map(|text| text.parse().unwrap()).to_vec();
        let fleet = fleet(Habits { groups, ..Habits::default() });
        for (group, expected) in [(Some("pilot"), 2_000), (Some("lab-b"), 8_000), (None, 10_000)] {
            assert_near(count(|client| fleet.group(client) == group), expected);
        }
    }

    #[test]
    fn who_updates_has_the_new_revision_and_who_fails_keeps_the_old_one() {
        let habits = Habits { updates: share("0.5"), fails: share("0.2"), ..Habits::default() };
        let fleet = fleet(habits.clone());
        let ends: Vec<_> = (0..SIZE).map(|number| fleet.change(Client(number), 12)).collect();
        let ended = |end: Option<Attempt>| ends.iter().filter(|one| **one == end).count();
        assert_near(ended(None), 10_000);
        assert_near(ended(Some(Attempt::Failed)), 2_000);
        assert_near(ended(Some(Attempt::Applied)), 8_000);
        for (client, end) in (0..SIZE).map(Client).zip(&ends) {
            let expected = if *end == Some(Attempt::Applied) { 12 } else { 11 };
            assert_eq!(fleet.revision(client), expected, "{client}");
        }
        let again = self::fleet(habits);
        assert!(
            (0..SIZE).map(Client).zip(ends).all(|(client, end)| again.change(client, 12) == end)
        );
    }
}
