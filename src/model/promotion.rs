//! Promotions, the assignments that they give, and how fast they reach clients.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
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
}

stored_as_text!(PromotionKind);

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

/// One entry of the history: this revision was assigned to this channel.
#[derive(Debug, Clone)]
pub struct Promotion {
    pub id: Uuid,
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    /// The revision's number.
    pub revision: i64,
    /// Higher with every promotion of the image to the channel.
    pub epoch: i64,
    pub kind: PromotionKind,
    pub terms: Terms,
    /// A later rollback turned away from it: it is never rolled back to.
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
    kind,
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
