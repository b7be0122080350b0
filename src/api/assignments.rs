//! `/images/{image}/channels`: what is offered where. The history is in [`super::promotions`].

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

/// Whether the tree has followed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationProgress {
    /// Files of the revision are still to appear in the channel's folder.
    Pending,
    /// All of them stand there.
    Published,
}

/// What an image offers in a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assignment, example = json!(Self::sample()))]
pub struct AssignmentBody {
    image: String,
    channel: String,
    revision: i64,
    /// Higher with every promotion of the image to the channel.
    epoch: i64,
    /// The promotion that gave it; null where it was only tried.
    #[schema(required = true)]
    promotion: Option<Uuid>,
    /// There where nothing was changed.
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

/// A promotion.
//
// The terms are not flattened into it: here all of them may be left out, and a refusal names the place in the text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PromotionToCreate, example = json!({"revision": 12, "note": "January patches"}))]
pub struct NewPromotion {
    #[schema(minimum = 1)]
    revision: i64,
    #[serde(default)]
    rollout: Option<Rollout>,
    /// Clients may not put it off.
    #[serde(default)]
    mandatory: Option<bool>,
    /// When it becomes mandatory.
    #[serde(default)]
    deadline: Option<DateTime<Utc>>,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

/// Whether what is assigned already is promoted again.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PromoteQuery {
    /// A new epoch also where the revision is assigned already and no field differs.
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
                "promotions reach all clients at once for now: 100",
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

/// How to roll back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollbackToCreate, example = json!({"as_new_revision": false, "note": "printing is broken"}))]
pub struct NewRollback {
    /// Reissue the earlier bytes under the next number, for clients that only go up.
    #[serde(default)]
    as_new_revision: bool,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

/// How the image is withdrawn.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WithdrawalQuery {
    /// Take all of its files and their HTTP names away at once, without `tree.grace`.
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
/// One for each channel that the image was promoted to, and not withdrawn from since.
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
/// What the image offers in the channel, and whether the tree has followed. 404 `nothing_assigned`
/// before the first promotion, and after a withdrawal.
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
/// Update checks and the tree's HTTP names show it when this answers; the files in the tree's folder
/// follow. `If-Match` guards against another promoter, `If-None-Match: *` against any promotion before. What is assigned
/// already, with no field that differs, stays as it is: the answer has the same epoch.
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
/// To the newest earlier assignment that is ready and was neither rolled back nor withdrawn; a new epoch, to
/// all clients. 409 where there is none.
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
/// Takes it out of the channel: a new epoch, and from then on nothing is assigned. Clients keep what they have (`hold`,
/// `withdrawn`). What was withdrawn counts as rolled back. The `.index` leaves the tree at once, the rest of the image's files
/// in the channel's folder after `tree.grace`. Answers with the entry of the history when every server answers by it, or after
/// a second; `If-Match` guards as with a promotion.
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

    /// What was only tried has neither an id nor a tag that anybody could ask for.
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
