//! The forecast of a rollout over the clients on record: how many are offered the revision at each step, and how many
//! bytes they would fetch. Places of clients are random, so it counts shares of groups and not single clients.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::{Catalog, Result};
use crate::model::{ClientGroup, Promotion};
use crate::rollout::Schedule;

/// The expected state of a rollout from one step on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ForecastStep)]
pub struct Forecast {
    /// The number of the step, from 1.
    pub step: usize,
    /// The time from which it applies. Windows may delay clients further.
    pub at: DateTime<Utc>,
    /// The expected number of clients on record that are offered the revision by then and do not have it yet.
    pub clients: u64,
    /// The number of bytes that these clients fetch, without deltas.
    pub bytes: u64,
}

impl Catalog {
    /// Returns the forecast of a promotion as it would be now.
    pub async fn rollout_forecast(&self, promotion: &Promotion) -> Result<Vec<Forecast>> {
        let mut tx = self.db.read().await?;
        let place = (promotion.image_id, promotion.channel_id);
        let groups = tx.clients_by_group_without(place, promotion.revision).await?;
        let size: u64 =
            tx.files_of(promotion.revision_id).await?.iter().map(|file| file.size).sum();
        drop(tx);
        let groups: Vec<(Option<ClientGroup>, u64)> = groups
            .into_iter()
            .map(|(group, clients)| {
                (group.and_then(|group| group.parse().ok()), clients.unsigned_abs())
            })
            .collect();
        let now = self.clock.now();
        let schedule = Schedule::of(promotion);
        let mut times: Vec<_> = schedule.times().into_iter().filter(|time| now < *time).collect();
        if !schedule.is_before_start(now) {
            times.insert(0, now);
        }
        let steps = times.into_iter().enumerate().map(|(index, at)| {
            let clients = expected(&schedule, &groups, at);
            Forecast { step: index + 1, at, clients, bytes: clients.saturating_mul(size) }
        });
        Ok(steps.collect())
    }
}

/// Returns the expected number of clients in the shares of their groups.
fn expected(
    schedule: &Schedule<'_>,
    groups: &[(Option<ClientGroup>, u64)],
    at: DateTime<Utc>,
) -> u64 {
    let in_share = |(group, clients): &(Option<ClientGroup>, u64)| {
        schedule.share(group.as_ref(), at).of(*clients)
    };
    groups.iter().map(in_share).sum()
}
