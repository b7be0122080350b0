//! `/images/{image}/channels`: the revisions that an image offers in channels. The history is in [`super::promotions`].

use actix_web::web::{Data, Path, Query};
use actix_web::{delete, get, post, put, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::conditional::{Resource, Unchanged};
use super::conventions::dry_run::DryRun;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use super::promotions::PromotionBody;
use crate::access::permission::{Promote, Read};
use crate::catalog::promotion::{NamedTerms, PromotionOrder, Repeat, RollbackOrder};
use crate::catalog::{Error, Execution};
use crate::model::{Assignment, ChannelName, ClientTerms, Departure, ImageName, Rollout, Terms};

/// The progress of publishing an assignment in the tree.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationProgress {
    /// Some files of the revision are not in the channel's folder yet.
    Pending,
    /// All files of the revision are in the channel's folder.
    Published,
}

/// The revision that an image offers in a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assignment, example = json!(Self::sample()))]
pub struct AssignmentBody {
    image: String,
    channel: String,
    revision: i64,
    /// The epoch, which is higher with every promotion of the image to the channel.
    epoch: i64,
    /// The promotion that created the assignment; null for a dry run.
    #[schema(required = true)]
    promotion: Option<Uuid>,
    /// True for a dry run, which changed nothing; otherwise absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
    #[serde(flatten)]
    #[schema(inline)]
    terms: Terms,
    publication: PublicationProgress,
    since: DateTime<Utc>,
    by: String,
}

impl AssignmentBody {
    fn sample() -> Self {
        Self {
            image: sample::IMAGE.to_owned(),
            channel: "production".to_owned(),
            revision: 12,
            epoch: 17,
            promotion: Some(sample::ID),
            dry_run: false,
            terms: Terms { note: "January patches".to_owned(), ..Terms::default() },
            publication: PublicationProgress::Published,
            since: sample::time("2026-01-05T10:00:00Z"),
            by: sample::ADMIN.to_owned(),
        }
    }
}

impl AssignmentBody {
    fn new(image: &ImageName, channel: &ChannelName, assignment: Assignment) -> Self {
        let promotion = assignment.promotion;
        Self {
            image: image.to_string(),
            channel: channel.to_string(),
            revision: promotion.revision,
            epoch: promotion.epoch,
            promotion: Some(promotion.id),
            dry_run: false,
            terms: promotion.terms,
            publication: if assignment.published {
                PublicationProgress::Published
            } else {
                PublicationProgress::Pending
            },
            since: promotion.created_at,
            by: promotion.created_by,
        }
    }
}

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
    fn order(self, query: &PromoteQuery) -> Result<PromotionOrder, Problem> {
        let new = self;
        let named = NamedTerms {
            rollout: new.rollout.clone(),
            mandatory: new.mandatory,
            deadline: new.deadline,
            note: new.note.clone(),
        };
        let rollout = new.rollout.unwrap_or_default();
        if rollout != Rollout::default() {
            return Err(Error::invalid(
                "rollout.percent",
                "must be 100: promotions always reach all clients at once for now",
            )
            .into());
        }
        let (mandatory, deadline) = (new.mandatory.unwrap_or_default(), new.deadline);
        Ok(PromotionOrder {
            revision: new.revision,
            terms: Terms {
                rollout,
                for_clients: ClientTerms { mandatory, deadline },
                note: new.note.unwrap_or_default(),
            },
            repeat: if query.again { Repeat::IsOne } else { Repeat::IsNone(named) },
        })
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
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
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
    let assignments = depot.catalog.assignments(&image).await?;
    page.page_of(
        assignments,
        |(channel, _)| channel.key(),
        |(channel, assignment)| AssignmentBody::new(&image, &channel, assignment),
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
    let assignment = depot.catalog.assignment(&image, &channel).await?;
    Ok(Resource::assignment(&image, &channel, assignment))
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
    responses((status = 200, description = "The assignment", body = AssignmentBody), ChangeRefusals)
)]
#[put("/images/{image}/channels/{channel}")]
pub async fn promote(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    query: Query<PromoteQuery>,
    new: JsonBody<NewPromotion>,
) -> Result<Resource<AssignmentBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (order, actor) = (new.read()?.order(&query)?, caller.actor());
    let promoted = depot.catalog.promote(attempt.by(&actor), &image, &channel, order).await?;
    Ok(Resource::attempted(&image, &channel, promoted, attempt.execution))
}

/// Roll back
///
/// Returns to the newest earlier assignment whose revision is ready and that was neither rolled back nor withdrawn. The
/// rollback gets a new epoch and reaches all clients. Answers 409 if there is no such assignment.
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
) -> Result<Resource<AssignmentBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let NewRollback { as_new_revision, note } = new.read_or_default()?;
    let (order, actor) =
        (RollbackOrder { as_new_revision, note: note.unwrap_or_default() }, caller.actor());
    let rolled = depot.catalog.roll_back(attempt.by(&actor), &image, &channel, order).await?;
    Ok(Resource::attempted(&image, &channel, rolled, attempt.execution))
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

impl Resource<AssignmentBody> {
    fn assignment(image: &ImageName, channel: &ChannelName, assignment: Assignment) -> Self {
        Self::tagged(assignment.promotion.tag(), AssignmentBody::new(image, channel, assignment))
    }

    /// Builds the response to an attempt. A dry run has neither an id nor a tag, because there is nothing to ask for
    /// later.
    fn attempted(
        image: &ImageName,
        channel: &ChannelName,
        assignment: Assignment,
        execution: Execution,
    ) -> Self {
        if execution == Execution::Real {
            return Self::assignment(image, channel, assignment);
        }
        let body = AssignmentBody::new(image, channel, assignment);
        Self::untagged(AssignmentBody { promotion: None, dry_run: true, ..body })
    }
}
