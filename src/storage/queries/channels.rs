//! Channels.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::Channel;
use crate::model::channel::date_of_next;
use crate::storage::db::Either;
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Channel`] is read from.
macro_rules! channel_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, folder, read_access, keep_old, tree_during_rollout, promoters,
            requires_channel, approvals, sequence, issued_at, version, created_at,
            updated_at
        )
    };
}
#[cfg(test)]
pub(super) use channel_columns;

impl Tx {
    /// Inserts a channel. Returns `Duplicate` if the name or the folder is taken.
    pub async fn insert_channel(&mut self, channel: &Channel) -> Result<(), StorageError> {
        insert!(self, "channel", {
            id: channel.id,
            name: &channel.name,
            name_key: channel.name.key(),
            folder: &channel.folder,
            folder_key: channel.folder.to_ascii_lowercase(),
            read_access: channel.read_access,
            keep_old: channel.keep_old,
            tree_during_rollout: channel.tree_during_rollout,
            promoters: Json(&channel.promoters),
            requires_channel: &channel.requires_channel,
            approvals: channel.approvals,
            sequence: channel.sequence,
            issued_at: channel.issued_at,
            version: channel.version,
            created_at: channel.created_at,
            updated_at: channel.created_at,
        })?;
        Ok(())
    }

    pub async fn channel_by_key(
        &mut self,
        name_key: &str,
    ) -> Result<Option<Channel>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                channel_columns!(channel),
                " from channel where name_key = $1 and deleted_at is null"
            ),
            name_key
        )
    }

    /// Locks the channel against other changes until the commit. SQLite has only one writer anyway.
    pub async fn lock_channel(&mut self, channel: Uuid) -> Result<(), StorageError> {
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select 1 from channel where id = $1 for update").bind(channel))
                .await?;
        }
        Ok(())
    }

    pub async fn channels(&mut self) -> Result<Vec<Channel>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                channel_columns!(channel),
                " from channel where deleted_at is null order by name_key collate \"C\""
            )
        )
    }

    pub async fn update_channel(&mut self, channel: &Channel) -> Result<(), StorageError> {
        execute!(
            self,
            "update channel set folder = $2, folder_key = $3, read_access = $4, keep_old = $5, \
             tree_during_rollout = $6, promoters = $7, requires_channel = $8, approvals = $9, version = $10, \
             updated_at = $11, sequence = $12, issued_at = $13 where id = $1",
            channel.id,
            &channel.folder,
            channel.folder.to_ascii_lowercase(),
            channel.read_access,
            channel.keep_old,
            channel.tree_during_rollout,
            Json(&channel.promoters),
            &channel.requires_channel,
            channel.approvals,
            channel.version,
            channel.updated_at,
            channel.sequence,
            channel.issued_at,
        )?;
        Ok(())
    }

    /// Gives the channel's manifest the next number, which is returned, and a new date, because the channel's offers
    /// have changed.
    pub async fn raise_channel_sequence(
        &mut self,
        channel: Uuid,
        now: DateTime<Utc>,
    ) -> Result<i64, StorageError> {
        let before = value!(self, "select issued_at from channel where id = $1", channel)?;
        let now = date_of_next(before, now);
        value!(
            self,
            "update channel set sequence = sequence + 1, issued_at = $2 where id = $1 returning sequence",
            channel,
            now
        )
    }

    /// Returns the highest number that any manifest ever had, including those of deleted channels.
    pub async fn highest_channel_sequence(&mut self) -> Result<i64, StorageError> {
        value!(self, "select coalesce(max(sequence), 0) from channel")
    }

    /// Deletes a channel and its assignments, and frees its name and folder; its history stays.
    pub async fn delete_channel(
        &mut self,
        channel: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let tombstone = format!("deleted:{channel}");
        execute!(self, "delete from assignment where channel_id = $1", channel)?;
        execute!(
            self,
            "update channel set deleted_at = $2, name_key = $3, folder_key = $3, version = version + 1 where id = $1",
            channel,
            now,
            &tombstone
        )?;
        Ok(())
    }

    /// Counts the images that have an assignment in the channel.
    pub async fn count_assigned(&mut self, channel: Uuid) -> Result<i64, StorageError> {
        value!(self, "select count(*) from assignment where channel_id = $1", channel)
    }
}
