//! `/images/{image}/channels`: the revisions that an image offers in channels. Changes of their rollouts are in
//! [`super::rollouts`], the history is in [`super::promotions`].

mod answer;
mod body;

use actix_web::web::{Data, Path, Query};
use actix_web::{delete, get, post, put, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

pub use self::answer::{Answer, PendingAnswer};
pub use self::body::AssignmentBody;
use self::body::PendingBody;
use super::conventions::body::{JsonBody, LARGE};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Resource, Unchanged};
use super::conventions::dry_run::DryRun;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use super::promotions::PromotionBody;
use crate::access::permission::{Promote, Read};
use crate::catalog::Error;
use crate::catalog::promotion::{
    NamedTerms, Pending, Promoted, PromotionOrder, Repeat, RollbackOrder,
};
use crate::model::{ChannelName, ClientTerms, Departure, ImageName, Rollout, Terms};

/// A promotion to create.
//
// `Terms` is not flattened into this type: here all of its fields are optional, and refusals name the position in the
// text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PromotionToCreate, example = json!({"revision": 12, "note": "January patches"}))]
pub struct NewPromotion {
    #[schema(minimum = 1)]
    revision: i64,
    #[serde(default)]
    rollout: Option<Rollout>,
    /// True if clients may not postpone the update.
    #[serde(default)]
    mandatory: Option<bool>,
    /// The time at which the update becomes mandatory.
    #[serde(default)]
    deadline: Option<DateTime<Utc>>,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

/// The query parameters of a promotion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PromoteQuery {
    /// Create a new epoch even if the revision is already assigned and no field differs.
    #[serde(default)]
    #[param(default = false)]
    again: bool,
}

impl NewPromotion {
    fn order(self, query: &PromoteQuery) -> PromotionOrder {
        let new = self;
        let named = NamedTerms {
            rollout: new.rollout.clone(),
            mandatory: new.mandatory,
            deadline: new.deadline,
            note: new.note.clone(),
        };
        let rollout = new.rollout.unwrap_or_default();
        let (mandatory, deadline) = (new.mandatory.unwrap_or_default(), new.deadline);
        PromotionOrder {
            revision: new.revision,
            terms: Terms {
                rollout,
                for_clients: ClientTerms { mandatory, deadline },
                note: new.note.unwrap_or_default(),
            },
            repeat: if query.again { Repeat::IsOne } else { Repeat::IsNone(named) },
        }
    }
}

/// The options of a rollback.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollbackToCreate, example = json!({"as_new_revision": false, "note": "printing is broken"}))]
pub struct NewRollback {
    /// Reissue the earlier bytes under the next revision number, for clients that never go back to a lower number.
    #[serde(default)]
    as_new_revision: bool,
    /// The rollout of the earlier revision; all clients at once if omitted.
    #[serde(default)]
    rollout: Option<Rollout>,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

impl NewRollback {
    fn order(self) -> RollbackOrder {
        RollbackOrder {
            as_new_revision: self.as_new_revision,
            rollout: self.rollout.unwrap_or_default(),
            note: self.note.unwrap_or_default(),
        }
    }
}

/// The query parameters of a withdrawal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WithdrawalQuery {
    /// Remove all of the image's files and their HTTP names at once, without waiting for `tree.grace`.
    #[serde(default)]
    #[param(default = false)]
    now: bool,
}

impl WithdrawalQuery {
    fn departure(&self) -> Departure {
        if self.now { Departure::AtOnce } else { Departure::AfterGrace }
    }
}

/// List an image's assignments
///
/// Returns one assignment for each channel that the image was promoted to and has not been withdrawn from since.
#[utoipa::path(tag = "promotion", operation_id = "list_assignments",
    params(("image" = String, Path, description = "The image's name"), PageQuery),
    responses((status = 200, description = "The assignments", body = Page<AssignmentBody>), ReadRefusals)
)]
#[get("/images/{image}/channels")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    image: Path<ImageName>,
    page: Query<PageQuery>,
) -> Result<Page<AssignmentBody>, Problem> {
    caller.may_know(&image)?;
    let (assignments, now) = (depot.catalog.assignments(&image).await?, depot.now());
    page.page_of(
        assignments,
        |(channel, _)| channel.key(),
        |(channel, assignment)| AssignmentBody::new(&image, &channel, assignment, now),
    )
}

/// Show an assignment
///
/// Returns the revision that the image offers in the channel, and whether its files are in the tree already. Answers
/// 404 `nothing_assigned` before the first promotion and after a withdrawal.
#[utoipa::path(tag = "promotion", operation_id = "get_assignment",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "The assignment", body = AssignmentBody), Unchanged, ReadRefusals)
)]
#[get("/images/{image}/channels/{channel}")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
) -> Result<Resource<AssignmentBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let assignment = depot.catalog.assignment(&image, &channel).await;
    let pending = depot.catalog.pending(&image, &channel).await?;
    let assignment = match (assignment, pending.clone()) {
        (Err(Error::NothingAssigned), Some(pending)) => {
            return Err(nothing_assigned_yet(pending));
        }
        (assignment, _) => assignment?,
    };
    let tag = assignment.promotion.tag();
    let body = AssignmentBody::new(&image, &channel, assignment, depot.now());
    Ok(match pending {
        // What waits changes with each approval, which the tag does not cover.
        Some(_) => Resource::untagged(body.with_pending(pending)),
        None => Resource::tagged(tag, body),
    })
}

/// Returns the 404 of a channel to which the first promotion waits for approval.
fn nothing_assigned_yet(pending: Pending) -> Problem {
    Problem::from(Error::NothingAssigned).with_member("pending", PendingBody::from(pending))
}

/// Promote a revision
///
/// Assigns a revision to the channel. When the response is sent, update checks and the tree's HTTP names already show
/// the revision; the files in the tree's folder follow. `If-Match` guards against a concurrent promotion,
/// `If-None-Match: *` against any earlier promotion. If the revision is already assigned and no given field differs,
/// nothing changes and the response has the same epoch.
#[utoipa::path(tag = "promotion", operation_id = "promote", request_body = NewPromotion,
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), PromoteQuery, DryRun),
    responses((status = 200, description = "The assignment", body = AssignmentBody),
        (status = 202, description = "The promotion waits for approval", body = PendingAnswer), ChangeRefusals)
)]
#[put("/images/{image}/channels/{channel}")]
pub async fn promote(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    query: Query<PromoteQuery>,
    new: JsonBody<NewPromotion, LARGE>,
) -> Result<Answer, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (order, actor) = (new.read()?.order(&query), caller.actor());
    let promoted = depot.catalog.promote(attempt.by(&actor), &image, &channel, order).await?;
    Answer::new(&depot, (&image, &channel), promoted, attempt.execution).await
}

/// Roll back
///
/// Returns to the newest earlier assignment whose revision is ready and that was neither rolled back nor withdrawn. The
/// rollback gets a new epoch and reaches all clients at once, unless it has a rollout of its own. Answers 409 if there is no such assignment.
#[utoipa::path(tag = "promotion", operation_id = "roll_back", request_body = Option<NewRollback>,
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), DryRun),
    responses((status = 200, description = "The new assignment", body = AssignmentBody), ChangeRefusals)
)]
#[post("/images/{image}/channels/{channel}/rollback")]
pub async fn roll_back(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    new: JsonBody<NewRollback>,
) -> Result<Answer, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (order, actor) = (new.read_or_default()?.order(), caller.actor());
    let rolled = depot.catalog.roll_back(attempt.by(&actor), &image, &channel, order).await?;
    let rolled = Promoted::from(rolled);
    Answer::new(&depot, (&image, &channel), rolled, attempt.execution).await
}

/// Withdraw an image
///
/// Takes the image out of the channel, so that nothing is assigned there any more. The withdrawal gets a new epoch, and
/// the withdrawn assignment counts as rolled back. Clients keep the revision that they have: update checks answer
/// `hold` with the reason `withdrawn`. The `.index` file leaves the tree at once, the image's other files in the
/// channel's folder after `tree.grace`. The response is the new entry of the history. It is sent when every server
/// applies the withdrawal, or after one second. `If-Match` works as with a promotion.
#[utoipa::path(tag = "promotion", operation_id = "withdraw",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), WithdrawalQuery, DryRun),
    responses((status = 200, description = "The withdrawal", body = PromotionBody), ChangeRefusals)
)]
#[delete("/images/{image}/channels/{channel}")]
pub async fn withdraw(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    query: Query<WithdrawalQuery>,
) -> Result<web::Json<PromotionBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (actor, departure) = (caller.actor(), query.departure());
    let context = attempt.by(&actor);
    let execution = context.execution;
    let withdrawn = depot.catalog.withdraw(context, &image, &channel, departure).await?;
    let reach = depot.catalog.reach(execution).await;
    Ok(web::Json(PromotionBody::from((withdrawn, channel, 0)).with_reach(reach)))
}
