//! `/images/{image}/revisions/{revision}/delta`: the forecast of what a client will fetch.

use actix_web::get;
use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::caller::Caller;
use super::conventions::problem::{InvalidQuery, NotReady, Problem, ReadRefusals};
use super::depot::Depot;
use crate::access::permission::Read;
use crate::catalog::deltas::{FileForecast, Forecast, Via};
use crate::model::{FileRole, ImageName};

/// The revision that the client has.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeltaQuery {
    /// The number of the revision that the client has.
    #[param(minimum = 1)]
    from: i64,
}

/// The way in which a file is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FetchedVia {
    /// A delta from the client's file.
    Delta,
    /// The chunks that the client's file lacks, as ranges of the file.
    Chunks,
    /// The whole file.
    Whole,
}

impl From<Via> for FetchedVia {
    fn from(via: Via) -> Self {
        match via {
            Via::Delta => Self::Delta,
            Via::Chunks => Self::Chunks,
            Via::Whole => Self::Whole,
        }
    }
}

/// The forecast of what a client fetches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeltaForecast, example = json!(Self::sample()))]
pub struct ForecastBody {
    /// The way of the largest file.
    via: FetchedVia,
    bytes_total: u64,
    bytes_to_fetch: u64,
    /// The number of requests for bytes.
    ranges: u64,
    files: Vec<FileForecastBody>,
}

/// The forecast for one file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileForecast)]
pub struct FileForecastBody {
    role: FileRole,
    via: FetchedVia,
    bytes_total: u64,
    bytes_to_fetch: u64,
    ranges: u64,
}

impl From<&FileForecast> for FileForecastBody {
    fn from(file: &FileForecast) -> Self {
        Self {
            role: file.role,
            via: file.via.into(),
            bytes_total: file.bytes_total,
            bytes_to_fetch: file.bytes_to_fetch,
            ranges: file.ranges,
        }
    }
}

impl ForecastBody {
    fn sample() -> Self {
        Self::from(&Forecast {
            files: vec![FileForecast {
                role: FileRole::Ckm,
                via: Via::Delta,
                bytes_total: 5_368_709_120,
                bytes_to_fetch: 98_304_000,
                ranges: 1,
            }],
        })
    }
}

impl From<&Forecast> for ForecastBody {
    fn from(Forecast { files }: &Forecast) -> Self {
        let sum = |of: fn(&FileForecast) -> u64| files.iter().map(of).sum();
        let largest = files.iter().max_by_key(|file| file.bytes_total);
        Self {
            via: largest.map_or(FetchedVia::Whole, |file| file.via.into()),
            bytes_total: sum(|file| file.bytes_total),
            bytes_to_fetch: sum(|file| file.bytes_to_fetch),
            ranges: sum(|file| file.ranges),
            files: files.iter().map(Into::into).collect(),
        }
    }
}

/// Forecast a transfer
///
/// Returns what a client fetches that has the revision `from` and is to have this one. Answers 503 `chunks_pending` with
/// `Retry-After` until the chunk lists of both are made.
#[utoipa::path(tag = "revisions", operation_id = "forecast_transfer",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), DeltaQuery),
    responses((status = 200, description = "The forecast", body = ForecastBody), InvalidQuery, NotReady, ReadRefusals)
)]
#[get("/images/{image}/revisions/{revision}/delta")]
pub async fn forecast(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    query: Query<DeltaQuery>,
) -> Result<Json<ForecastBody>, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    let forecasted = depot.catalog.forecast_transfer(&name, number, query.from).await?;
    Ok(Json(ForecastBody::from(&forecasted)))
}
