//! Garbage: stored bytes that nothing refers to go, in two steps.
//!
//! First a blob is given up: with its revision by whoever deletes that (or [`retention`](super::retention)), or here where
//! the store has bytes that no row knows (`orphans`). `store.safety_age` later its bytes are removed, and the row last.
//! In between nothing can take it up again; the time is for people, and for a catalog that is set back to a backup.
//!
//! Nothing that was not given up before is, and here nothing is removed, where the references look incomplete: a file
//! whose bytes are not there, a store of another catalog, more strangers in it than friends. Whoever asks for a
//! dry run is told what the run would do, by the same rules.

mod orphans;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::retention::Surplus;
use crate::catalog::job::{Done, Round, Wanted};
use crate::catalog::revision::end::end_of_time;
use crate::catalog::{Catalog, Execution, Result};
use crate::model::Job;

/// How often the whole store is looked through.
const COLLECT_EVERY: Duration = Duration::from_hours(6);

/// After a failure, or a refusal that a person has to look at.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// So many blobs are asked for at once.
const PAGE: i64 = 500;

/// How a collection is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CollectionOrder {
    pub execution: Execution,
    /// Without waiting for `store.safety_age`.
    pub immediately: bool,
    /// Even if most of what the store holds is unknown to the catalog.
    pub accept_orphans: bool,
}

/// Some of the store's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub blobs: u64,
    pub bytes: u64,
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Revisions that went by `keep_revisions`.
    pub expired: Vec<Surplus>,
    /// What the store had and no row knew; given up now.
    pub orphans: Amount,
    /// Whose bytes are gone.
    pub removed: Amount,
    /// Given up, and removed when their time has come or the tree does not need them any more.
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
    /// Collects every few hours, until cancelled. Of several servers one does it.
    pub async fn keep_collecting(&self) {
        loop {
            let order = CollectionOrder::default();
            let work = Box::pin(self.collect_once(order));
            let round = self.do_round(Job::Collect, Wanted::AtItsTime, RETRY_AFTER, work);
            let wait = match Box::pin(round).await {
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
                    tracing::error!(%error, "garbage stays until the next look");
                    RETRY_AFTER
                }
            };
            tokio::time::sleep(wait.min(COLLECT_EVERY)).await;
        }
    }

    /// Retention, then whatever nothing refers to.
    pub async fn collect(&self, order: CollectionOrder) -> Result<Collected> {
        if order.execution.is_dry_run() {
            return Box::pin(self.forecast(order)).await;
        }
        self.do_round_now(Job::Collect, RETRY_AFTER, || Box::pin(self.collect_once(order))).await
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

    /// What cannot be removed waits, and keeps nobody from the others.
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
                    // Not where the whole store is away.
                    self.check_owner().await?;
                }
            }
        }
    }

    /// The same without doing it.
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

    /// The blobs that no other revision has; and of those, apart, what the tree was given for one that is deleted and
    /// needs for its grace.
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

    /// Bytes go that were to be removed until then.
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
