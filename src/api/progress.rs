//! `/images/{image}/channels/{channel}/progress`: how far the promotion in force is.

use std::collections::BTreeMap;

use actix_web::get;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::problem::{Problem, ReadRefusals};
use super::depot::Depot;
use crate::access::permission::Read;
use crate::catalog::fleet::progress::{Counts, Progress, RevisionClients};
use crate::model::promotion::ReportedFailure;
use crate::model::rollout::Share;
use crate::model::{ChannelName, ImageName};
use crate::rollout::{Schedule, State};
use crate::storage::ProgressPoint;

/// The progress of the promotion in force, by the clients on record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressBody {
    image: String,
    channel: String,
    revision: i64,
    epoch: i64,
    promotion: Uuid,
    state: State,
    /// The share of clients without a group that are offered the revision now, in percent.
    percent_now: Share,
    counts: Counts,
    /// The clients by the revision that they have.
    revisions: Vec<RevisionClients>,
    /// The clients by the reason of their last answer.
    reasons: BTreeMap<String, u64>,
    /// The newest failures that were reported and count for a halt.
    failures: Vec<ReportedFailure>,
    /// The counts at moments since the promotion, oldest first: at most one a minute, and at most 400.
    series: Vec<Point>,
}

/// The counts of a promotion at a moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProgressPoint)]
struct Point {
    at: DateTime<Utc>,
    clients: i64,
    on_revision: i64,
    downloading: i64,
    applied: i64,
    failed: i64,
}

impl From<ProgressPoint> for Point {
    fn from(point: ProgressPoint) -> Self {
        let ProgressPoint { at, on_revision, clients, downloading, applied, failed } = point;
        Self { at, clients, on_revision, downloading, applied, failed }
    }
}

impl ProgressBody {
    fn new(
        image: &ImageName,
        channel: &ChannelName,
        progress: Progress,
        now: DateTime<Utc>,
    ) -> Self {
        let promotion = &progress.assignment.promotion;
        let schedule = Schedule::of(promotion);
        Self {
            image: image.to_string(),
            channel: channel.to_string(),
            revision: promotion.revision,
            epoch: promotion.epoch,
            promotion: promotion.id,
            state: schedule.state(now),
            percent_now: schedule.share(None, now),
            counts: progress.counts,
            revisions: progress.revisions,
            reasons: progress.reasons,
            failures: progress.failures,
            series: progress.series.into_iter().map(Into::into).collect(),
        }
    }
}

/// Show the progress of a promotion
///
/// Returns how many of the clients on record have the assigned revision, what they reported, and how these numbers grew
/// since the promotion. Clients are counted by their last check and their last report.
#[utoipa::path(tag = "promotion", operation_id = "get_progress",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "The progress", body = ProgressBody), ReadRefusals)
)]
#[get("/images/{image}/channels/{channel}/progress")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
) -> Result<Json<ProgressBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let progress = depot.catalog.progress(&image, &channel).await?;
    Ok(Json(ProgressBody::new(&image, &channel, progress, depot.now())))
}
