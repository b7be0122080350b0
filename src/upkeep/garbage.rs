//! Garbage: deletes stored bytes that nothing refers to, in two steps.
//!
//! First a blob is given up: together with its revision when that is deleted (also by [`retention`](super::retention)),
//! or here if the store has bytes that no row knows (`orphans`). After `store.safety_age` its bytes are removed, and
//! finally the row. Nothing can take it up again in between; the delay is for people, and for a catalog that is
//! restored from a backup.
//!
//! If the references look incomplete, nothing more is given up and nothing is removed here. They do if a file's bytes
//! are missing, if the store belongs to another catalog, or if most of its blobs are unknown. A dry run reports what a
//! real run would do, by the same rules.

mod orphans;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::retention::Surplus;
use crate::catalog::job::{Done, Round, Trigger};
use crate::catalog::revision::end::end_of_time;
use crate::catalog::{Catalog, Execution, Result};
use crate::model::Job;

/// The interval between two collections of the whole store.
const COLLECT_EVERY: Duration = Duration::from_hours(6);

/// The wait after a failure, or after a refusal that an administrator has to look at.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// The number of blobs that are queried at once.
const PAGE: i64 = 500;

/// The options of a collection.
#[derive(Debug, Clone, Copy, Default)]
pub struct CollectionOrder {
    pub execution: Execution,
    /// Does not wait for `store.safety_age`.
    pub immediately: bool,
    /// Continues even if most of the store's blobs are unknown to the catalog.
    pub accept_orphans: bool,
}

/// A part of the store's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub blobs: u64,
    pub bytes: u64,
}

/// The result of a collection, or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Revisions that were deleted because of `keep_revisions`.
    pub expired: Vec<Surplus>,
    /// Blobs in the store that no row knew. They are given up now.
    pub orphans: Amount,
    /// Blobs whose bytes were removed.
    pub removed: Amount,
    /// Blobs that were given up. They are removed when their time has come or the tree no longer needs them.
    pub waiting: Amount,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }

    fn join(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
    }
}

impl Catalog {
    /// Collects every few hours, until cancelled. With several servers, one of them does it.
    pub async fn keep_collecting(&self) {
        loop {
            let order = CollectionOrder::default();
            let work = self.collect_once(order);
            let round = self.do_round(Job::Collect, Trigger::AtItsTime, RETRY_AFTER, work);
            let wait = match round.await {
                Ok(Round::Done(collected)) => {
                    tracing::info!(
                        expired = collected.expired.len(),
                        orphans = collected.orphans.blobs,
                        removed_bytes = collected.removed.bytes,
                        "collected garbage"
                    );
                    COLLECT_EVERY
                }
                Ok(Round::NotBefore(at)) => self.until(at).max(Duration::from_secs(1)),
                Err(error) => {
                    tracing::error!(%error, "garbage could not be collected; it is kept until the next try");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(wait.min(COLLECT_EVERY)).await;
        }
    }

    /// Applies retention, then collects everything that nothing refers to.
    pub async fn collect(&self, order: CollectionOrder) -> Result<Collected> {
        if order.execution.is_dry_run() {
            return self.forecast(order).await;
        }
        self.do_round_now(Job::Collect, RETRY_AFTER, || self.collect_once(order)).await
    }

    async fn collect_once(&self, order: CollectionOrder) -> Result<Done<Collected>> {
        let unknown = self.find_orphans(order).await?;
        let mut collected =
            Collected { expired: self.expire_revisions().await?, ..Collected::default() };
        collected.orphans = self.give_up_orphans(&unknown).await?;
        collected.removed = self.remove_due(self.due(order)).await?;
        collected.waiting = amount(self.db.read().await?.garbage().await?);
        let due_at = self.clock.now() + COLLECT_EVERY;
        Ok(Done { result: collected, version: 0, due_at })
    }

    /// Removes the blobs that are due. One that cannot be removed waits, and does not block the others.
    async fn remove_due(&self, due: DateTime<Utc>) -> Result<Amount> {
        let (mut removed, mut stuck) = (Amount::default(), HashSet::new());
        loop {
            let mut page = self.db.read().await?.removable_blobs(due, PAGE).await?;
            page.retain(|blob| !stuck.contains(&blob.id));
            if page.is_empty() {
                return Ok(removed);
            }
            for blob in page {
                if self.remove_or_postpone(&blob).await? {
                    removed.add(blob.size);
                } else {
                    stuck.insert(blob.id);
                    // Stop if the whole store is unreachable.
                    self.check_owner().await?;
                }
            }
        }
    }

    /// Returns what a collection would do.
    async fn forecast(&self, order: CollectionOrder) -> Result<Collected> {
        let unknown = self.find_orphans(order).await?;
        let expired = self.surplus_revisions().await?;
        let orphans = amount(unknown.iter().map(|orphan| orphan.bytes));
        let (free, in_tree) = self.freed_by(&expired).await?;
        let mut tx = self.db.read().await?;
        let removable = tx.removable_blobs(self.due(order), i64::MAX).await?;
        let mut removed = amount(removable.iter().map(|blob| blob.size));
        let mut waiting = amount(tx.garbage().await?);
        waiting.blobs -= removed.blobs;
        waiting.bytes -= removed.bytes;
        waiting.join(in_tree);
        let new = if order.immediately || self.rules().safety_age.is_zero() {
            &mut removed
        } else {
            &mut waiting
        };
        new.join(free);
        new.join(orphans);
        Ok(Collected { expired, orphans, removed, waiting })
    }

    /// Returns the sizes of the blobs that no other revision has. Those that the tree still needs, for the grace of a
    /// deleted revision, are counted separately.
    async fn freed_by(&self, expired: &[Surplus]) -> Result<(Amount, Amount)> {
        let gone: HashSet<_> = expired.iter().map(|surplus| surplus.id).collect();
        let mut tx = self.db.read().await?;
        let (mut free, mut in_tree) = (Amount::default(), Amount::default());
        let mut seen = HashSet::new();
        for surplus in expired {
            for file in tx.files_of(surplus.id).await? {
                let holders = tx.revisions_with_blob(file.blob_id).await?;
                let is_free = holders.iter().all(|(holder,)| gone.contains(holder));
                if is_free && seen.insert(file.blob_id) {
                    let is_published = !tx.publications_of(file.blob_id).await?.is_empty();
                    let freed = if is_published { &mut in_tree } else { &mut free };
                    freed.add(file.size);
                }
            }
        }
        Ok((free, in_tree))
    }

    /// Returns the time up to which blobs are due for removal.
    fn due(&self, order: CollectionOrder) -> DateTime<Utc> {
        if order.immediately { end_of_time() } else { self.clock.now() }
    }
}

fn amount(sizes: impl IntoIterator<Item = u64>) -> Amount {
    sizes.into_iter().fold(Amount::default(), |mut amount, bytes| {
        amount.add(bytes);
        amount
    })
}
