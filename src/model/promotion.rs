//! Promotions, the assignments that they give, and how fast they reach clients.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a promotion was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum PromotionKind {
    /// A revision was chosen.
    Promote,
    /// An earlier assignment was taken up again.
    Rollback,
}

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

/// One entry of the history: this revision was assigned to this channel.
#[derive(Debug, Clone, sqlx::FromRow)]
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
    pub mandatory: bool,
    pub deadline: Option<DateTime<Utc>>,
    #[sqlx(json)]
    pub rollout: Rollout,
    pub note: String,
    /// A later rollback turned away from it: it is never rolled back to.
    pub rolled_back: bool,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

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
