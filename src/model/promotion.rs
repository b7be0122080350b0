//! Promotions, and the assignments that result from them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rollout::Rollout;
use super::row::{from_row, stored_as_text};

/// The kind of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// A revision was chosen.
    Promote,
    /// An earlier assignment was restored.
    Rollback,
    /// The image was taken out of the channel.
    Withdraw,
}

stored_as_text!(PromotionKind);

impl PromotionKind {
    /// Returns the value of the column `kind`, which the previous version of the program understands. A withdrawal is
    /// recorded in a column of its own.
    #[must_use]
    pub const fn as_stored(self) -> Self {
        match self {
            Self::Promote => Self::Promote,
            Self::Rollback | Self::Withdraw => Self::Rollback,
        }
    }
}

impl<'r, R: Row> FromRow<'r, R> for PromotionKind
where
    &'static str: ColumnIndex<R>,
    Self: Decode<'r, R::Database> + Type<R::Database>,
    Departure: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        match row.try_get::<Option<Departure>, _>("withdrawal")? {
            Some(_) => Ok(Self::Withdraw),
            None => row.try_get("kind"),
        }
    }
}

/// The way in which the files of a withdrawn image leave the tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// After the grace period, like the files of any revision that is no longer offered: clients that are fetching one
    /// may finish.
    #[default]
    AfterGrace,
    /// At once, together with their HTTP names: no client gets any more of them.
    AtOnce,
}

stored_as_text!(Departure);

/// The stop of a rollout by failures that clients reported, or by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutHalted)]
pub struct Halted {
    pub at: DateTime<Utc>,
    /// The person who stopped it; absent if reports did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The number of clients whose reports of a failure counted; absent if a person stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// The number of clients whose reports of an end counted, failures included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Some of the clients that failed, with what they reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<ReportedFailure>,
}

/// A client that failed, and the error that it reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportedFailure {
    pub client: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The terms of a promotion. This is the only list of them.
///
/// The order, the history, the API's answers and exports all contain it whole, so a field that is added here is in all
/// of them. `storage/queries/promotions.rs` stores it, `api/assignments.rs` reads it from requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    // Exports of earlier versions have no rollout.
    #[serde(default)]
    #[schema(required = true)]
    pub rollout: Rollout,
    #[serde(flatten)]
    #[schema(inline)]
    pub for_clients: ClientTerms,
    pub note: String,
}

from_row!(Terms { rollout: json, for_clients: flatten, note });

/// The part of the terms that clients see, in the manifest and in the update check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientTerms {
    pub mandatory: bool,
    #[schema(required = true)]
    pub deadline: Option<DateTime<Utc>>,
}

from_row!(ClientTerms { mandatory, deadline });

/// The form of [`ClientTerms`] in a manifest, which leaves out default values.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ClientTerms")]
pub struct ManifestTerms {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mandatory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<DateTime<Utc>>,
}

/// One entry of the history: this revision was assigned to this channel, or withdrawn from it.
#[derive(Debug, Clone)]
pub struct Promotion {
    pub id: Uuid,
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    /// The revision's number. For a withdrawal, the number of the revision that was withdrawn.
    pub revision: i64,
    /// The epoch, which is higher with every promotion of the image to the channel.
    pub epoch: i64,
    pub kind: PromotionKind,
    pub terms: Terms,
    /// True if a later rollback or withdrawal undid this promotion, or if it is itself a withdrawal. It is never rolled
    /// back to.
    pub rolled_back: bool,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub progress: Progress,
}

from_row!(Promotion {
    id,
    image_id,
    channel_id,
    revision_id,
    revision,
    epoch,
    kind: flatten,
    terms: flatten,
    rolled_back,
    created_by,
    created_at,
    progress: flatten,
});

/// The recorded progress of a promotion's rollout. Time alone decides what clients are told; this is what has been put
/// into effect since, and who stopped it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of changes of the rollout since the promotion.
    pub changes: i64,
    /// True until the rollout has reached all clients. It never becomes true again, and stays true if the promotion is
    /// replaced before.
    pub under_way: bool,
    /// The number of the rollout's steps that the tree's readers have been told of.
    pub steps_told: i64,
    /// The stop of the rollout, if it is stopped by reports or by a person who called it a halt.
    pub halted: Option<Halted>,
    /// The time from which reports count for a halt; none for all of them.
    pub reports_since: Option<DateTime<Utc>>,
}

impl<'r, R: Row> FromRow<'r, R> for Progress
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    Json<Halted>: Decode<'r, R::Database> + Type<R::Database>,
    DateTime<Utc>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            changes: row.try_get("changes")?,
            under_way: row.try_get("under_way")?,
            steps_told: row.try_get("steps_told")?,
            halted: row.try_get::<Option<Json<Halted>>, _>("halted")?.map(|Json(halted)| halted),
            reports_since: row.try_get("reports_since")?,
        })
    }
}

impl Promotion {
    /// Returns the tag, which is different for every promotion of an image to a channel and for every change of its
    /// rollout.
    pub fn tag(&self) -> String {
        match self.progress.changes {
            0 => format!("epoch-{}", self.epoch),
            changes => format!("epoch-{}-{changes}", self.epoch),
        }
    }

    /// Returns the revision that this promotion offers to clients, or none for a withdrawal.
    pub fn offered_revision(&self) -> Option<i64> {
        (self.kind != PromotionKind::Withdraw).then_some(self.revision)
    }
}

/// The current offer of an image in a channel: its newest promotion, and whether the tree is up to date with it.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub promotion: Promotion,
    /// True if all files of the assigned revision are in the channel's folder.
    pub published: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_written_in_one_order_and_read_from_exports_that_had_no_rollout() {
        let text = r#"{"rollout":{"percent":100},"mandatory":false,"deadline":null,"note":"a"}"#;
        let terms = Terms { note: "a".to_owned(), ..Terms::default() };
        assert_eq!(serde_json::to_string(&terms).unwrap(), text);
        let earlier = text.replace(r#""rollout":{"percent":100},"#, "");
        assert_eq!(serde_json::from_str::<Terms>(&earlier).unwrap(), terms);
    }
}
