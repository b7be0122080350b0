//! `/images/{image}/promotions`: the history of an image's assignments to channels.

use actix_web::get;
use actix_web::web::{Data, Path, Query};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::Read;
use crate::model::replica::Reach;
use crate::model::{ChannelName, ImageName, Promotion, PromotionKind, Terms};

/// One entry of an image's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Promotion, example = json!(Self::sample()))]
pub struct PromotionBody {
    id: Uuid,
    channel: String,
    /// Null if the image was withdrawn.
    #[schema(required = true)]
    revision: Option<i64>,
    epoch: i64,
    kind: PromotionKind,
    #[serde(flatten)]
    #[schema(inline)]
    terms: Terms,
    /// True if a later rollback or withdrawal undid this promotion.
    rolled_back: bool,
    at: DateTime<Utc>,
    by: String,
    /// The number of servers that apply it already; only in the response to a withdrawal.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Reach>,
}

impl PromotionBody {
    fn sample() -> Self {
        Self {
            id: sample::ID,
            channel: "production".to_owned(),
            revision: Some(12),
            epoch: 17,
            kind: PromotionKind::Promote,
            terms: Terms { note: "January patches".to_owned(), ..Terms::default() },
            rolled_back: false,
            at: sample::time("2026-01-05T10:00:00Z"),
            by: sample::ADMIN.to_owned(),
            replicas: None,
        }
    }
}

impl From<(Promotion, ChannelName, i64)> for PromotionBody {
    fn from((promotion, channel, _): (Promotion, ChannelName, i64)) -> Self {
        Self {
            id: promotion.id,
            channel: channel.to_string(),
            revision: promotion.offered_revision(),
            epoch: promotion.epoch,
            kind: promotion.kind,
            // A withdrawal is marked as rolled back, so that rollbacks skip it, although nothing undid it.
            rolled_back: promotion.rolled_back && promotion.kind != PromotionKind::Withdraw,
            terms: promotion.terms,
            at: promotion.created_at,
            by: promotion.created_by,
            replicas: None,
        }
    }
}

impl PromotionBody {
    #[must_use]
    pub fn with_reach(self, replicas: Option<Reach>) -> Self {
        Self { replicas, ..self }
    }
}

/// List an image's promotions
///
/// Returns the history in all channels, newest first.
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
    let place = |(promotion, _, number): &(Promotion, ChannelName, i64)| {
        (*number, promotion.created_at, promotion.id)
    };
    page.page(promotions, place, Into::into)
}
