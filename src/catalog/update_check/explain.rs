//! The explanation of an answer: every rule that was weighed, in order, and what it found.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Action, Decision, Reason};
use super::case::{Case, Question};
use super::rules::{Rule, Verdict, Weighed};

use crate::catalog::snapshot::ImageOffer;
use crate::model::ChannelName;
use crate::model::rollout::{Bucket, Share};
use crate::rollout::opening;

/// The outcome of weighing a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RuleOutcome)]
pub enum Outcome {
    /// The rule chose the answer.
    Decided,
    /// The rule applies, and left the decision to the next one.
    Passed,
    /// There is nothing that the rule is about.
    NotSet,
}

/// A rule that was weighed, and its outcome.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WeighedRule {
    pub rule: Rule,
    pub outcome: Outcome,
    /// The facts that the rule compared, for people.
    pub detail: String,
}

/// An answer with its explanation.
pub struct Explanation<'a> {
    pub decision: Decision<'a>,
    pub bucket: Bucket,
    /// The share of the client's group at that moment.
    pub percent_now: Share,
    /// The rules up to the one that decided.
    pub rules: Vec<WeighedRule>,
}

/// Decides as [`decide`](super::decide) does, and says why.
pub fn explain<'a>(
    image: &'a ImageOffer,
    channel: &ChannelName,
    question: Question<'_>,
) -> Explanation<'a> {
    let case = Case::new(image, channel, question);
    let mut rules = Vec::new();
    let mut verdict = None;
    for rule in Rule::ALL {
        let weighed = rule.weigh(&case);
        let outcome = match weighed {
            Weighed::Decided(_) => Outcome::Decided,
            Weighed::Passed => Outcome::Passed,
            Weighed::NotSet => Outcome::NotSet,
        };
        rules.push(WeighedRule { rule, outcome, detail: detail(rule, outcome, &case) });
        if let Weighed::Decided(decided) = weighed {
            verdict = Some(decided);
            break;
        }
    }
    let nothing = Verdict::Nothing(Action::None, Reason::NothingAssigned);
    Explanation {
        decision: case.decision(verdict.unwrap_or(nothing)),
        bucket: case.bucket(),
        percent_now: share(&case),
        rules,
    }
}

fn share(case: &Case<'_, '_>) -> Share {
    let Question { group, now, .. } = case.question;
    case.schedule().map_or(Share::NOBODY, |schedule| schedule.share(group, now))
}

fn detail(rule: Rule, outcome: Outcome, case: &Case<'_, '_>) -> String {
    let Question { current, client, now, .. } = case.question;
    let has_decided = outcome == Outcome::Decided;
    match (rule, outcome) {
        (Rule::Pin, Outcome::NotSet) => {
            "no client is pinned here, or the question names none".to_owned()
        }
        (Rule::Pin, _) => {
            let client = client.map_or("", |client| client.as_str());
            let is = if has_decided { "is" } else { "is not" };
            format!("{client} {is} pinned to a revision")
        }
        (Rule::Revoked, Outcome::NotSet) => "no revision of the image was revoked".to_owned(),
        (Rule::Revoked, Outcome::Decided) => format!("revision {current} was revoked"),
        (Rule::Revoked, Outcome::Passed) => {
            "the client's revision was not revoked, or nothing else is assigned".to_owned()
        }
        (Rule::Withdrawn, Outcome::Decided) => {
            "the image was withdrawn from the channel, or never promoted to it".to_owned()
        }
        (Rule::Withdrawn, _) => "a revision is assigned".to_owned(),
        (Rule::Stopped, Outcome::Decided) => stop(case),
        (Rule::Stopped, _) => "the rollout is neither paused nor halted".to_owned(),
        (Rule::Canary, Outcome::NotSet) => {
            "the rollout has no canaries, or the question names no client".to_owned()
        }
        (Rule::Canary, _) => {
            format!("the client is {}among the canaries", if has_decided { "" } else { "not " })
        }
        (Rule::BeforeStart, Outcome::NotSet) => "the rollout has no start".to_owned(),
        (Rule::BeforeStart, _) => format!(
            "the rollout {} at {}",
            if has_decided { "begins" } else { "began" },
            terms(case, |promotion| promotion.terms.rollout.start)
        ),
        (Rule::Deadline, Outcome::NotSet) => "the promotion has no deadline".to_owned(),
        (Rule::Deadline, _) => format!(
            "the deadline {} at {}",
            if has_decided { "passed" } else { "passes" },
            terms(case, |promotion| promotion.terms.for_clients.deadline)
        ),
        (Rule::Window, Outcome::NotSet) => "the rollout has no windows".to_owned(),
        (Rule::Window, Outcome::Decided) => closed(case, now),
        (Rule::Window, Outcome::Passed) => "a window is open".to_owned(),
        (Rule::Percentage, _) => format!(
            "the client's place is {} of 10,000, the share is {} %",
            serde_json::to_string(&case.bucket()).unwrap_or_default(),
            share(case)
        ),
    }
}

fn stop(case: &Case<'_, '_>) -> String {
    let Some(offer) = case.offer() else { return String::new() };
    if !offer.assigned.is_ready() {
        return "the revision's bytes were found damaged; it goes on when they are healed"
            .to_owned();
    }
    match &offer.promotion.progress.halted {
        None => "a person has paused the rollout".to_owned(),
        Some(halted) => match (&halted.by, halted.failed, halted.ended) {
            (Some(by), ..) => format!("{by} halted the rollout at {}", in_seconds(halted.at)),
            (None, Some(failed), Some(ended)) => format!(
                "reports halted the rollout at {}: {failed} of {ended} clients failed",
                in_seconds(halted.at)
            ),
            _ => format!("reports halted the rollout at {}", in_seconds(halted.at)),
        },
    }
}

fn closed(case: &Case<'_, '_>, now: DateTime<Utc>) -> String {
    let windows = case.offer().map(|offer| &offer.promotion.terms.rollout.windows);
    let next = windows.and_then(|windows| opening::next_opening(windows, now));
    next.map_or_else(
        || "no window is open, and none opens within two weeks".to_owned(),
        |next| format!("no window is open; the next one opens at {}", in_seconds(next)),
    )
}

fn terms(
    case: &Case<'_, '_>,
    time: impl Fn(&crate::model::Promotion) -> Option<DateTime<Utc>>,
) -> String {
    case.offer().and_then(|offer| time(&offer.promotion)).map_or_else(String::new, in_seconds)
}

fn in_seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
