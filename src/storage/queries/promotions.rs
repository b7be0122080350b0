//! Promotions and assignments.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::row::from_row;
use crate::model::{ChannelName, Departure, Promotion};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Promotion`] is read from; its revision's number comes from another table.
macro_rules! promotion_columns {
    ($name:ident) => {
        columns!(
            $name: id, image_id, channel_id, revision_id, epoch, kind, mandatory, deadline,
            rollout, note, rolled_back, created_by, created_at, withdrawal, changes, under_way,
            steps_told, halted, reports_since
        )
    };
}
pub(super) use promotion_columns;

/// Selects the epoch of the assignment before the one in force, `$current`: the newest earlier one that was complete, is
/// ready, and was neither rolled back nor withdrawn.
macro_rules! epoch_before {
    ($current:literal) => {
        concat!(
            "(select max(b.epoch) from promotion b join revision s on s.id = b.revision_id \
             where b.image_id = ",
            $current,
            ".image_id and b.channel_id = ",
            $current,
            ".channel_id \
             and b.epoch < ",
            $current,
            ".epoch and b.under_way = false and b.rolled_back = false \
             and b.withdrawal is null and s.state = 'ready')"
        )
    };
}
pub(super) use epoch_before;

/// Builds a query for promotions with their revisions' numbers.
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

pub(super) use promotion;

struct WithChannel {
    promotion: Promotion,
    channel_name: ChannelName,
    place: i64,
}

from_row!(WithChannel { promotion: flatten, channel_name, place });

/// The place of a promotion in an image's history: its number (0 if it is from before there were any), then its time
/// and id.
pub type HistoryPlace = (i64, DateTime<Utc>, Uuid);

impl Tx {
    /// Returns the promotion that is in force.
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

    /// Lists the promotions in force for an image, one for each channel that has one.
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

    /// Lists the names of the channels that a revision is assigned in. While a rollout is under way, the assignment before
    /// counts, too.
    pub async fn channels_assigned_to(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<ChannelName>, StorageError> {
        let names: Vec<(ChannelName,)> = all!(
            self,
            concat!(
                "select c.name from assignment a join promotion o on o.id = a.promotion_id \
             join promotion p on p.image_id = a.image_id and p.channel_id = a.channel_id \
             join channel c on c.id = a.channel_id where p.revision_id = $1 \
             and (p.id = o.id or (o.under_way and p.epoch = ",
                epoch_before!("o"),
                ")) group by c.name, c.name_key order by c.name_key collate \"C\""
            ),
            revision
        )?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// Lists the names of the channels in which a revision's promotion is in force.
    pub async fn channels_offering(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<ChannelName>, StorageError> {
        let names: Vec<(ChannelName,)> = all!(
            self,
            "select c.name from assignment a join promotion p on p.id = a.promotion_id \
             join channel c on c.id = a.channel_id where p.revision_id = $1 order by c.name_key collate \"C\"",
            revision
        )?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// Reports whether the revision was ever assigned in the channel.
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

    /// Adds the promotion to the history and puts it in force.
    pub async fn assign(&mut self, promotion: &Promotion) -> Result<(), StorageError> {
        self.insert_promotion(promotion, None).await?;
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

    /// Adds the withdrawal of an image to the history: nothing is in force from then on.
    pub async fn withdraw(
        &mut self,
        withdrawal: &Promotion,
        departure: Departure,
    ) -> Result<(), StorageError> {
        self.insert_promotion(withdrawal, Some(departure)).await?;
        execute!(
            self,
            "delete from assignment where image_id = $1 and channel_id = $2",
            withdrawal.image_id,
            withdrawal.channel_id
        )?;
        Ok(())
    }

    async fn insert_promotion(
        &mut self,
        promotion: &Promotion,
        withdrawal: Option<Departure>,
    ) -> Result<(), StorageError> {
        // The caller has locked the image, so nobody else takes this number.
        let number: i64 = value!(
            self,
            "select coalesce(max(number), 0) + 1 from promotion where image_id = $1",
            promotion.image_id
        )?;
        insert!(self, "promotion", {
            id: promotion.id,
            image_id: promotion.image_id,
            channel_id: promotion.channel_id,
            revision_id: promotion.revision_id,
            epoch: promotion.epoch,
            kind: promotion.kind.as_stored(),
            mandatory: promotion.terms.for_clients.mandatory,
            deadline: promotion.terms.for_clients.deadline,
            rollout: Json(&promotion.terms.rollout),
            note: &promotion.terms.note,
            rolled_back: promotion.rolled_back,
            created_by: &promotion.created_by,
            created_at: promotion.created_at,
            withdrawal: withdrawal,
            number: number,
            under_way: promotion.progress.under_way,
            steps_told: promotion.progress.steps_told,
        })?;
        Ok(())
    }

    /// Returns the withdrawal after which nothing was promoted.
    pub async fn withdrawn(
        &mut self,
        image: Uuid,
        channel: Uuid,
    ) -> Result<Option<Promotion>, StorageError> {
        optional!(
            self,
            promotion!(
                "where p.image_id = $1 and p.channel_id = $2 and p.withdrawal is not null and p.epoch = \
                 (select max(n.epoch) from promotion n where n.image_id = $1 and n.channel_id = $2)"
            ),
            image,
            channel
        )
    }

    /// Returns the highest epoch that the image ever had in the channel, or may have had; 0 before the first.
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

    /// Skips epochs that may have been given out after the state that this catalog knows: clients expect them to grow
    /// only.
    pub async fn skip_epochs(&mut self, count: i64) -> Result<(), StorageError> {
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

    /// Records the rollout of a promotion: its terms, and what has been put into effect.
    pub async fn update_rollout(&mut self, promotion: &Promotion) -> Result<(), StorageError> {
        let Promotion { id, terms, progress, .. } = promotion;
        execute!(
            self,
            "update promotion set mandatory = $2, deadline = $3, rollout = $4, note = $5, changes = $6, \
             under_way = $7, steps_told = $8, halted = $9, reports_since = $10 where id = $1",
            *id,
            terms.for_clients.mandatory,
            terms.for_clients.deadline,
            Json(&terms.rollout),
            &terms.note,
            progress.changes,
            progress.under_way,
            progress.steps_told,
            progress.halted.as_ref().map(Json),
            progress.reports_since
        )?;
        Ok(())
    }

    /// Marks every promotion of a revision in a channel as rolled back.
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

    /// Returns the newest earlier promotion to another revision that is ready and was not rolled back.
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

    /// Lists a revision's promotions with their channels, newest first.
    pub async fn promotions_of(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<(Promotion, ChannelName)>, StorageError> {
        let rows: Vec<WithChannel> = all!(
            self,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision, c.name as channel_name, coalesce(p.number, 0) as place from promotion p \
             join revision r on r.id = p.revision_id join channel c on c.id = p.channel_id \
             where p.revision_id = $1 order by place desc, p.created_at desc, p.id desc"
            ),
            revision
        )?;
        Ok(rows.into_iter().map(|row| (row.promotion, row.channel_name)).collect())
    }

    /// Lists an image's history before the given place, newest first.
    pub async fn promotions_before(
        &mut self,
        image: Uuid,
        (number, time, id): HistoryPlace,
        limit: i64,
    ) -> Result<Vec<(Promotion, ChannelName, i64)>, StorageError> {
        let rows: Vec<WithChannel> = all!(
            self,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision, c.name as channel_name, coalesce(p.number, 0) as place from promotion p \
             join revision r on r.id = p.revision_id join channel c on c.id = p.channel_id \
             where p.image_id = $1 and (coalesce(p.number, 0) < $2 or (coalesce(p.number, 0) = $2 \
             and (p.created_at < $3 or (p.created_at = $3 and p.id < $4)))) \
             order by place desc, p.created_at desc, p.id desc limit $5"
            ),
            image,
            number,
            time,
            id,
            limit
        )?;
        Ok(rows.into_iter().map(|row| (row.promotion, row.channel_name, row.place)).collect())
    }
}
