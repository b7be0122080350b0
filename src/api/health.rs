//! `/livez`, `/readyz`, `/metrics`: for monitoring.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use utoipa::ToSchema;

use super::conventions::caller::Caller;
use super::conventions::problem::ReadRefusals;
use super::depot::Depot;
use crate::access::permission::Read;
use crate::catalog::Catalog;
use crate::model::metric;
use crate::telemetry::process;

/// The readiness of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct Readiness {
    /// True if update checks and downloads are answered.
    ready: bool,
    /// The parts that did not work a few seconds ago: `catalog` (the database accepts no changes or does not answer),
    /// `snapshot` (clients are answered from an old state), `clock` (it differs from the database's or the bucket's),
    /// `store`, `disk` (less space than `store.min_free`), `publication` (the tree is not kept up to date), `backup`
    /// (the newest is old).
    degraded: Vec<&'static str>,
}

impl Readiness {
    fn sample() -> Self {
        Self { ready: true, degraded: Vec::new() }
    }
}

/// Check that the process is alive
#[utoipa::path(tag = "health", operation_id = "livez",
    description = "Answers whenever the process serves requests. Open to everyone.", security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain"))
)]
#[get("/livez")]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Check that the server is ready
///
/// The server is ready as soon as it can answer update checks, even if the database is unreachable. Parts that do not
/// work are listed, as they were found within the last few seconds, because the response waits for nothing.
/// `GET /api/v1/status` returns more. Open to everyone.
#[utoipa::path(tag = "health", operation_id = "readyz", security(()), responses(
    (status = 200, description = "The server is ready", body = Readiness),
    (status = 503, description = "The server is not ready", body = Readiness)
))]
#[get("/readyz")]
pub async fn readyz(depot: Data<Depot>) -> HttpResponse {
    let ready = depot.catalog.is_ready();
    let parts = depot.catalog.parts();
    let degraded = parts.iter().filter(|state| state.trouble.is_some());
    let degraded = degraded.map(|state| state.part.as_str()).collect();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Readiness { ready, degraded })
}

/// Get metrics for Prometheus
///
/// Requires a role that may read the catalog, such as `reader`. `metrics.listen` serves the same metrics to everyone,
/// on an address of its own.
#[utoipa::path(tag = "health", operation_id = "metrics", responses(
    (status = 200, description = "The metrics, in Prometheus's text format", body = String, content_type = "text/plain"),
    ReadRefusals
))]
#[get("/metrics")]
pub async fn metrics(_caller: Caller<Read>, depot: Data<Depot>) -> HttpResponse {
    metrics_text(&depot.catalog, &depot.metrics)
}

/// Serves the metrics to any caller, for the listener of their own.
pub async fn open_metrics(catalog: Data<Catalog>, handle: Data<PrometheusHandle>) -> HttpResponse {
    metrics_text(&catalog, &handle)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn metrics_text(catalog: &Catalog, handle: &PrometheusHandle) -> HttpResponse {
    metric::SNAPSHOT_VERSION.set(catalog.snapshot().version() as f64);
    if let Ok(Some(free)) = catalog.blobs().free_bytes() {
        metric::STORE_FREE_BYTES.set(free as f64);
    }
    process::measure();
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(handle.render())
}
