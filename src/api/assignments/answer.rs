//! The answer to a promotion or to a change of its rollout: it is in force, or it waits for other people.

use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse, Responder};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{AssignmentBody, PendingBody};
use crate::api::conventions::conditional::Resource;
use crate::catalog::Execution;
use crate::catalog::promotion::Promoted;
use crate::model::replica::Reach;
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
    /// later.
    pub(in crate::api) fn new(
        place: (&ImageName, &ChannelName),
        promoted: Promoted,
        (replicas, execution): (Option<Reach>, Execution),
        now: DateTime<Utc>,
    ) -> Self {
        let assignment = match promoted {
            Promoted::InForce(assignment) => assignment,
            Promoted::Pending(pending) => {
                let (image, channel) = (place.0.to_string(), place.1.to_string());
                let pending = (*pending).into();
                return Self::Pending(Box::new(PendingAnswer { image, channel, pending }));
            }
        };
        let tag = assignment.promotion.tag();
        let body = AssignmentBody::of_change(place, assignment, now);
        Self::InForce(Box::new(match execution {
            Execution::Real => Resource::tagged(tag, body.with_reach(replicas)),
            Execution::DryRun => Resource::untagged(body.of_dry_run()),
        }))
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
