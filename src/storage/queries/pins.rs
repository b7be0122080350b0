//! Pins: the revisions that single clients were given. The snapshot reads those that hold (`offers`).

use uuid::Uuid;

use super::statement::{all, execute, optional};
use crate::model::Pin;
use crate::storage::{StorageError, Tx};

/// Builds a query for pins with their revisions' numbers.
macro_rules! pin {
    ($rest:literal) => {
        concat!(
            "select n.image_id, n.channel_id, n.client, n.revision_id, r.number as revision, n.note, n.created_by, \
             n.created_at from pin n join revision r on r.id = n.revision_id \
             where n.image_id = $1 and n.channel_id = $2 and ",
            $rest
        )
    };
}

impl Tx {
    pub async fn pin(
        &mut self,
        image: Uuid,
        channel: Uuid,
        client_key: &str,
    ) -> Result<Option<Pin>, StorageError> {
        optional!(self, pin!("n.client_key = $3"), image, channel, client_key)
    }

    /// Lists pins after a client's id, in the order of the ids in lower case.
    pub async fn pins(
        &mut self,
        image: Uuid,
        channel: Uuid,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Pin>, StorageError> {
        all!(
            self,
            pin!("n.client_key collate \"C\" > $3 order by n.client_key collate \"C\" limit $4"),
            image,
            channel,
            after,
            limit
        )
    }

    /// Gives a client a revision, instead of the one that it had.
    pub async fn put_pin(&mut self, pin: &Pin) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into pin (image_id, channel_id, client_key, client, revision_id, note, created_by, created_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (image_id, channel_id, client_key) do update set \
             client = excluded.client, revision_id = excluded.revision_id, note = excluded.note, \
             created_by = excluded.created_by, created_at = excluded.created_at",
            pin.image_id,
            pin.channel_id,
            pin.client.key(),
            &pin.client,
            pin.revision_id,
            &pin.note,
            &pin.created_by,
            pin.created_at
        )?;
        Ok(())
    }

    pub async fn delete_pin(
        &mut self,
        image: Uuid,
        channel: Uuid,
        client_key: &str,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from pin where image_id = $1 and channel_id = $2 and client_key = $3",
            image,
            channel,
            client_key
        )?;
        Ok(())
    }
}
