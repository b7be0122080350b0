//! `/images/{image}/channels/{channel}/approve`: the word of other people for a promotion that waits for it.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, post};

use super::assignments::{Answer, AssignmentBody, PendingAnswer};
use super::conventions::caller::Caller;
use super::conventions::dry_run::DryRun;
use super::conventions::problem::{ChangeRefusals, Problem};
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::Promote;
use crate::model::{ChannelName, ImageName};

/// Approve a promotion
///
/// Agrees to the promotion, or to the change of a rollout, that waits in the channel. It is put in force when as many
/// people have agreed as the channel asks for. The person who asked for it cannot approve it; a token counts as the
/// person who made it. Answers 404 `nothing_pending` if nothing waits.
#[utoipa::path(tag = "promotion", operation_id = "approve",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), DryRun),
    responses((status = 200, description = "It is in force", body = AssignmentBody),
        (status = 202, description = "It waits for more people", body = PendingAnswer), ChangeRefusals)
)]
#[post("/images/{image}/channels/{channel}/approve")]
pub async fn approve(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    attempt: TriableChange,
) -> Result<Answer, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let actor = caller.actor();
    let approved = depot.catalog.approve(attempt.by(&actor), &image, &channel).await?;
    Answer::new(&depot, (&image, &channel), approved, attempt.execution).await
}

/// Take an approval back
#[utoipa::path(tag = "promotion", operation_id = "take_approval_back",
    description = "Takes one's word for the promotion that waits in the channel back.",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name")),
    responses((status = 204, description = "The approval is taken back"), ChangeRefusals)
)]
#[delete("/images/{image}/channels/{channel}/approve")]
pub async fn take_back(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
) -> Result<HttpResponse, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    depot.catalog.take_approval_back(&caller.actor(), &image, &channel).await?;
    Ok(HttpResponse::NoContent().finish())
}
