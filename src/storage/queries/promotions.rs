//! Promotions and assignments.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, optional, value};
use crate::model::row::from_row;
use crate::model::{ChannelName, Promotion};
use crate::storage::{StorageError, Tx};

/// What a [`Promotion`] is read from; its revision's number comes from beside it.
macro_rules! promotion_columns {
    ($name:ident) => {
        columns!(
            $name: id, image_id, channel_id, revision_id, epoch, kind, mandatory, deadline,
            rollout, note, rolled_back, created_by, created_at
        )
    };
}
pub(super) use promotion_columns;

/// A promotion with its revision's number beside it.
macro_rules! promotion {
    ($rest:literal) => {
        concat!(
            "select ",
            promotion_columns!(p),
            ", r.number as revision from promotion p join revision r on r.id = p.revision_id ",
            $rest
        )
    };
}

struct WithChannel {
    promotion: Promotion,
    channel_name: ChannelName,
}

from_row!(WithChannel { promotion: flatten, channel_name });

impl Tx {
    /// The promotion that is in force.
    pub async fn assigned(
        &mut self,
        image: Uuid,
        channel: Uuid,
    ) -> Result<Option<Promotion>, StorageError> {
        optional!(
            self,
            promotion!(
                "join assignment a on a.promotion_id = p.id where a.image_id = $1 and a.channel_id = $2"
            ),
            image,
            channel
        )
    }

    /// The promotions in force for an image, one for each channel that has one.
    pub async fn assigned_everywhere(
        &mut self,
        image: Uuid,
    ) -> Result<Vec<Promotion>, StorageError> {
        all!(
            self,
            promotion!(
                "join assignment a on a.promotion_id = p.id where a.image_id = $1 order by p.created_at"
            ),
            image
        )
    }

    /// The names of the channels that are assigned to a revision.
    pub async fn channels_assigned_to(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<ChannelName>, StorageError> {
        let names: Vec<(ChannelName,)> = all!(
            self,
            "select c.name from assignment a join promotion p on p.id = a.promotion_id \
             join channel c on c.id = a.channel_id where p.revision_id = $1 order by c.name_key",
            revision
        )?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// Whether the revision was ever assigned in the channel.
    pub async fn was_assigned(
        &mut self,
        revision: Uuid,
        channel: Uuid,
    ) -> Result<bool, StorageError> {
        let found: Option<(i64,)> = optional!(
            self,
            "select epoch from promotion where revision_id = $1 and channel_id = $2 limit 1",
            revision,
            channel
        )?;
        Ok(found.is_some())
    }

    /// Adds to the history and puts the promotion in force.
    pub async fn assign(&mut self, promotion: &Promotion) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into promotion (id, image_id, channel_id, revision_id, epoch, kind, mandatory, deadline, \
             rollout, note, rolled_back, created_by, created_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            promotion.id,
            promotion.image_id,
            promotion.channel_id,
            promotion.revision_id,
            promotion.epoch,
            promotion.kind,
            promotion.terms.for_clients.mandatory,
            promotion.terms.for_clients.deadline,
            Json(&promotion.terms.rollout),
            &promotion.terms.note,
            promotion.rolled_back,
            &promotion.created_by,
            promotion.created_at,
        )?;
        execute!(
            self,
            "insert into assignment (image_id, channel_id, promotion_id) values ($1, $2, $3) \
             on conflict (image_id, channel_id) do update set promotion_id = excluded.promotion_id",
            promotion.image_id,
            promotion.channel_id,
            promotion.id,
        )?;
        Ok(())
    }

    /// The highest epoch that the image ever had in the channel, or may have had; 0 before the first.
    pub async fn last_epoch(&mut self, image: Uuid, channel: Uuid) -> Result<i64, StorageError> {
        value!(
            self,
            "select coalesce(max(epoch), 0) from ( \
                 select epoch from promotion where image_id = $1 and channel_id = $2 \
                 union all \
                 select epoch from epoch_floor where image_id = $1 and channel_id = $2 \
             ) as known",
            image,
            channel
        )
    }

    /// Skips epochs that may have been given out after what this catalog knows: clients are told them
    /// as ever growing.
    pub async fn leave_epochs_out(&mut self, count: i64) -> Result<(), StorageError> {
        if count > 0 {
            execute!(
                self,
                "insert into epoch_floor (image_id, channel_id, epoch) \
                 select image_id, channel_id, max(epoch) + $1 from ( \
                     select image_id, channel_id, epoch from promotion \
                     union all \
                     select image_id, channel_id, epoch from epoch_floor \
                 ) as known where true group by image_id, channel_id \
                 on conflict (image_id, channel_id) do update set epoch = excluded.epoch",
                count
            )?;
        }
        Ok(())
    }

    /// Marks every promotion of a revision in a channel as turned away from.
    pub async fn mark_rolled_back(
        &mut self,
        image: Uuid,
        channel: Uuid,
        revision: Uuid,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update promotion set rolled_back = true \
             where image_id = $1 and channel_id = $2 and revision_id = $3",
            image,
            channel,
            revision
        )?;
        Ok(())
    }

    /// The newest earlier promotion to another revision that is ready and was not rolled back.
    pub async fn rollback_target(
        &mut self,
        current: &Promotion,
    ) -> Result<Option<Promotion>, StorageError> {
        optional!(
            self,
            promotion!(
                "where p.image_id = $1 and p.channel_id = $2 and p.epoch < $3 and p.revision_id <> $4 \
                 and p.rolled_back = false and r.state = 'ready' order by p.epoch desc limit 1"
            ),
            current.image_id,
            current.channel_id,
            current.epoch,
            current.revision_id
        )
    }

    /// A revision's promotions, newest first.
    pub async fn promotions_of(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<(Promotion, ChannelName)>, StorageError> {
        let rows: Vec<WithChannel> = all!(
            self,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision, c.name as channel_name from promotion p \
             join revision r on r.id = p.revision_id join channel c on c.id = p.channel_id \
             where p.revision_id = $1 order by p.created_at desc, p.id desc"
            ),
            revision
        )?;
        Ok(rows.into_iter().map(|row| (row.promotion, row.channel_name)).collect())
    }

    /// An image's history, newest first, those behind (`before`, `before_id`).
    pub async fn promotions_before(
        &mut self,
        image: Uuid,
        before: DateTime<Utc>,
        before_id: Uuid,
        limit: i64,
    ) -> Result<Vec<(Promotion, ChannelName)>, StorageError> {
        let rows: Vec<WithChannel> = all!(
            self,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision, c.name as channel_name from promotion p \
             join revision r on r.id = p.revision_id join channel c on c.id = p.channel_id \
             where p.image_id = $1 and (p.created_at < $2 or (p.created_at = $2 and p.id < $3)) \
             order by p.created_at desc, p.id desc limit $4"
            ),
            image,
            before,
            before_id,
            limit
        )?;
        Ok(rows.into_iter().map(|row| (row.promotion, row.channel_name)).collect())
    }
}
