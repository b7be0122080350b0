//! The progress of a promotion: the clients on record by revision and by state, and how these numbers grew.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::channel::living_channel;
use crate::catalog::image::living_image;
use crate::catalog::{Catalog, Error, Result};
use crate::model::promotion::ReportedFailure;
use crate::model::report::ReportStatus;
use crate::model::{Assignment, ChannelName, ImageName, Promotion};
use crate::storage::{ProgressPoint, Tx};

/// The largest number of moments that are kept of a promotion. When there are more, every second one goes.
const MOST_POINTS: usize = 400;

/// The time for which a promotion that is complete is followed.
const FOLLOWED: TimeDelta = TimeDelta::days(14);

/// The distance of two moments.
const EVERY: Duration = Duration::from_mins(1);

/// The number of failures that are listed.
const LISTED_FAILURES: i64 = 20;

/// The number of clients that have a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevisionClients {
    /// The revision; 0 for clients that have none.
    pub revision: i64,
    pub clients: u64,
}

/// The numbers of clients of a promotion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProgressCounts)]
pub struct Counts {
    /// The clients on record that ask for the image in this channel.
    pub clients: u64,
    /// The clients that have the assigned revision, by their last check.
    pub on_revision: u64,
    /// The clients whose last report says that they are fetching it.
    pub downloading: u64,
    /// The clients whose last report says that they run it.
    pub applied: u64,
    /// The clients whose last report says that they failed, or went back by themselves.
    pub failed: u64,
}

/// The progress of a promotion.
pub struct Progress {
    pub assignment: Assignment,
    pub counts: Counts,
    pub revisions: Vec<RevisionClients>,
    /// The numbers of clients by the reason of their last answer.
    pub reasons: BTreeMap<String, u64>,
    pub failures: Vec<ReportedFailure>,
    pub series: Vec<ProgressPoint>,
}

impl Catalog {
    /// Returns how far the promotion in force is.
    pub async fn progress(&self, image: &ImageName, channel: &ChannelName) -> Result<Progress> {
        let assignment = self.assignment(image, channel).await?;
        let mut tx = self.db.read().await?;
        let place =
            (living_image(&mut tx, image).await?.id, living_channel(&mut tx, channel).await?.id);
        let promotion = &assignment.promotion;
        let revisions = tx.clients_by_revision(place).await?;
        let reasons = tx.clients_by_reason(place).await?;
        let counts = counts(&mut tx, promotion, &revisions).await?;
        let since = promotion.progress.reports_since.unwrap_or(DateTime::UNIX_EPOCH);
        let failures = tx.newest_failures(promotion.id, since, LISTED_FAILURES).await?;
        let failures = failures
            .into_iter()
            .map(|report| ReportedFailure { client: report.client, error: report.error })
            .collect();
        let series = tx.progress_points(promotion.id).await?;
        Ok(Progress {
            assignment,
            counts,
            revisions: revisions.into_iter().map(revision_clients).collect(),
            reasons: reasons
                .into_iter()
                .map(|(reason, clients)| (reason, clients.unsigned_abs()))
                .collect(),
            failures,
            series,
        })
    }

    /// Records every minute how far the promotions are, until cancelled. Every server does it, and the first one adds the
    /// minute's point.
    pub async fn follow_progress(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.record_progress().await {
                tracing::debug!(%error, "the progress of promotions could not be recorded");
            }
        }
    }

    async fn record_progress(&self) -> Result<()> {
        let now = self.clock.now();
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        let followed: Vec<Promotion> = {
            let snapshot = self.snapshot();
            let is_followed = |promotion: &&Promotion| {
                promotion.progress.under_way || now - promotion.created_at < FOLLOWED
            };
            snapshot.promotions().filter(is_followed).cloned().collect()
        };
        for promotion in followed {
            self.record_point(&promotion, minute).await?;
        }
        Ok(())
    }

    async fn record_point(&self, promotion: &Promotion, minute: DateTime<Utc>) -> Result<()> {
        let mut tx = self.db.read().await?;
        let place = (promotion.image_id, promotion.channel_id);
        let revisions = tx.clients_by_revision(place).await?;
        let counts = counts(&mut tx, promotion, &revisions).await?;
        let points = tx.progress_points(promotion.id).await?;
        drop(tx);
        let point = point(minute, &counts);
        // A fleet in which nothing changes needs no more points.
        let is_new = points.last().is_none_or(|last| {
            last.at < minute && ProgressPoint { at: minute, ..last.clone() } != point
        });
        if counts.clients == 0 || !is_new {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        if points.len() >= MOST_POINTS {
            for surplus in points.iter().skip(1).step_by(2) {
                tx.delete_progress_point(promotion.id, surplus.at).await?;
            }
        }
        tx.add_progress_point(promotion.id, &point).await?;
        Ok(tx.commit().await?)
    }
}

async fn counts(
    tx: &mut Tx,
    promotion: &Promotion,
    revisions: &[(i64, i64)],
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    for (revision, clients) in revisions {
        counts.clients += clients.unsigned_abs();
        if *revision == promotion.revision {
            counts.on_revision = clients.unsigned_abs();
        }
    }
    for state in tx.reported_states(promotion.id).await? {
        let clients = state.clients.unsigned_abs();
        match state.status {
            ReportStatus::Downloading => counts.downloading += clients,
            ReportStatus::Applied => counts.applied += clients,
            ReportStatus::Failed | ReportStatus::RolledBack => counts.failed += clients,
        }
    }
    Ok(counts)
}

fn revision_clients((revision, clients): (i64, i64)) -> RevisionClients {
    RevisionClients { revision, clients: clients.unsigned_abs() }
}

fn point(at: DateTime<Utc>, counts: &Counts) -> ProgressPoint {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ProgressPoint {
        at,
        on_revision: number(counts.on_revision),
        clients: number(counts.clients),
        downloading: number(counts.downloading),
        applied: number(counts.applied),
        failed: number(counts.failed),
    }
}
