//! `?dry_run=true`: check everything and answer as if, but change nothing.
//!
//! Operations that know it take [`DryRun`]. A middleware refuses it for all others: a caller who says
//! that nothing is to be changed must not find out otherwise.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError as _, web};
use serde::Deserialize;
use utoipa::IntoParams;

use super::documented_routes::{DRY_RUN, Routes};
use super::problem::{Code, Problem};
use crate::catalog::Execution;

/// Whether a change is only to be tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Check everything and answer as if, but change nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

impl DryRun {
    pub fn execution(&self) -> Execution {
        execution(self.dry_run)
    }
}

/// What `dry_run` says, for queries that have more than it.
pub fn execution(dry_run: bool) -> Execution {
    if dry_run { Execution::DryRun } else { Execution::Real }
}

/// Whoever writes `dry-run` wants nothing to be changed, and parameters that nobody knows are ignored.
fn has_misspelt_name(query: &str) -> bool {
    query.split('&').filter_map(|parameter| parameter.split('=').next()).any(|name| {
        let plain = name.replace(['-', '_'], "").to_ascii_lowercase();
        plain == "dryrun" && name != DRY_RUN
    })
}

pub async fn refuse_where_unknown(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let changes_something = !matches!(*request.method(), Method::GET | Method::HEAD);
    let asked = changes_something && request.query_string().contains(DRY_RUN);
    let unknown = asked
        && request
            .app_data::<web::Data<Routes>>()
            .is_some_and(|routes| !routes.can_be_tried(request.path(), request.method()));
    if changes_something && has_misspelt_name(request.query_string()) {
        let detail = "the parameter is called dry_run: nothing was done";
        let problem = Problem::new(Code::BadQuery, detail);
        return Ok(request.into_response(problem.error_response()));
    }
    if unknown {
        let detail = "this operation cannot be tried: leave dry_run out to have it done";
        let problem = Problem::new(Code::DryRunUnsupported, detail);
        return Ok(request.into_response(problem.error_response()));
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}
