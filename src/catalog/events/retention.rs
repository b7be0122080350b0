//! The removal of old events.

use chrono::TimeDelta;

use crate::catalog::{Catalog, Result};

/// The number of events that are removed in one transaction, so that others get their turn in between.
const BATCH: u16 = 1000;

impl Catalog {
    /// Removes the events that are older than `events.keep`.
    pub(crate) async fn forget_old_events(&self) -> Result<()> {
        let keep = TimeDelta::from_std(self.rules().events.keep).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.clock.now().checked_sub_signed(keep) else { return Ok(()) };
        loop {
            let mut tx = self.db.write_to_free().await?;
            let gone = tx.forget_events(before, BATCH.into()).await?;
            tx.commit().await?;
            if gone < BATCH.into() {
                return Ok(());
            }
        }
    }
}
