//! `/scrub`: the condition of the stored bytes, and requests to read them again.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::caller::Caller;
use super::conventions::problem::{ChangeRefusals, Code, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::{Administer, Read};
use crate::model::{Coverage, DamagedFile, FileRole, ImageName};
use crate::upkeep::scrub::ScrubStatus;

/// The query parameters that select the bytes to be read again.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScrubQuery {
    /// Read only the files of this image; all images if omitted.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    image: Option<ImageName>,
    /// Read only the files of this revision of the image.
    #[serde(default)]
    revision: Option<i64>,
}

/// The condition of the stored bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scrub, example = json!(Self::sample()))]
pub struct ScrubBody {
    /// The number of stored files. Files that share bytes count once.
    blobs: i64,
    bytes: i64,
    /// The number of these files that were read again, or arrived, within `scrub.within`.
    verified_blobs: i64,
    verified_bytes: i64,
    /// The share of `verified_bytes` in `bytes`, 0 to 1.
    coverage: f64,
    /// The setting `scrub.within`.
    within_seconds: u64,
    /// The time since which every file was read again or has arrived.
    #[schema(required = true)]
    oldest_verified_at: Option<DateTime<Utc>>,
    /// The number of files that wait to be read because someone asked for it.
    wanted: i64,
    damaged: Vec<DamagedBody>,
}

impl ScrubBody {
    fn sample() -> Self {
        Self {
            blobs: 240,
            bytes: 2_400_000_000_000,
            verified_blobs: 240,
            verified_bytes: 2_400_000_000_000,
            coverage: 1.0,
            within_seconds: 2_592_000,
            oldest_verified_at: Some(sample::time("2026-10-29T03:12:45Z")),
            wanted: 0,
            damaged: Vec::new(),
        }
    }
}

/// A file whose bytes are damaged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DamagedFile)]
pub struct DamagedBody {
    image: String,
    revision: i64,
    role: FileRole,
    size: u64,
    /// The digest of the bytes that repair the file.
    digest: String,
    found_at: DateTime<Utc>,
    /// A description of the damage, for people.
    what: String,
}

impl From<DamagedFile> for DamagedBody {
    fn from(file: DamagedFile) -> Self {
        Self {
            image: file.image.to_string(),
            revision: file.revision,
            role: file.role,
            size: file.size,
            digest: file.digest.to_string(),
            found_at: file.found_at,
            what: file.what,
        }
    }
}

/// Returns the share of the bytes that were read again in time, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share has no better number")]
pub fn share(coverage: &Coverage) -> f64 {
    match coverage.bytes {
        0 => 1.0,
        bytes => coverage.verified_bytes as f64 / bytes as f64,
    }
}

impl ScrubBody {
    pub fn new(status: ScrubStatus, within: std::time::Duration) -> Self {
        let ScrubStatus { coverage, damaged } = status;
        Self {
            blobs: coverage.blobs,
            bytes: coverage.bytes,
            verified_blobs: coverage.verified_blobs,
            verified_bytes: coverage.verified_bytes,
            coverage: share(&coverage),
            within_seconds: within.as_secs(),
            oldest_verified_at: coverage.oldest_verified_at,
            wanted: coverage.wanted,
            damaged: damaged.into_iter().map(Into::into).collect(),
        }
    }

    async fn of(depot: &Depot) -> Result<Self, Problem> {
        let status = depot.catalog.scrub_status().await?;
        Ok(Self::new(status, depot.catalog.rules().scrub.within))
    }
}

/// Show the condition of the stored bytes
///
/// Returns how many of the stored bytes were read again within `scrub.within`, as all of them should be, and the
/// damaged files. A damaged file is withheld from clients (its revision is `quarantined`) until the same bytes are
/// uploaded again.
#[utoipa::path(tag = "maintenance", operation_id = "scrub_status", responses(
    (status = 200, description = "The verified share, and the damaged files", body = ScrubBody), ReadRefusals
))]
#[get("/scrub")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
) -> Result<web::Json<ScrubBody>, Problem> {
    caller.sees_all_images()?;
    Ok(web::Json(ScrubBody::of(&depot).await?))
}

/// Read stored bytes again
///
/// Requests that all stored bytes, or those of one image or revision, are read ahead of the regular schedule. Answers
/// at once; `wanted` in `GET /scrub` is the number of files that are left.
#[utoipa::path(tag = "maintenance", operation_id = "request_scrub", params(ScrubQuery), responses(
    (status = 202, description = "The bytes will be read", body = ScrubBody), ChangeRefusals
))]
#[post("/scrub")]
pub async fn request(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    query: Query<ScrubQuery>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    let ScrubQuery { image, revision } = query.into_inner();
    if revision.is_some() && image.is_none() {
        let detail = "the parameter revision needs the parameter image";
        return Err(Problem::new(Code::BadQuery, detail));
    }
    depot.catalog.request_scrub(&caller.actor(), image.as_ref(), revision).await?;
    Ok(HttpResponse::Accepted().json(ScrubBody::of(&depot).await?))
}
