//! Promotions that wait for the word of other people.

use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, execute, insert, optional};
use crate::model::pending_promotion::{Approval, PendingPromotion};
use crate::storage::{StorageError, Tx};

impl Tx {
    /// Returns the promotion that waits for an image in a channel.
    pub async fn pending_promotion(
        &mut self,
        image: Uuid,
        channel: Uuid,
    ) -> Result<Option<PendingPromotion>, StorageError> {
        optional!(
            self,
            "select p.id, p.image_id, p.channel_id, p.revision_id, r.number as revision, p.changes_promotion, \
             p.terms, p.requested_by, p.person, p.requested_at \
             from pending_promotion p join revision r on r.id = p.revision_id \
             where p.image_id = $1 and p.channel_id = $2",
            image,
            channel
        )
    }

    pub async fn insert_pending_promotion(
        &mut self,
        pending: &PendingPromotion,
    ) -> Result<(), StorageError> {
        insert!(self, "pending_promotion", {
            id: pending.id,
            image_id: pending.image_id,
            channel_id: pending.channel_id,
            revision_id: pending.revision_id,
            changes_promotion: pending.changes_promotion,
            terms: Json(&pending.terms),
            requested_by: &pending.requested_by,
            person: &pending.person,
            requested_at: pending.requested_at,
        })?;
        Ok(())
    }

    /// Deletes the promotion that waits for an image in a channel, with the words for it.
    pub async fn delete_pending_promotion(
        &mut self,
        image: Uuid,
        channel: Uuid,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from approval where pending_id in \
             (select id from pending_promotion where image_id = $1 and channel_id = $2)",
            image,
            channel
        )?;
        execute!(
            self,
            "delete from pending_promotion where image_id = $1 and channel_id = $2",
            image,
            channel
        )?;
        Ok(())
    }

    /// Lists the words for a pending promotion, earliest first.
    pub async fn approvals(&mut self, pending: Uuid) -> Result<Vec<Approval>, StorageError> {
        all!(
            self,
            "select person, approved_by, approved_at from approval where pending_id = $1 \
             order by approved_at, person",
            pending
        )
    }

    /// Records a person's word, unless it is recorded already.
    pub async fn put_approval(
        &mut self,
        pending: Uuid,
        approval: &Approval,
    ) -> Result<(), StorageError> {
        insert!(self, "approval", {
            pending_id: pending,
            person: &approval.person,
            approved_by: &approval.approved_by,
            approved_at: approval.approved_at,
        }, " on conflict (pending_id, person) do nothing")?;
        Ok(())
    }

    /// Takes a person's word back. Returns whether there was one.
    pub async fn delete_approval(
        &mut self,
        pending: Uuid,
        person: &str,
    ) -> Result<bool, StorageError> {
        let deleted = execute!(
            self,
            "delete from approval where pending_id = $1 and person = $2",
            pending,
            person
        )?;
        Ok(deleted > 0)
    }
}
