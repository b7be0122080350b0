//! Writes what was noted, every two seconds. Each transaction has few rows, so that uploads and promotions wait for
//! milliseconds at most.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::newcomers::Arrivals;
use super::recorder::{Dropped, Key, Noted, Recorder, Taken};
use crate::catalog::{Catalog, Result};
use crate::model::{ClientCheck, metric};
use crate::storage::StorageError;

const EVERY: Duration = Duration::from_secs(2);

/// The interval at which the gauges are updated.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The number of rows of one transaction.
const BATCH: usize = 128;

/// The time for which a stopping server waits for the database to take the last checks.
const STOPPING: Duration = Duration::from_secs(5);

impl Catalog {
    /// Returns the recorder, in which update checks note themselves.
    pub fn fleet(&self) -> &Recorder {
        &self.shared.fleet
    }

    /// Writes what was noted, forever.
    pub async fn keep_recording_checks(&self) {
        tokio::join!(Box::pin(self.keep_writing_checks()), self.keep_measuring_fleet());
    }

    async fn keep_writing_checks(&self) {
        let mut is_behind = false;
        loop {
            sleep(EVERY).await;
            let written = self.write_checks().await;
            if let Err(error) = &written
                && !is_behind
            {
                tracing::warn!(%error, "the record of clients cannot be written; checks are answered and kept");
            }
            is_behind = written.is_err();
        }
    }

    async fn keep_measuring_fleet(&self) {
        loop {
            let fleet = self.fleet();
            metric::FLEET_CHECKS_WAITING.set(number(fleet.waiting() as u64));
            let behind = fleet.behind(self.clock.now().timestamp());
            metric::FLEET_BEHIND.set(number(behind));
            if let Some(clients) = fleet.clients() {
                metric::FLEET_CLIENTS.set(number(clients));
            }
            sleep(MEASURE_EVERY).await;
        }
    }

    /// Writes everything that was noted, because the server stops.
    pub(in crate::catalog) async fn record_all_checks(&self) {
        if self.fleet().waiting() == 0 {
            return;
        }
        if !matches!(timeout(STOPPING, self.write_noted()).await, Ok(Ok(()))) {
            let lost = self.fleet().waiting();
            tracing::warn!(lost, "the last update checks could not be recorded");
        }
    }

    async fn write_checks(&self) -> Result<()> {
        self.write_noted().await?;
        self.limit_fleet().await
    }

    /// Writes the waiting checks of these clients. Their reports are weighed by what they were offered, in which group,
    /// and are shown in their records: a client that is quick must not report before it is on record.
    pub(super) async fn write_checks_of(&self, clients: impl Iterator<Item = Key>) -> Result<()> {
        self.write_taken_checks(self.fleet().take_of(clients)).await
    }

    async fn write_noted(&self) -> Result<()> {
        let taken = self.fleet().take();
        self.forget_old_newcomers();
        self.write_taken_checks(taken).await
    }

    async fn write_taken_checks(&self, mut taken: Taken<'_>) -> Result<()> {
        while let Some(batch) = taken.next(BATCH) {
            let count = batch.len();
            self.write_batch(batch).await?;
            taken.written(count);
        }
        Ok(())
    }

    /// Forgets the minutes that no waiting check belongs to.
    fn forget_old_newcomers(&self) {
        let now = self.clock.now().timestamp();
        let oldest = now.saturating_sub_unsigned(self.fleet().behind(now));
        self.newcomers().forget_before(oldest);
    }

    fn newcomers(&self) -> std::sync::MutexGuard<'_, super::newcomers::Newcomers> {
        let newcomers = &self.shared.fleet.newcomers;
        newcomers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn write_batch(&self, batch: &[(Key, Noted)]) -> Result<()> {
        let (checks, arrivals) = self.admitted(batch).await?;
        if !checks.is_empty() {
            let mut tx = self.db.write().await?;
            if let Some(why) = tx.frozen().await? {
                return Err(StorageError::Frozen(why).into());
            }
            tx.record_checks(&checks).await?;
            tx.commit().await?;
        }
        metric::FLEET_CHECKS_RECORDED.increment(checks.len() as u64);
        Dropped::NewClients.count((batch.len() - checks.len()) as u64);
        self.fleet().size.add(arrivals.count());
        self.newcomers().add(arrivals);
        Ok(())
    }

    /// Returns the checks without those of new clients beyond the limit of their addresses, and the new clients.
    async fn admitted(&self, batch: &[(Key, Noted)]) -> Result<(Vec<ClientCheck>, Arrivals)> {
        let mut keys: Vec<_> = batch.iter().map(|(key, _)| key.client.key()).collect();
        // They are in order.
        keys.dedup();
        let known = self.db.look().await?.clients_on_record(&keys).await?;
        let (limit, mut arrivals) = (self.rules().fleet.new_clients, Arrivals::default());
        let newcomers = self.newcomers();
        let may_stay = |(key, noted): &&(Key, Noted)| {
            let client = key.client.key();
            known.contains(&client)
                || newcomers.admit(&mut arrivals, &client, noted.address, noted.first, limit)
        };
        let checks = batch.iter().filter(may_stay).map(row).collect();
        Ok((checks, arrivals))
    }
}

fn row((key, noted): &(Key, Noted)) -> ClientCheck {
    ClientCheck {
        client: key.client.clone(),
        image_id: key.image,
        channel_id: key.channel,
        revision: noted.revision,
        group: noted.group.clone(),
        action: text(&noted.action),
        reason: text(&noted.reason),
        promotion_id: noted.promotion,
        address: noted.address,
        agent: noted.agent.clone(),
        authenticated: noted.authenticated,
        first_seen: time(noted.first),
        last_seen: time(noted.last),
    }
}

/// Returns the text that a word of an answer has in JSON.
fn text(word: &impl Serialize) -> String {
    let json = serde_json::to_value(word).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_secs(seconds).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn number(count: u64) -> f64 {
    count as f64
}
