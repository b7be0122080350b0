//! The checks that are not written yet. Every update check goes through here, so this waits for nothing and allocates
//! nothing but the client's id: agents are shared, and of the checks of one client only the newest is kept.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::newcomers::Newcomers;
use super::size::KnownSize;
use crate::catalog::update_check::{Action, Reason};
use crate::model::{ClientId, IdPattern, metric, pattern};

/// The number of parts that are locked separately, so that workers seldom meet.
const SHARDS: usize = 16;

/// The number of checks that are kept while the database does not answer; at 1,111 checks a second, those of three
/// minutes. They need 60 MB.
const MOST: usize = 200_000;

/// The number of characters that are kept of a client's `User-Agent`.
const AGENT: usize = 120;

/// The number of agents that each part shares between its clients.
const AGENTS: usize = 8;

/// An update check that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    pub client: &'a ClientId,
    pub image: Uuid,
    pub channel: Uuid,
    /// The revision that the client has; 0 for none.
    pub revision: i64,
    /// The client's group, in lower case.
    pub group: Option<&'a str>,
    pub action: Action,
    pub reason: Reason,
    /// The promotion whose revision the client was offered; none if it was offered nothing.
    pub promotion: Option<Uuid>,
    pub address: IpAddr,
    /// The client's `User-Agent`.
    pub agent: &'a str,
    /// Set if the client sent credentials.
    pub authenticated: bool,
    /// The time in seconds since the epoch.
    pub at: i64,
}

/// The client, image and channel of a check. Ids of clients are compared without regard to case.
#[derive(Debug, Clone, Eq)]
pub(super) struct Key {
    pub(super) client: ClientId,
    pub(super) image: Uuid,
    pub(super) channel: Uuid,
}

/// The newest check of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) revision: i64,
    pub(super) group: Option<Arc<str>>,
    pub(super) action: Action,
    pub(super) reason: Reason,
    pub(super) promotion: Option<Uuid>,
    pub(super) address: IpAddr,
    pub(super) agent: Arc<str>,
    pub(super) authenticated: bool,
    /// The time of the first check since the last write, in seconds since the epoch.
    pub(super) first: i64,
    pub(super) last: i64,
}

#[derive(Debug, Default)]
struct Shard {
    noted: HashMap<Key, Noted>,
    /// Agents that many clients have.
    agents: Vec<Arc<str>>,
}

/// The checks that are not written yet, and what the writer remembers from one batch to the next.
#[derive(Debug, Default)]
pub struct Recorder {
    shards: [Mutex<Shard>; SHARDS],
    /// The number of checks in the shards and in the batch that is being written.
    waiting: AtomicUsize,
    /// The time of the oldest check that is being written, in seconds since the epoch; 0 if there is none.
    writing_since: AtomicI64,
    pub(super) newcomers: Mutex<Newcomers>,
    pub(super) size: KnownSize,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.client.as_str().eq_ignore_ascii_case(other.client.as_str())
            && (self.image, self.channel) == (other.image, other.channel)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // An id has at most 64 characters.
        let mut lower = [0; 64];
        for (lower, byte) in lower.iter_mut().zip(self.client.as_str().bytes()) {
            *lower = byte.to_ascii_lowercase();
        }
        state.write(&lower[..self.client.as_str().len().min(64)]);
        self.image.hash(state);
        self.channel.hash(state);
    }
}

impl Noted {
    /// Adds what an earlier check of the same key says.
    fn after(self, earlier: &Self) -> Self {
        Self {
            first: self.first.min(earlier.first),
            authenticated: self.authenticated || earlier.authenticated,
            ..self
        }
    }
}

impl Shard {
    fn agent(&mut self, agent: &str) -> Arc<str> {
        if let Some(known) = self.agents.iter().find(|known| &***known == agent) {
            return Arc::clone(known);
        }
        let kept: String = agent.chars().filter(|c| !c.is_control()).take(AGENT).collect();
        let kept: Arc<str> = kept.into();
        if self.agents.len() == AGENTS {
            self.agents.remove(0);
        }
        self.agents.push(Arc::clone(&kept));
        kept
    }
}

/// Returns the place of a client's part, whatever the case of its id.
fn place(client: &ClientId) -> usize {
    let add = |sum: usize, byte: u8| sum.wrapping_mul(31).wrapping_add(usize::from(byte | 0x20));
    client.as_str().bytes().fold(0, add) % SHARDS
}

impl Recorder {
    fn shard(&self, client: &ClientId) -> MutexGuard<'_, Shard> {
        self.shards[place(client)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a check, in the place of the client's check before. It is written later, unless too many wait already.
    pub fn note(&self, check: Check<'_>) {
        let key = Key { client: check.client.clone(), image: check.image, channel: check.channel };
        let mut shard = self.shard(check.client);
        let noted = Noted {
            revision: check.revision,
            group: check.group.map(Arc::from),
            action: check.action,
            reason: check.reason,
            promotion: check.promotion,
            address: check.address,
            agent: shard.agent(check.agent),
            authenticated: check.authenticated,
            first: check.at,
            last: check.at,
        };
        match shard.noted.entry(key) {
            Entry::Occupied(mut known) => {
                let noted = noted.after(known.get());
                known.insert(noted);
            }
            Entry::Vacant(free) if self.waiting() < MOST => {
                free.insert(noted);
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Vacant(_) => Dropped::MemoryFull.count(1),
        }
    }

    /// Returns the number of checks that are not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns the number of seconds since the oldest check that is not written yet.
    pub fn behind(&self, now: i64) -> u64 {
        let of_shard = |shard: MutexGuard<'_, Shard>| shard.noted.values().map(|n| n.first).min();
        let writing = Some(self.writing_since.load(Ordering::Relaxed)).filter(|since| *since > 0);
        let oldest = self.shards().filter_map(of_shard).chain(writing).min();
        oldest.map_or(0, |oldest| now.saturating_sub(oldest).try_into().unwrap_or(0))
    }

    /// Returns the number of clients on record, as it was last counted; none before the first count.
    pub fn clients(&self) -> Option<u64> {
        self.size.clients()
    }

    /// Takes everything that waits, in the order of the clients' ids: servers that write the same rows lock them in the
    /// same order.
    pub(super) fn take(&self) -> Taken<'_> {
        let taken = self.shards().map(|mut shard| std::mem::take(&mut shard.noted));
        let rows = in_order(taken.flatten());
        let oldest = rows.iter().map(|(_, noted)| noted.first).min();
        self.writing_since.store(oldest.unwrap_or(0), Ordering::Relaxed);
        Taken { recorder: self, rows, written: 0, is_all: true }
    }

    /// Takes what waits of these clients alone, in the same order.
    pub(super) fn take_of(&self, keys: impl Iterator<Item = Key>) -> Taken<'_> {
        let taken = keys.filter_map(|key| self.shard(&key.client).noted.remove_entry(&key));
        Taken { recorder: self, rows: in_order(taken), written: 0, is_all: false }
    }

    /// Puts a check back that could not be written.
    fn give_back(&self, key: Key, noted: Noted) {
        match self.shard(&key.client).noted.entry(key) {
            Entry::Occupied(mut newer) => {
                let both = newer.get().clone().after(&noted);
                newer.insert(both);
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            Entry::Vacant(free) => {
                free.insert(noted);
            }
        }
    }

    /// Forgets the waiting checks of clients whose ids match.
    pub(super) fn forget(&self, clients: &IdPattern) {
        for mut shard in self.shards() {
            let before = shard.noted.len();
            shard.noted.retain(|key, _| !pattern::matches(clients.as_str(), &key.client.key()));
            self.waiting.fetch_sub(before - shard.noted.len(), Ordering::Relaxed);
        }
    }
}

fn in_order(taken: impl Iterator<Item = (Key, Noted)>) -> Vec<(Key, Noted)> {
    let mut rows: Vec<_> = taken.collect();
    rows.sort_by_cached_key(|(key, _)| (key.client.key(), key.image, key.channel));
    rows
}

/// Checks that are being written. Those that are not written when this is dropped wait again.
pub(super) struct Taken<'a> {
    recorder: &'a Recorder,
    rows: Vec<(Key, Noted)>,
    written: usize,
    /// Set if these were all that waited. `writing_since` is then the time of the oldest of them.
    is_all: bool,
}

impl Taken<'_> {
    /// Returns the next checks to write, at most so many; none at the end.
    pub(super) fn next(&self, most: usize) -> Option<&[(Key, Noted)]> {
        let rest = &self.rows[self.written..];
        (!rest.is_empty()).then(|| &rest[..rest.len().min(most)])
    }

    pub(super) fn written(&mut self, count: usize) {
        self.written += count;
        self.recorder.waiting.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for (key, noted) in self.rows.drain(self.written..) {
            self.recorder.give_back(key, noted);
        }
        if self.is_all {
            self.recorder.writing_since.store(0, Ordering::Relaxed);
        }
    }
}

/// The reason why a check that was answered is not recorded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dropped {
    /// Too many checks wait for the database.
    MemoryFull,
    /// Its address has had too many new clients within a minute.
    NewClients,
}

impl Dropped {
    pub(super) fn count(self, checks: u64) {
        let reason = match self {
            Self::MemoryFull => "memory_full",
            Self::NewClients => "new_clients",
        };
        metric::FLEET_CHECKS_DROPPED.with([reason]).increment(checks);
    }
}

/// Makes the counters visible before the first check.
pub fn begin_at_zero() {
    Dropped::MemoryFull.count(0);
    Dropped::NewClients.count(0);
}
