//! The record of mirrors: what each copy of channels at another site has, beside what the channels have now.
//!
//! Mirrors tell it again every ten minutes, and nobody looks after them. So nothing is refused because of a change here:
//! a channel that does not exist, or no longer, is recorded like any other. For the same reason the record needs no
//! audit, and it has a limit, beyond which the mirror goes that was silent for the longest time.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::error_text::clean;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::mirror::MirroredChannel;
use crate::model::revision::LARGEST_NUMBER;
use crate::model::{ChannelName, IdPattern, Mirror, MirrorKind, MirrorName};
use crate::storage::StorageError;

/// The most mirrors on record.
const MOST: i64 = 10_000;

/// The most channels of one mirror.
const MOST_CHANNELS: usize = 100;

/// The number of characters of the longest version.
const LONGEST_VERSION: usize = 64;

/// The number of rows that are read at once when all are counted.
const BATCH: i64 = 500;

/// The sequences of the channels' manifests, as readers get them, by the channels' keys.
type Sequences = HashMap<String, i64>;

/// A mirror's report.
pub struct MirrorReport {
    pub name: MirrorName,
    pub kind: MirrorKind,
    pub version: Option<String>,
    /// The channels that it holds, each with the sequence of its manifest.
    pub channels: Vec<(ChannelName, i64)>,
    pub bytes: i64,
    pub bytes_missing: i64,
    pub error: Option<String>,
}

/// A mirror, and how far it is.
pub struct MirrorState {
    pub mirror: Mirror,
    /// The sequence that each of the mirror's channels has now, in the mirror's order; none for a channel that does not
    /// exist.
    pub sequences: Vec<Option<i64>>,
}

/// The numbers of mirrors on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    pub mirrors: usize,
    /// The mirrors with a channel whose own sequence is another one.
    pub behind: usize,
}

impl MirrorReport {
    fn check(&self) -> Result<()> {
        let is_version = |text: &String| {
            !text.is_empty()
                && text.chars().count() <= LONGEST_VERSION
                && !text.contains(char::is_control)
        };
        if !self.version.as_ref().is_none_or(is_version) {
            let rule = "must have 1 to 64 characters, and no control characters";
            return Err(Error::invalid("version", rule));
        }
        if self.channels.len() > MOST_CHANNELS {
            return Err(Error::invalid("channels", "must have at most 100 channels"));
        }
        let mut named = HashSet::new();
        for (channel, sequence) in &self.channels {
            check_number("sequence", *sequence)?;
            if !named.insert(channel.key()) {
                let reason = format!("names {channel} twice");
                return Err(Error::invalid("channels", reason));
            }
        }
        check_number("bytes", self.bytes)?;
        check_number("bytes_missing", self.bytes_missing)
    }

    fn into_mirror(
        self,
        before: Option<&Mirror>,
        sequences: &Sequences,
        (by, now): (&Actor, DateTime<Utc>),
    ) -> Mirror {
        let mirrored = |(channel, sequence): (ChannelName, i64)| {
            let key = channel.key();
            let current_at = if sequences.get(&key) == Some(&sequence) {
                Some(now)
            } else {
                let mut told = before.into_iter().flat_map(|before| &before.channels);
                told.find(|told| told.channel.key() == key).and_then(|told| told.current_at)
            };
            MirroredChannel { channel, sequence, current_at }
        };
        Mirror {
            name: self.name,
            kind: self.kind,
            version: self.version,
            channels: self.channels.into_iter().map(mirrored).collect(),
            bytes: self.bytes,
            bytes_missing: self.bytes_missing,
            error: self.error.map(|error| clean(&error)).filter(|error| !error.is_empty()),
            reported_by: by.name.clone(),
            reported_at: now,
        }
    }
}

fn check_number(field: &'static str, number: i64) -> Result<()> {
    if (0..=LARGEST_NUMBER).contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("must be a number from 0 to {LARGEST_NUMBER}")))
}

impl MirrorState {
    fn new(mirror: Mirror, sequences: &Sequences) -> Self {
        let now = |told: &MirroredChannel| sequences.get(&told.channel.key()).copied();
        let sequences = mirror.channels.iter().map(now).collect();
        Self { mirror, sequences }
    }

    /// Reports whether a channel has another sequence than the mirror. A channel that does not exist has none.
    fn is_behind(&self) -> bool {
        let mut channels = self.mirror.channels.iter().zip(&self.sequences);
        channels.any(|(told, now)| now.is_some_and(|now| now != told.sequence))
    }
}

impl Catalog {
    /// Records what a mirror tells. When this returns, it is durable. Returns the mirror, and whether it is new.
    pub async fn record_mirror(
        &self,
        by: &Actor,
        report: MirrorReport,
    ) -> Result<(MirrorState, bool)> {
        report.check()?;
        let sequences = self.snapshot().shown_sequences();
        let key = report.name.key();
        let mut tx = self.db.write().await?;
        // What is told while the catalog moves would be missing at its new place.
        if let Some(why) = tx.frozen().await? {
            return Err(StorageError::Frozen(why).into());
        }
        let before = tx.mirror(&key).await?;
        let mirror = report.into_mirror(before.as_ref(), &sequences, (by, self.clock.now()));
        tx.put_mirror(&mirror).await?;
        if before.is_none() {
            let surplus = tx.count_mirrors().await? - MOST;
            if surplus > 0 {
                tx.delete_silent_mirrors(surplus, &key).await?;
            }
        }
        tx.commit().await?;
        Ok((MirrorState::new(mirror, &sequences), before.is_none()))
    }

    /// Returns the mirrors after a name's key, in the order of the keys.
    pub async fn mirrors(
        &self,
        names: Option<&IdPattern>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<MirrorState>> {
        let mirrors = self.db.look().await?.mirrors_after(names, after, limit).await?;
        let sequences = self.snapshot().shown_sequences();
        Ok(mirrors.into_iter().map(|mirror| MirrorState::new(mirror, &sequences)).collect())
    }

    /// Counts the mirrors on record.
    pub(crate) async fn count_mirrors(&self) -> Result<MirrorCounts> {
        let (mut counts, mut after) = (MirrorCounts::default(), String::new());
        loop {
            let mirrors = self.mirrors(None, &after, BATCH).await?;
            counts.mirrors += mirrors.len();
            counts.behind += mirrors.iter().filter(|state| state.is_behind()).count();
            match mirrors.last() {
                Some(last) => after = last.mirror.name.key(),
                None => return Ok(counts),
            }
        }
    }

    /// Deletes a mirror from the record. It comes back with its next report.
    pub async fn delete_mirror(&self, actor: &Actor, name: &MirrorName) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let mirror = tx.mirror(&name.key()).await?.ok_or(Error::MirrorNotFound)?;
        if !tx.delete_mirror(&name.key()).await? {
            return Err(Error::MirrorNotFound);
        }
        let Mirror { name, kind, reported_by, reported_at, .. } = mirror;
        let subject = format!("mirrors/{name}");
        let before = json!({"name": name, "kind": kind, "reported_by": reported_by, "reported_at": reported_at});
        let entry = Entry { action: "mirror.delete", subject, actor };
        self.audit(&mut tx, entry, Some(&before), NOTHING);
        Ok(tx.commit().await?)
    }
}
