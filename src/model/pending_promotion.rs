//! A promotion, or a change of a rollout, that waits for the word of other people.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::promotion::Terms;
use super::row::from_row;

/// A promotion that does not count yet.
#[derive(Debug, Clone)]
pub struct PendingPromotion {
    /// The id that the promotion will have.
    pub id: Uuid,
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    /// The revision's number.
    pub revision: i64,
    /// The promotion in force whose terms are to change; none for a new promotion.
    pub changes_promotion: Option<Uuid>,
    pub terms: Terms,
    pub requested_by: String,
    /// The person behind the caller: for a token, whoever made it.
    pub person: String,
    pub requested_at: DateTime<Utc>,
}

from_row!(PendingPromotion {
    id,
    image_id,
    channel_id,
    revision_id,
    revision,
    changes_promotion,
    terms: json,
    requested_by,
    person,
    requested_at,
});

/// A person's word for a pending promotion.
#[derive(Debug, Clone)]
pub struct Approval {
    pub person: String,
    pub approved_by: String,
    pub approved_at: DateTime<Utc>,
}

from_row!(Approval { person, approved_by, approved_at });
