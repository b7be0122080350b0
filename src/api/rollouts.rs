//! `PATCH /images/{image}/channels/{channel}`: the rollout of the promotion in force.

use actix_web::patch;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use super::assignments::{Answer, AssignmentBody, PendingAnswer};
use super::conventions::body::{JsonBody, LARGE, given};
use super::conventions::caller::Caller;
use super::conventions::dry_run::DryRun;
use super::conventions::problem::{ChangeRefusals, Problem};
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::Promote;
use crate::catalog::Error;
use crate::catalog::rollout::change::RolloutChange;
use crate::model::rollout::{HaltRule, Pace, Share, Step, Window};
use crate::model::{ChannelName, ClientPattern, ImageName};

/// A change of a rollout and of a promotion's other terms. A field that is left out stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RolloutToChange, example = json!({"percent": 25}))]
pub struct ChangedRollout {
    /// The share of clients that are offered the revision, in percent; replaces `steps`.
    #[serde(default)]
    percent: Option<Share>,
    /// The share as it grows with time; replaces `percent`.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 100)]
    steps: Option<Vec<Step>>,
    /// The time before which only canaries are offered the revision; null for the time of the promotion.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    start: Option<Option<DateTime<Utc>>>,
    /// The times of the week at which clients are offered the revision; an empty list for any time.
    #[serde(default)]
    windows: Option<Vec<Window>>,
    /// The clients that are offered the revision before all others.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    canaries: Option<Vec<ClientPattern>>,
    /// True stops the rollout, false lets it go on.
    #[serde(default)]
    paused: Option<bool>,
    /// The rule by which reported failures stop the rollout; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<HaltRule>)]
    halt: Option<Option<HaltRule>>,
    /// True halts the rollout, as reported failures do. False ends a halt; failures count afresh from then.
    #[serde(default)]
    halted: Option<bool>,
    #[serde(default)]
    mandatory: Option<bool>,
    /// The time at which the update becomes mandatory; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    deadline: Option<Option<DateTime<Utc>>>,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

impl ChangedRollout {
    fn change(self) -> Result<RolloutChange, Error> {
        Ok(RolloutChange {
            pace: Pace::of(self.percent, self.steps)?,
            start: self.start,
            windows: self.windows,
            canaries: self.canaries,
            paused: self.paused,
            halt: self.halt,
            halted: self.halted,
            mandatory: self.mandatory,
            deadline: self.deadline,
            note: self.note,
        })
    }
}

/// Change a rollout
///
/// Changes the share, the steps, the windows and the other terms of the promotion in force, and pauses, resumes or halts
/// it. The promotion stays the same, so no client's place changes: raising the share takes nobody out. A pause or a halt
/// is answered when every server applies it, or after one second; `replicas` says how many do.
#[utoipa::path(tag = "promotion", operation_id = "change_rollout", request_body = ChangedRollout,
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), DryRun),
    responses((status = 200, description = "The assignment", body = AssignmentBody),
        (status = 202, description = "The change waits for approval", body = PendingAnswer), ChangeRefusals)
)]
#[patch("/images/{image}/channels/{channel}")]
pub async fn change(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    changed: JsonBody<ChangedRollout, LARGE>,
) -> Result<Answer, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (change, actor) = (changed.read()?.change()?, caller.actor());
    let context = attempt.by(&actor);
    let changed = depot.catalog.change_rollout(context, &image, &channel, change).await?;
    Answer::of_change(&depot, (&image, &channel), changed, attempt.execution).await
}
