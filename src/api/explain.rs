//! `/update-check/explain`: the answer to a client, with every rule that was weighed.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::caller::Caller;
use super::conventions::problem::{InvalidQuery, Problem, ReadRefusals};
use super::depot::Depot;
use super::update_check::{Question, UpdateAnswer};
use crate::access::permission::Read;
use crate::catalog::update_check::explain::{WeighedRule, explain};
use crate::model::rollout::{Bucket, Share};
use crate::model::{ClientGroup, ClientId};

/// The question about a client at a moment.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// The image's name.
    image: String,
    /// The channel's name; `production` if omitted.
    #[serde(default)]
    channel: Option<String>,
    /// The revision that the client has; 0 or omitted if it has none.
    #[serde(default)]
    #[param(minimum = 0)]
    revision: Option<i64>,
    /// The client's id.
    #[serde(default)]
    #[param(value_type = Option<String>, format = "client-id")]
    client: Option<ClientId>,
    /// The client's group.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    group: Option<ClientGroup>,
    /// The moment of the check; now if omitted.
    #[serde(default)]
    at: Option<DateTime<Utc>>,
}

/// An answer, and the rules that led to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub struct ExplanationBody<'a> {
    answer: UpdateAnswer<'a>,
    /// The client's place in the rollout: the lower, the sooner it is offered the revision.
    bucket: Bucket,
    /// The share of the client's group at that moment, in percent.
    percent_now: Share,
    /// The rules in their order, up to the one that decided.
    rules: Vec<WeighedRule>,
}

/// Explain an update check
///
/// Answers as an update check would, for any client and any moment, and lists every rule that was weighed. Nothing is
/// recorded. A moment other than now is judged by the rollout as it is today.
#[utoipa::path(tag = "updates", operation_id = "explain_update_check", params(ExplainQuery),
    responses((status = 200, description = "The explanation", body = ExplanationBody), InvalidQuery, ReadRefusals)
)]
#[get("/update-check/explain")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    query: Query<ExplainQuery>,
) -> Result<HttpResponse, Problem> {
    let ExplainQuery { image, channel, revision, client, group, at } = query.into_inner();
    let question = Question { image, channel, revision, client, group };
    let (now, snapshot) = (at.unwrap_or_else(|| depot.now()), depot.catalog.snapshot());
    let subject = question.subject(&snapshot, |_, image| caller.may_know(image))?;
    let explained = explain(subject.image, &subject.channel.name, question.asked(now)?);
    let wait = question.seconds_until_next(&depot, now);
    let answer = UpdateAnswer::new(&subject, &question, &explained.decision, &depot.links);
    let (bucket, percent_now) = (explained.bucket, explained.percent_now);
    let rules = explained.rules;
    let answer = answer.with_wait(wait);
    Ok(HttpResponse::Ok().json(ExplanationBody { answer, bucket, percent_now, rules }))
}
