//! The answer to a promotion or to a change of its rollout: it is in force, or it waits for other people.

use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{AssignmentBody, PendingBody};
use crate::api::conventions::conditional::Resource;
use crate::api::conventions::problem::Problem;
use crate::api::depot::Depot;
use crate::catalog::Execution;
use crate::catalog::promotion::Promoted;
use crate::model::{ChannelName, ImageName};

/// The answer to a promotion that waits for approval. What was in force before stays so.
#[derive(Debug, Serialize, ToSchema)]
pub struct PendingAnswer {
    image: String,
    channel: String,
    pending: PendingBody,
}

/// The answer to a change that may wait for approval.
pub enum Answer {
    /// 200: it is in force.
    InForce(Box<Resource<AssignmentBody>>),
    /// 202: it waits.
    Pending(Box<PendingAnswer>),
}

impl Answer {
    /// Builds the response to a promotion or to a change of one. A dry run has no tag, because there is nothing to ask for
    /// later; it has a forecast.
    pub(in crate::api) async fn new(
        depot: &Depot,
        place: (&ImageName, &ChannelName),
        promoted: Promoted,
        execution: Execution,
    ) -> Result<Self, Problem> {
        let assignment = match promoted {
            Promoted::InForce(assignment) => *assignment,
            Promoted::Pending(pending) => {
                let (image, channel) = (place.0.to_string(), place.1.to_string());
                let pending = (*pending).into();
                return Ok(Self::Pending(Box::new(PendingAnswer { image, channel, pending })));
            }
        };
        let promotion = assignment.promotion.clone();
        let body = AssignmentBody::of_change(place, assignment, depot.now());
        Ok(Self::InForce(Box::new(match execution {
            Execution::Real => Resource::tagged(promotion.tag(), body),
            Execution::DryRun => {
                let forecast = depot.catalog.rollout_forecast(&promotion).await?;
                Resource::untagged(body.of_dry_run(forecast))
            }
        })))
    }

    /// Builds the response to a change of the promotion in force, which says how many servers apply it already.
    pub(in crate::api) async fn of_change(
        depot: &Depot,
        place: (&ImageName, &ChannelName),
        promoted: Promoted,
        execution: Execution,
    ) -> Result<Self, Problem> {
        match promoted {
            Promoted::InForce(assignment) if execution == Execution::Real => {
                let (tag, now) = (assignment.promotion.tag(), depot.now());
                let reach = depot.catalog.reach(execution).await;
                let body = AssignmentBody::of_change(place, *assignment, now).with_reach(reach);
                Ok(Self::InForce(Box::new(Resource::tagged(tag, body))))
            }
            promoted => Self::new(depot, place, promoted, execution).await,
        }
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<BoxBody> {
        match self {
            Self::InForce(resource) => resource.respond_to(request),
            Self::Pending(pending) => HttpResponse::Accepted().json(pending),
        }
    }
}
