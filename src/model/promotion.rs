//! Promotions, the assignments that they give, and how fast they reach clients.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{from_row, stored_as_text};

/// What a promotion was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// A revision was chosen.
    Promote,
    /// An earlier assignment was taken up again.
    Rollback,
    /// The image was taken out of the channel.
    Withdraw,
}

stored_as_text!(PromotionKind);

impl PromotionKind {
    /// What the column `kind` says: a word that the version before knows. A withdrawal stands in a column of its own.
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

/// How the files of a withdrawn image leave the tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// As those of any revision that is no longer offered: who fetches one may finish.
    #[default]
    AfterGrace,
    /// With their HTTP names: nobody is to have more of them.
    AtOnce,
}

stored_as_text!(Departure);

/// How fast a promotion reaches clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The share of clients that are offered it, in percent: for now always all of them.
    #[serde(default = "everyone")]
    #[schema(minimum = 100, maximum = 100, example = 100)]
    pub percent: u8,
}

const fn everyone() -> u8 {
    100
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percent: everyone() }
    }
}

/// What a promotion is ordered with: the one list of it.
///
/// Order, history, the API's answers and exports carry it whole, so that a field which is added here is in all of them.
/// `storage/queries/promotions.rs` keeps it, `api/assignments.rs` takes it in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    // Exports of earlier versions have none.
    #[serde(default)]
    #[schema(required = true)]
    pub rollout: Rollout,
    #[serde(flatten)]
    #[schema(inline)]
    pub for_clients: ClientTerms,
    pub note: String,
}

from_row!(Terms { rollout: json, for_clients: flatten, note });

/// The part of the terms that clients are told, in the manifest and by the update check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientTerms {
    pub mandatory: bool,
    #[schema(required = true)]
    pub deadline: Option<DateTime<Utc>>,
}

from_row!(ClientTerms { mandatory, deadline });

/// [`ClientTerms`] as a manifest has them: what says nothing is left out.
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
    /// The revision's number: of a withdrawal, the one that was withdrawn.
    pub revision: i64,
    /// Higher with every promotion of the image to the channel.
    pub epoch: i64,
    pub kind: PromotionKind,
    pub terms: Terms,
    /// A later rollback or withdrawal turned away from it, or it is a withdrawal itself: it is never rolled back to.
    pub rolled_back: bool,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
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
});

impl Promotion {
    /// Differs for every promotion of an image to a channel.
    pub fn tag(&self) -> String {
        format!("epoch-{}", self.epoch)
    }

    /// The revision that clients are offered by it; none by a withdrawal.
    pub fn offered_revision(&self) -> Option<i64> {
        (self.kind != PromotionKind::Withdraw).then_some(self.revision)
    }
}

/// What an image offers in a channel now: its newest promotion, and how far the tree has followed.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub promotion: Promotion,
    /// All files of the assigned revision stand in the channel's folder.
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
