//! `/gc`: retention, and the removal of bytes that nothing refers to.

use actix_web::web::{Data, Query};
use actix_web::{post, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::caller::Caller;
use super::conventions::dry_run::execution;
use super::conventions::problem::{ChangeRefusals, Problem};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::Administer;
use crate::catalog::Execution;
use crate::upkeep::garbage::{Amount, Collected, CollectionOrder};

/// The query parameters of a garbage collection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GarbageQuery {
    /// Check everything and answer as if the change were made, but change nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
    /// Remove bytes now that would otherwise stay for `store.safety_age`.
    #[serde(default)]
    #[param(default = false)]
    immediately: bool,
    /// Continue even if the catalog does not know most of the store's content.
    #[serde(default)]
    #[param(default = false)]
    accept_orphans: bool,
}

/// A part of the store's bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Amount)]
pub struct AmountBody {
    blobs: u64,
    bytes: u64,
}

/// A revision that was deleted because of its image's `keep_revisions`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExpiredRevision)]
pub struct ExpiredBody {
    image: String,
    revision: i64,
    /// The bytes of its files, which other revisions may share.
    bytes: u64,
}

/// The result of a garbage collection, or of a dry run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Collected, example = json!(Self::sample()))]
pub struct CollectedBody {
    dry_run: bool,
    expired: Vec<ExpiredBody>,
    /// Blobs in the store that the catalog did not know. They are given up now.
    orphans: AmountBody,
    /// Blobs whose bytes were removed.
    removed: AmountBody,
    /// Blobs that are given up and removed later: after `store.safety_age`, once the tree does not need them any more.
    waiting: AmountBody,
}

impl CollectedBody {
    fn sample() -> Self {
        let amount = |blobs, bytes| AmountBody { blobs, bytes };
        let expired =
            ExpiredBody { image: sample::IMAGE.to_owned(), revision: 3, bytes: 21_474_836_480 };
        Self {
            dry_run: true,
            expired: vec![expired],
            orphans: amount(0, 0),
            removed: amount(1, 4096),
            waiting: amount(2, 21_474_836_480),
        }
    }
}

impl From<Amount> for AmountBody {
    fn from(Amount { blobs, bytes }: Amount) -> Self {
        Self { blobs, bytes }
    }
}

impl CollectedBody {
    pub fn new(collected: Collected, execution: Execution) -> Self {
        let expired = collected.expired.into_iter().map(|surplus| ExpiredBody {
            image: surplus.image.to_string(),
            revision: surplus.number,
            bytes: surplus.bytes,
        });
        Self {
            dry_run: execution.is_dry_run(),
            expired: expired.collect(),
            orphans: collected.orphans.into(),
            removed: collected.removed.into(),
            waiting: collected.waiting.into(),
        }
    }
}

/// Collect garbage
///
/// Deletes the revisions beyond their images' `keep_revisions`, and removes bytes that were given up at least
/// `store.safety_age` ago. The server does the same by itself every few hours. With `dry_run=true` it reports exactly
/// what it would do. Answers 409 and removes nothing if the references look incomplete.
#[utoipa::path(tag = "maintenance", operation_id = "collect_garbage", params(GarbageQuery), responses(
    (status = 200, description = "The result of the collection", body = CollectedBody), ChangeRefusals
))]
#[post("/gc")]
pub async fn collect(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    query: Query<GarbageQuery>,
) -> Result<web::Json<CollectedBody>, Problem> {
    caller.sees_all_images()?;
    let GarbageQuery { dry_run, immediately, accept_orphans } = query.into_inner();
    let order = CollectionOrder { execution: execution(dry_run), immediately, accept_orphans };
    let collected = depot.catalog.collect(order).await?;
    Ok(web::Json(CollectedBody::new(collected, order.execution)))
}
