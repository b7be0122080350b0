//! Notes an answered check in the record of clients, in memory.

use actix_web::HttpRequest;
use actix_web::http::header;
use uuid::Uuid;

use super::question::{Question, Subject};
use crate::api::conventions::caller::Visitor;
use crate::api::conventions::client_address;
use crate::api::depot::Depot;
use crate::catalog::fleet::recorder::Check;
use crate::catalog::update_check::{Action, Decision, Reason};
use crate::model::ClientGroup;

/// The part of an answer that is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub image: Uuid,
    pub channel: Uuid,
    /// The revision that the client has; 0 for none.
    pub revision: i64,
    pub action: Action,
    pub reason: Reason,
    /// The promotion whose revision is offered.
    pub promotion: Option<Uuid>,
}

impl Answered {
    pub(super) fn new(subject: &Subject<'_>, revision: i64, decision: &Decision<'_>) -> Self {
        let offered = decision.target.map(|target| target.number);
        let latest = decision.latest.filter(|latest| Some(latest.revision) == offered);
        Self {
            image: subject.image.image.id,
            channel: subject.channel.id,
            revision,
            action: decision.action,
            reason: decision.reason,
            promotion: latest.map(|promotion| promotion.id),
        }
    }
}

/// Notes the check, if the client has said who it is.
pub(super) fn note(
    depot: &Depot,
    request: &HttpRequest,
    visitor: &Visitor,
    question: &Question,
    answered: Option<Answered>,
) {
    let (Some(client), Some(answered)) = (&question.client, answered) else { return };
    let group = question.group.as_ref().map(ClientGroup::key);
    let agent = request.headers().get(header::USER_AGENT);
    depot.catalog.fleet().note(Check {
        client,
        image: answered.image,
        channel: answered.channel,
        revision: answered.revision,
        group: group.as_deref(),
        action: answered.action,
        reason: answered.reason,
        promotion: answered.promotion,
        address: client_address::of(request),
        agent: &agent.map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default(),
        authenticated: visitor.is_known(),
        at: depot.catalog.clock().now().timestamp(),
    });
}
