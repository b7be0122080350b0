//! `/images/{image}/channels` and `/images/{image}/promotions`: what is offered where, and since when.

use actix_web::web::{Data, Path, Query};
use actix_web::{get, post, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::conditional::Resource;
use super::conventions::dry_run::DryRun;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::{Promote, Read};
use crate::catalog::promotion::{PromotionOrder, RollbackOrder};
use crate::catalog::{Error, Execution};
use crate::model::{
    Assignment, ChannelName, ClientTerms, ImageName, Promotion, PromotionKind, Rollout, Terms,
    metric,
};

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
    /// The promotion that gave it.
    promotion: Uuid,
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
            promotion: sample::ID,
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
            promotion: promotion.id,
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
#[schema(example = json!({"revision": 12, "note": "January patches"}))]
pub struct NewPromotion {
    revision: i64,
    #[serde(default)]
    rollout: Option<Rollout>,
    /// Clients may not put it off.
    #[serde(default)]
    mandatory: bool,
    /// When it becomes mandatory.
    #[serde(default)]
    deadline: Option<DateTime<Utc>>,
    #[serde(default)]
    note: Option<String>,
}

impl TryFrom<NewPromotion> for PromotionOrder {
    type Error = Problem;

    fn try_from(new: NewPromotion) -> Result<Self, Problem> {
        let rollout = new.rollout.unwrap_or_default();
        if rollout != Rollout::default() {
            return Err(Error::invalid(
                "rollout.percent",
                "promotions reach all clients at once for now: 100",
            )
            .into());
        }
        Ok(Self {
            revision: new.revision,
            terms: Terms {
                rollout,
                for_clients: ClientTerms { mandatory: new.mandatory, deadline: new.deadline },
                note: new.note.unwrap_or_default(),
            },
        })
    }
}

/// How to roll back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"as_new_revision": false, "note": "printing is broken"}))]
pub struct NewRollback {
    /// Reissue the earlier bytes under the next number, for clients that only go up.
    #[serde(default)]
    as_new_revision: bool,
    #[serde(default)]
    note: Option<String>,
}

/// One entry of an image's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Promotion, example = json!(Self::sample()))]
pub struct PromotionBody {
    id: Uuid,
    channel: String,
    revision: i64,
    epoch: i64,
    kind: PromotionKind,
    #[serde(flatten)]
    #[schema(inline)]
    terms: Terms,
    /// A later rollback turned away from it.
    rolled_back: bool,
    at: DateTime<Utc>,
    by: String,
}

impl PromotionBody {
    fn sample() -> Self {
        Self {
            id: sample::ID,
            channel: "production".to_owned(),
            revision: 12,
            epoch: 17,
            kind: PromotionKind::Promote,
            terms: Terms { note: "January patches".to_owned(), ..Terms::default() },
            rolled_back: false,
            at: sample::time("2026-01-05T10:00:00Z"),
            by: sample::ADMIN.to_owned(),
        }
    }
}

impl From<(Promotion, ChannelName)> for PromotionBody {
    fn from((promotion, channel): (Promotion, ChannelName)) -> Self {
        Self {
            id: promotion.id,
            channel: channel.to_string(),
            revision: promotion.revision,
            epoch: promotion.epoch,
            kind: promotion.kind,
            terms: promotion.terms,
            rolled_back: promotion.rolled_back,
            at: promotion.created_at,
            by: promotion.created_by,
        }
    }
}

/// List an image's assignments
///
/// One for each channel that the image was promoted to.
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
/// before the first promotion.
#[utoipa::path(tag = "promotion", operation_id = "get_assignment",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, description = "The assignment", body = AssignmentBody), ReadRefusals)
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
/// follow. `If-Match` guards against another promoter, `If-None-Match: *` against any promotion before.
#[utoipa::path(tag = "promotion", operation_id = "promote", request_body = NewPromotion,
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), DryRun),
    responses((status = 200, description = "The new assignment", body = AssignmentBody), ChangeRefusals)
)]
#[put("/images/{image}/channels/{channel}")]
pub async fn promote(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
    new: JsonBody<NewPromotion>,
) -> Result<Resource<AssignmentBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let (order, actor) = (new.read()?.try_into()?, caller.actor());
    let promoted = depot.catalog.promote(attempt.by(&actor), &image, &channel, order).await?;
    count_promotion(attempt.execution);
    Ok(Resource::assignment(&image, &channel, promoted))
}

/// Roll back
///
/// To the newest earlier assignment that is ready and was not itself rolled back; a new epoch, to all
/// clients. 409 where there is none.
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
    count_promotion(attempt.execution);
    Ok(Resource::assignment(&image, &channel, rolled))
}

/// List an image's promotions
///
/// The history in all channels, newest first.
#[utoipa::path(tag = "promotion", operation_id = "list_promotions",
    params(("image" = String, Path, description = "The image's name"), PageQuery),
    responses((status = 200, description = "A page of the history", body = Page<PromotionBody>), ReadRefusals)
)]
#[get("/images/{image}/promotions")]
pub async fn history(
    caller: Caller<Read>,
    depot: Data<Depot>,
    image: Path<ImageName>,
    page: Query<PageQuery>,
) -> Result<Page<PromotionBody>, Problem> {
    caller.may_know(&image)?;
    let promotions = depot.catalog.promotions(&image, page.position()?, page.fetch()?).await?;
    page.page(promotions, |(promotion, _)| (promotion.created_at, promotion.id), Into::into)
}

fn count_promotion(execution: Execution) {
    let count = u64::from(execution == Execution::Real);
    metric::PROMOTIONS.increment(count);
}

impl Resource<AssignmentBody> {
    fn assignment(image: &ImageName, channel: &ChannelName, assignment: Assignment) -> Self {
        Self::tagged(assignment.promotion.tag(), AssignmentBody::new(image, channel, assignment))
    }
}
