//! The limit of the record: beyond `fleet.max_clients` clients, those that were not seen for the longest time go.

use tokio::time::Instant;

use super::size::surplus;
use crate::catalog::{Catalog, Result};
use crate::model::metric;

/// The number of rows of one transaction.
const BATCH: usize = 128;

impl Catalog {
    /// Keeps the record within its limit, if it is time to look at it.
    pub(super) async fn limit_fleet(&self) -> Result<()> {
        let most = self.rules().fleet.max_clients;
        let known = &self.shared.fleet.size;
        if !known.is_due(most, Instant::now()) {
            return Ok(());
        }
        let size = self.db.look().await?.fleet_size().await?;
        known.set(size.clients, Instant::now());
        let surplus = surplus(size, most);
        if surplus > 0 {
            self.remove_oldest(surplus).await?;
            // A client that has several rows is still there.
            known.forget();
        }
        Ok(())
    }

    async fn remove_oldest(&self, rows: u64) -> Result<()> {
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let oldest = self.db.look().await?.oldest_records(limit).await?;
        let Some(seen) = oldest.iter().map(|(_, seen)| *seen).max() else { return Ok(()) };
        let places: Vec<_> = oldest.into_iter().map(|(place, _)| place).collect();
        for batch in places.chunks(BATCH) {
            let mut tx = self.db.write_to_free().await?;
            let removed = tx.delete_records(batch, seen).await?;
            tx.commit().await?;
            metric::FLEET_RECORDS_REMOVED.increment(removed);
        }
        Ok(())
    }
}
