//! The bodies of answers about assignments: the revision, its rollout, and how far both are.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::conventions::sample;
use crate::catalog::fleet::forecast::Forecast;
use crate::catalog::promotion::Pending;
use crate::catalog::rollout::warnings::warnings;
use crate::model::replica::Reach;
use crate::model::rollout::Share;
use crate::model::{Assignment, ChannelName, ClientTerms, Halted, ImageName, Promotion, Rollout};
use crate::rollout::{Schedule, State};

/// The progress of publishing an assignment in the tree.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationProgress {
    /// Some files of the revision are not in the channel's folder yet, or wait to be signed with keys that are kept
    /// elsewhere.
    Pending,
    /// All files of the revision are in the channel's folder, and are signed.
    Published,
}

/// The revision that an image offers in a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assignment, example = json!(Self::sample()))]
pub struct AssignmentBody {
    image: String,
    channel: String,
    revision: i64,
    /// The epoch, which is higher with every promotion of the image to the channel.
    epoch: i64,
    /// The promotion that created the assignment; null for a dry run.
    #[schema(required = true)]
    promotion: Option<Uuid>,
    /// True for a dry run, which changed nothing; otherwise absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
    rollout: RolloutBody,
    #[serde(flatten)]
    #[schema(inline)]
    for_clients: ClientTerms,
    note: String,
    publication: PublicationProgress,
    since: DateTime<Utc>,
    by: String,
    /// The promotion, or the change of the rollout, that waits for approval; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pending: Option<PendingBody>,
    /// Terms that are allowed and contradict each other, as sentences; absent if there are none. Only in responses to
    /// changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
    /// The expected course of the rollout over the clients on record; only in the response to a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    forecast: Option<Vec<Forecast>>,
    /// The number of servers that apply the change already; only in the response to a change of the rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    replicas: Option<Reach>,
}

/// The rollout of an assignment, and how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RolloutInForce)]
pub struct RolloutBody {
    #[serde(flatten)]
    #[schema(inline)]
    rollout: Rollout,
    state: State,
    /// The share of clients without a group that are offered the revision now, in percent.
    percent_now: Share,
    /// The time at which a share changes next, or null if none changes by itself.
    #[schema(required = true)]
    next_step_at: Option<DateTime<Utc>>,
    /// The reason for a halt; absent if the rollout is not halted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    halted: Option<Halted>,
}

impl RolloutBody {
    fn new(promotion: &Promotion, now: DateTime<Utc>) -> Self {
        let schedule = Schedule::of(promotion);
        Self {
            rollout: promotion.terms.rollout.clone(),
            state: schedule.state(now),
            percent_now: schedule.share(None, now),
            next_step_at: schedule.next_step_at(now),
            halted: promotion.progress.halted.clone(),
        }
    }
}

impl AssignmentBody {
    fn sample() -> Self {
        Self {
            image: sample::IMAGE.to_owned(),
            channel: "production".to_owned(),
            revision: 12,
            epoch: 17,
            promotion: Some(sample::ID),
            dry_run: false,
            rollout: RolloutBody {
                rollout: Rollout::default(),
                state: State::Complete,
                percent_now: Share::EVERYONE,
                next_step_at: None,
                halted: None,
            },
            for_clients: ClientTerms::default(),
            note: "January patches".to_owned(),
            publication: PublicationProgress::Published,
            since: sample::time("2026-01-05T10:00:00Z"),
            by: sample::ADMIN.to_owned(),
            pending: None,
            warnings: Vec::new(),
            forecast: None,
            replicas: None,
        }
    }
}

impl AssignmentBody {
    pub(in crate::api) fn new(
        image: &ImageName,
        channel: &ChannelName,
        assignment: Assignment,
        now: DateTime<Utc>,
    ) -> Self {
        let promotion = assignment.promotion;
        let rollout = RolloutBody::new(&promotion, now);
        Self {
            image: image.to_string(),
            channel: channel.to_string(),
            revision: promotion.revision,
            epoch: promotion.epoch,
            promotion: Some(promotion.id),
            dry_run: false,
            rollout,
            for_clients: promotion.terms.for_clients,
            note: promotion.terms.note,
            publication: if assignment.published {
                PublicationProgress::Published
            } else {
                PublicationProgress::Pending
            },
            since: promotion.created_at,
            by: promotion.created_by,
            pending: None,
            warnings: Vec::new(),
            forecast: None,
            replicas: None,
        }
    }

    /// Adds what waits for approval.
    pub(super) fn with_pending(self, pending: Option<Pending>) -> Self {
        Self { pending: pending.map(Into::into), ..self }
    }

    /// Marks the body as the outcome of a dry run, which made no promotion of its own.
    pub(super) fn of_dry_run(self, forecast: Vec<Forecast>) -> Self {
        Self { dry_run: true, promotion: None, forecast: Some(forecast), ..self }
    }

    /// Adds the number of servers that apply the change already.
    pub(super) fn with_reach(self, replicas: Option<Reach>) -> Self {
        Self { replicas, ..self }
    }

    /// Builds the body of a response to a change, with warnings about the terms.
    pub(super) fn of_change(
        (image, channel): (&ImageName, &ChannelName),
        assignment: Assignment,
        now: DateTime<Utc>,
    ) -> Self {
        let warnings = warnings(&assignment.promotion, now);
        Self { warnings, ..Self::new(image, channel, assignment, now) }
    }
}

/// A promotion, or a change of a rollout, that waits for approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingPromotion)]
pub struct PendingBody {
    /// The id that the promotion will have.
    promotion: Uuid,
    revision: i64,
    /// True if it changes the rollout of the promotion in force.
    changes_rollout: bool,
    rollout: Rollout,
    #[serde(flatten)]
    #[schema(inline)]
    for_clients: ClientTerms,
    note: String,
    by: String,
    since: DateTime<Utc>,
    /// The people who have approved it.
    approved_by: Vec<String>,
    /// The number of people, besides the first, who must approve it.
    needed: i64,
}

impl From<Pending> for PendingBody {
    fn from(Pending { promotion, approvals, needed }: Pending) -> Self {
        Self {
            promotion: promotion.id,
            revision: promotion.revision,
            changes_rollout: promotion.changes_promotion.is_some(),
            rollout: promotion.terms.rollout,
            for_clients: promotion.terms.for_clients,
            note: promotion.terms.note,
            by: promotion.requested_by,
            since: promotion.requested_at,
            approved_by: approvals.into_iter().map(|approval| approval.person).collect(),
            needed,
        }
    }
}
