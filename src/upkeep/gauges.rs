//! The gauges of the whole depot, measured every half minute. Every server reports the same, whichever one did the
//! work.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::catalog::fleet::mirrors::MirrorCounts;
use crate::catalog::{Catalog, Result, manifest};
use crate::model::{DeliveryState, Job, RevisionState, metric};
use crate::storage::Tx;

const EVERY: Duration = Duration::from_secs(30);

/// The states with their names as labels.
const STATES: [(RevisionState, &str); 5] = [
    (RevisionState::Draft, "draft"),
    (RevisionState::Ready, "ready"),
    (RevisionState::Revoked, "revoked"),
    (RevisionState::Quarantined, "quarantined"),
    (RevisionState::Deleted, "deleted"),
];

impl Catalog {
    /// Keeps the gauges up to date, until cancelled.
    pub async fn keep_measuring(&self) {
        let mut pending = None;
        loop {
            if let Err(error) = self.measure(&mut pending).await {
                tracing::debug!(%error, "the gauges could not be updated");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Measures once. `pending` is a version that the tree had not followed yet, and since when.
    async fn measure(&self, pending: &mut Option<(i64, DateTime<Utc>)>) -> Result<()> {
        let expiries =
            self.snapshot().channels().map(|offer| manifest::expiry(&offer.channel)).min();
        if let Some(expiry) = expiries {
            metric::MANIFEST_EXPIRY.set(seconds(expiry));
        }
        let mut tx = self.db.read().await?;
        let version = tx.catalog_state().await?.version;
        let done = tx.job(Job::Publish).await?.map_or(-1, |job| job.done_version);
        let damaged = tx.damaged_files().await?;
        let oldest = tx.oldest_reading().await?;
        self.measure_whole(&mut tx).await?;
        if pending.is_some_and(|(version, _)| done >= version) {
            *pending = None;
        }
        if done < version {
            pending.get_or_insert_with(|| (version, self.clock.now()));
        }
        let behind = pending.map(|(_, since)| Arc::new(since));
        self.shared.parts.tree_behind_since.store(behind);
        metric::PUBLICATION_PENDING_SINCE.set(pending.map_or(0.0, |(_, since)| seconds(since)));
        let blobs: BTreeSet<_> = damaged.iter().map(|file| file.blob_id).collect();
        metric::SCRUB_DAMAGED_BLOBS.set(number(blobs.len()));
        // Without any file, no reading is overdue.
        let oldest = oldest.unwrap_or_else(|| self.clock.now());
        metric::SCRUB_OLDEST_VERIFIED.set(seconds(oldest));
        drop(tx);
        let MirrorCounts { mirrors, behind } = self.count_mirrors().await?;
        metric::MIRRORS.set(number(mirrors));
        metric::MIRRORS_BEHIND.set(number(behind));
        Ok(())
    }

    /// Measures the catalog's totals.
    async fn measure_whole(&self, tx: &mut Tx) -> Result<()> {
        let by_state = tx.revisions_by_state().await?;
        for (state, name) in STATES {
            let counted = by_state.iter().find(|(found, _)| *found == state);
            let count = counted.map_or(0, |(_, count)| *count);
            metric::REVISIONS.with([name]).set(number(usize::try_from(count).unwrap_or(0)));
        }
        let set_aside = tx.count_deliveries(DeliveryState::SetAside).await?;
        metric::WEBHOOK_SET_ASIDE.set(number(usize::try_from(set_aside).unwrap_or(0)));
        let halted = self.snapshot().promotions().filter(|p| p.progress.halted.is_some()).count();
        metric::ROLLOUTS_HALTED.set(number(halted));
        let used = usize::try_from(tx.used_bytes().await?).unwrap_or(0);
        metric::STORED_BYTES.set(number(used));
        let newest = tx.newest_backup().await?;
        metric::NEWEST_BACKUP.set(newest.as_ref().map_or(0.0, |backup| seconds(backup.taken_at)));
        self.shared.parts.newest_backup.store(newest.map(Arc::new));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn number(count: usize) -> f64 {
    count as f64
}
