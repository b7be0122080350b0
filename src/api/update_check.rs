//! `/update-check`: the instructions for client machines, from the snapshot alone.

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{LazyLock, OnceLock};

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use metrics::Counter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::body::{JsonBody, LARGE};
use super::conventions::caching;
use super::conventions::caller::Visitor;
use super::conventions::client_address;
use super::conventions::problem::{
    BodyRefusals, Code, InvalidQuery, Problem, ProblemDocument, ReadRefusals,
};
use super::conventions::sample;
use super::depot::{Depot, Links};
use crate::catalog::snapshot::{ImageOffer, OfferedPath, OfferedRevision, Standing};
use crate::catalog::update_check::load::Load;
use crate::catalog::update_check::slot::seconds_until_slot;
use crate::catalog::update_check::{self, Action, Decision, Reason};
use crate::catalog::{Error, Snapshot};
use crate::model::{
    Channel, ClientGroup, ClientId, ClientTerms, Digest, FileRole, ImageName, metric,
};

const CHECK_AFTER: HeaderName = HeaderName::from_static("check-after");

/// The number of bytes in which most answers with an offer fit, so that writing one allocates only once.
const USUAL_ANSWER: usize = 768;

/// The maximum number of questions in one request.
const MOST_QUESTIONS: usize = 100;

/// The number of seconds after which an empty list is asked again, if it is refused.
const SHORTEST_RETRY: u64 = 30;

/// The question of a client.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(example = json!({"image": "win7-office", "channel": "production", "revision": 11, "client": "PC-0815"}))]
pub struct Question {
    /// The image's name.
    #[schema(example = "win7-office")]
    pub(super) image: String,
    /// The channel's name; `production` if omitted.
    #[serde(default)]
    #[schema(example = "production")]
    pub(super) channel: Option<String>,
    /// The revision that the client has; 0 or omitted if it has none.
    #[serde(default)]
    #[param(minimum = 0)]
    #[schema(minimum = 0, example = 11)]
    pub(super) revision: Option<i64>,
    /// The client's id, which determines its slot and its place in rollouts.
    #[serde(default)]
    #[param(value_type = Option<String>, format = "client-id")]
    #[schema(value_type = Option<String>, format = "client-id", example = "PC-0815")]
    pub(super) client: Option<ClientId>,
    /// The group that the client puts itself into, such as a laboratory; rollouts may have steps for groups.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>, example = "lab-b")]
    pub(super) group: Option<ClientGroup>,
}

/// The answer to a client's question.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct UpdateAnswer<'a> {
    action: Action,
    reason: Reason,
    image: &'a str,
    channel: &'a str,
    /// The epoch of the assignment in force, or of the withdrawal; 0 before the first promotion.
    epoch: i64,
    /// The revision that the client has; 0 if it has none.
    current: i64,
    /// The revision that the client should have; null if there is nothing to do.
    #[schema(required = true)]
    target: Option<Target<'a>>,
    #[serde(flatten)]
    #[schema(inline)]
    terms: ClientTerms,
    /// The number of seconds after which the client should ask again, in its own slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = true)]
    check_after_seconds: Option<u64>,
}

impl UpdateAnswer<'_> {
    fn sample() -> Self {
        static DIGEST: LazyLock<Digest> = LazyLock::new(|| sample::digest(sample::CKM));
        let file = TargetFile {
            role: FileRole::Ckm,
            url: "/MEDVImages/win7-office_12.ckm".to_owned(),
            size: 5_368_709_120,
            digest: &DIGEST,
        };
        Self {
            action: Action::Update,
            reason: Reason::NewerRevision,
            image: sample::IMAGE,
            channel: "production",
            epoch: 17,
            current: 11,
            target: Some(Target { revision: 12, files: vec![file] }),
            terms: ClientTerms::default(),
            check_after_seconds: Some(871),
        }
    }
}

/// The revision to change to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Target<'a> {
    revision: i64,
    files: Vec<TargetFile<'a>>,
}

/// A file of the revision, and its address.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetFile<'a> {
    role: FileRole,
    /// A path on this server, or an absolute URL if `server.public_url` is set.
    url: String,
    size: u64,
    #[schema(value_type = String)]
    #[serde(serialize_with = "as_text")]
    digest: &'a Digest,
}

fn as_text<S: serde::Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

/// Check for an update
///
/// Returns what the client should do now, and when it should ask again. Channels that everyone may read need no
/// credentials. The `ETag` covers everything but the time to ask again, which `Check-After` contains, also on a 304.
#[utoipa::path(tag = "updates", operation_id = "check_for_update", params(Question), security((), ("basic" = []), ("bearer" = []), ("negotiate" = []), ("certificate" = [])),
    responses(
        (status = 200, description = "The answer", body = UpdateAnswer),
        (status = 304, description = "Unchanged; `Check-After` says when to ask again"),
        InvalidQuery, ReadRefusals
    )
)]
#[get("/update-check")]
pub async fn check(
    visitor: Visitor,
    depot: Data<Depot>,
    question: Query<Question>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let snapshot = depot.catalog.snapshot();
    let address = client_address::of(&request);
    let periods = periods(&depot, |periods| question.wait(&depot, address, periods))?;
    let answer = question.answer(&visitor, &snapshot, &depot)?;
    let wait = question.wait(&depot, address, periods);
    let (tag, body) = answer.with_tag(wait)?;
    let kept = if visitor.is_known() { caching::NO_CACHING } else { "private, no-cache" };
    let known = request.headers().get(header::IF_NONE_MATCH);
    let unchanged = known.is_some_and(|known| {
        known.as_bytes().windows(tag.len()).any(|candidate| candidate == tag.as_bytes())
    });
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, tag))
        .insert_header((CHECK_AFTER, HeaderValue::from(wait)))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static(kept)));
    if unchanged {
        return Ok(response.finish());
    }
    Ok(response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(body))
}

/// The answers to a list of questions, in the same order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answers<'a> {
    items: Vec<AnswerOrProblem<'a>>,
}

/// An answer or, if there is none, the image and a `problem`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AnswerOrProblem<'a> {
    Answer(UpdateAnswer<'a>),
    Problem {
        #[schema(value_type = String)]
        image: &'a str,
        problem: ProblemDocument,
    },
}

/// Check for several updates
///
/// Answers a list of up to 100 questions, in the same order. A question that has no answer gets a problem in its place.
#[utoipa::path(tag = "updates", operation_id = "check_for_updates", request_body = Vec<Question>,
    security((), ("basic" = []), ("bearer" = []), ("negotiate" = []), ("certificate" = [])),
    responses((status = 200, description = "The answers", body = Answers), BodyRefusals, ReadRefusals)
)]
#[post("/update-check")]
pub async fn check_many(
    visitor: Visitor,
    depot: Data<Depot>,
    questions: JsonBody<Vec<Question>, LARGE>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let questions = questions.read()?;
    if questions.len() > MOST_QUESTIONS {
        return Err(Error::invalid("body", format!("at most {MOST_QUESTIONS} questions")).into());
    }
    let snapshot = depot.catalog.snapshot();
    let address = client_address::of(&request);
    let first = |periods| {
        questions.first().map_or(SHORTEST_RETRY, |question| question.wait(&depot, address, periods))
    };
    let periods = periods(&depot, first)?;
    let answer = |question: &'_ Question| match question.answer(&visitor, &snapshot, &depot) {
        Ok(answer) => {
            serde_json::to_value(answer.with_wait(question.wait(&depot, address, periods)))
        }
        Err(problem) => serde_json::to_value(AnswerOrProblem::Problem {
            image: &question.image,
            problem: problem.document(),
        }),
    };
    let items = questions.iter().map(answer).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(|_| Problem::internal())?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "items": items })))
}

/// The image and the channel that a question is about.
pub(super) struct Subject<'a> {
    pub(super) image: &'a ImageOffer,
    pub(super) channel: &'a Channel,
}

impl<'a> Subject<'a> {
    pub(super) fn answer(
        &self,
        question: &Question,
        decision: &Decision<'a>,
        links: &Links,
    ) -> UpdateAnswer<'a> {
        let promotion = decision.latest;
        UpdateAnswer {
            action: decision.action,
            reason: decision.reason,
            image: self.image.image.name.as_str(),
            channel: self.channel.name.as_str(),
            epoch: promotion.map_or(0, |promotion| promotion.epoch),
            current: question.revision.unwrap_or(0),
            target: decision.target.map(|revision| Target::of(revision, links)),
            terms: promotion
                .map(|promotion| promotion.terms.for_clients.clone())
                .unwrap_or_default(),
            check_after_seconds: None,
        }
    }
}

impl Question {
    fn answer<'a>(
        &'a self,
        visitor: &Visitor,
        snapshot: &'a Snapshot,
        depot: &Depot,
    ) -> Result<UpdateAnswer<'a>, Problem> {
        let subject =
            self.subject(snapshot, |channel, name| visitor.may_read(channel.read_access, name))?;
        let name = &subject.image.image.name;
        let standing = subject.image.standing(&subject.channel.name);
        let is_unknown = matches!(standing, Standing::Unknown);
        // Otherwise anyone could find out which names exist, and what is being prepared.
        if is_unknown && !visitor.has_role_on(name) && !snapshot.is_shown_to_everyone(subject.image)
        {
            return Err(Error::ImageNotFound.into());
        }
        let asked = self.asked(depot.now())?;
        let decision = update_check::decide(subject.image, &subject.channel.name, asked);
        count(decision.action);
        Ok(subject.answer(self, &decision, &depot.links))
    }

    /// Finds the image and the channel. `may_ask` says whether the caller may ask about them, also if they do not exist.
    pub(super) fn subject<'a>(
        &self,
        snapshot: &'a Snapshot,
        may_ask: impl FnOnce(&Channel, &ImageName) -> Result<(), Problem>,
    ) -> Result<Subject<'a>, Problem> {
        if !snapshot.is_loaded() {
            return Err(Problem::new(Code::Starting, "the server has just started; try again"));
        }
        // An image of an invalid name cannot exist.
        let name: ImageName = self.image.parse().map_err(|_| Error::ImageNotFound)?;
        let channel = match &self.channel {
            Some(name) => name.parse().ok().and_then(|name| snapshot.channel(&name)),
            None => snapshot.production(),
        };
        let channel = &channel.ok_or(Error::ChannelNotFound)?.channel;
        may_ask(channel, &name)?;
        let image = snapshot.image(&name).ok_or(Error::ImageNotFound)?;
        Ok(Subject { image, channel })
    }

    /// Returns the question as the catalog's rules take it.
    pub(super) fn asked(&self, now: DateTime<Utc>) -> Result<update_check::Question<'_>, Problem> {
        let current = self.revision.unwrap_or(0);
        if current < 0 {
            return Err(Error::invalid(
                "revision",
                "must be the number of the installed revision, or 0 for none",
            )
            .into());
        }
        let group = self.group.as_ref();
        Ok(update_check::Question { current, client: self.client.as_ref(), group, now })
    }

    /// Returns the seconds until the client's slot. Clients without an id are distinguished by their address.
    fn wait(&self, depot: &Depot, address: IpAddr, periods: u32) -> u64 {
        let by_address = || address.to_string().replace(':', "-").parse().ok();
        let client = self.client.clone().or_else(by_address);
        wait_of(client.as_ref(), depot, depot.now(), periods)
    }

    /// Returns the seconds until the client's slot after a moment.
    pub(super) fn seconds_until_next(&self, depot: &Depot, now: DateTime<Utc>) -> u64 {
        wait_of(self.client.as_ref(), depot, now, 1)
    }
}

fn wait_of(client: Option<&ClientId>, depot: &Depot, now: DateTime<Utc>, periods: u32) -> u64 {
    let period = u64::from(depot.catalog.rules().check_period) * u64::from(periods);
    client.map_or(period, |client| seconds_until_slot(client, period, now))
}

/// Counts the request, and returns after how many periods its client asks again. Refuses the request if the server
/// answers as many as it may; `wait` is when the client tries again.
fn periods(depot: &Depot, wait: impl FnOnce(u32) -> u64) -> Result<u32, Problem> {
    match depot.catalog.count_check() {
        Load::Answer { periods } => Ok(periods),
        Load::Refuse => {
            let detail = "the server answers as many update checks as checks.hard_limit allows";
            let problem = Problem::new(Code::TooManyChecks, detail);
            Err(problem.with_header(header::RETRY_AFTER, wait(1).into()))
        }
    }
}

fn count(action: Action) {
    counter(action).increment(1);
}

/// Makes the counter of every action visible before the first check.
pub fn begin_at_zero() {
    for action in Action::ALL {
        counter(action).increment(0);
    }
}

/// Returns the counter of an action. Each is looked up only once, as in [`crate::telemetry::metrics`].
fn counter(action: Action) -> &'static Counter {
    static COUNTERS: [OnceLock<Counter>; Action::ALL.len()] =
        [const { OnceLock::new() }; Action::ALL.len()];
    COUNTERS[action as usize].get_or_init(|| metric::UPDATE_CHECKS.with([action.as_str()]))
}

impl<'a> Target<'a> {
    fn of(revision: &'a OfferedRevision, links: &Links) -> Self {
        let file = |file: &'a OfferedPath| TargetFile {
            role: file.role,
            url: links.tree(&file.path),
            size: file.size,
            digest: &file.digest,
        };
        Self { revision: revision.number, files: revision.files.iter().map(file).collect() }
    }
}

impl UpdateAnswer<'_> {
    pub(super) fn with_wait(self, seconds: u64) -> Self {
        Self { check_after_seconds: Some(seconds), ..self }
    }

    /// Returns the tag and the body. The tag covers everything but the time to ask again. It is a digest of the answer,
    /// so that it is the same on every replica.
    fn with_tag(self, wait: u64) -> Result<(HeaderValue, Bytes), Problem> {
        let mut text = Vec::with_capacity(USUAL_ANSWER);
        serde_json::to_writer(&mut text, &self).map_err(|_| Problem::internal())?;
        let mut tag = [b'"'; 34];
        hex::encode_to_slice(&Digest::of(&text).as_bytes()[..16], &mut tag[1..33])
            .map_err(|_| Problem::internal())?;
        let tag = HeaderValue::from_bytes(&tag).map_err(|_| Problem::internal())?;
        // The only field that the tag does not cover replaces the closing brace.
        text.pop();
        write!(text, ",\"check_after_seconds\":{wait}}}").map_err(|_| Problem::internal())?;
        Ok((tag, text.into()))
    }
}
