//! `/update-check`: the instructions for client machines, from the snapshot alone.

mod noted;
mod question;

use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use bytes::Bytes;
use metrics::Counter;
use serde::Serialize;
use utoipa::ToSchema;

use self::noted::Answered;
pub use self::question::Question;
use self::question::{Subject, periods};
use super::conventions::body::{JsonBody, LARGE};
use super::conventions::caching;
use super::conventions::caller::Visitor;
use super::conventions::client_address;
use super::conventions::problem::{
    BodyRefusals, InvalidQuery, Problem, ProblemDocument, ReadRefusals,
};
use super::conventions::sample;
use super::depot::{Depot, Links};
use crate::catalog::snapshot::{OfferedPath, OfferedRevision, Standing};
use crate::catalog::update_check::{self, Action, Decision, Reason};
use crate::catalog::{Error, Snapshot};
use crate::model::{ClientTerms, Digest, FileRole, metric};

const CHECK_AFTER: HeaderName = HeaderName::from_static("check-after");

/// The number of bytes in which most answers with an offer fit, so that writing one allocates only once.
const USUAL_ANSWER: usize = 768;

/// The maximum number of questions in one request.
const MOST_QUESTIONS: usize = 100;

/// The number of seconds after which an empty list is asked again, if it is refused.
const SHORTEST_RETRY: u64 = 30;

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
    #[serde(skip)]
    recorded: Option<Answered>,
}

impl UpdateAnswer<'_> {
    fn sample() -> Self {
        static DIGEST: LazyLock<Digest> = LazyLock::new(|| sample::digest(sample::CKM));
        let file = TargetFile {
            role: FileRole::Ckm,
            url: "/MEDVImages/win7-office_12.ckm".to_owned(),
            size: 5_368_709_120,
            digest: &DIGEST,
            chunks_url: Some("/MEDVImages/win7-office_12.ckm.chunks".to_owned()),
            delta: Some(TargetDelta {
                from: 11,
                url: "/MEDVImages/win7-office_12.ckm.from-11.delta".to_owned(),
                size: 98_304_000,
                digest: &DIGEST,
            }),
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
            recorded: None,
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
    /// The address of the file's chunk list, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks_url: Option<String>,
    /// The delta from the revision that the client has, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<TargetDelta<'a>>,
}

/// A delta that turns a file of the client's revision into the file of the target.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetDelta<'a> {
    /// The revision that it starts from.
    from: i64,
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
    let answer = answer(&question, &visitor, &snapshot, &depot)?;
    noted::note(&depot, &request, &visitor, &question, answer.recorded);
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
    let answer = |question: &'_ Question| match answer(question, &visitor, &snapshot, &depot) {
        Ok(answer) => {
            noted::note(&depot, &request, &visitor, question, answer.recorded);
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

/// Answers a question, unless the visitor may not ask it.
fn answer<'a>(
    question: &'a Question,
    visitor: &Visitor,
    snapshot: &'a Snapshot,
    depot: &Depot,
) -> Result<UpdateAnswer<'a>, Problem> {
    let subject =
        question.subject(snapshot, |channel, name| visitor.may_read(channel.read_access, name))?;
    let name = &subject.image.image.name;
    let is_unknown = matches!(subject.image.standing(&subject.channel.name), Standing::Unknown);
    // Otherwise anyone could find out which names exist, and what is being prepared.
    if is_unknown && !visitor.has_role_on(name) && !snapshot.is_shown_to_everyone(subject.image) {
        return Err(Error::ImageNotFound.into());
    }
    let asked = question.asked(depot.now())?;
    let decision = update_check::decide(subject.image, &subject.channel.name, asked);
    count(decision.action);
    Ok(UpdateAnswer::new(&subject, question, &decision, &depot.links))
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
    /// Describes a revision to a client that has the revision `current`.
    fn of(revision: &'a OfferedRevision, current: i64, links: &Links) -> Self {
        let file = |file: &'a OfferedPath| TargetFile {
            role: file.role,
            url: links.tree(&file.path),
            size: file.size,
            digest: &file.digest,
            chunks_url: file.chunks().map(|chunks| links.tree(&chunks.path)),
            delta: file.deltas().find(|(from, _)| *from == current).map(|(from, delta)| {
                let (url, size) = (links.tree(&delta.path), delta.size);
                TargetDelta { from, url, size, digest: &delta.digest }
            }),
        };
        Self { revision: revision.number, files: revision.files.iter().map(file).collect() }
    }
}

impl<'a> UpdateAnswer<'a> {
    pub(super) fn new(
        subject: &Subject<'a>,
        question: &Question,
        decision: &Decision<'a>,
        links: &Links,
    ) -> Self {
        let promotion = decision.latest;
        Self {
            action: decision.action,
            reason: decision.reason,
            image: subject.image.image.name.as_str(),
            channel: subject.channel.name.as_str(),
            epoch: promotion.map_or(0, |promotion| promotion.epoch),
            current: question.revision.unwrap_or(0),
            target: decision
                .target
                .map(|revision| Target::of(revision, question.revision.unwrap_or(0), links)),
            terms: promotion
                .map(|promotion| promotion.terms.for_clients.clone())
                .unwrap_or_default(),
            check_after_seconds: None,
            recorded: Some(Answered::new(subject, question.revision.unwrap_or(0), decision)),
        }
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
